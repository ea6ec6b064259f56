use channels::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

struct Chat;

#[consumer]
impl Consumer for Chat {
    async fn receive(&mut self, _cx: &mut Context, _message: Json<Vec<String>>) -> Result<()> {
        Ok(())
    }

    #[handler]
    fn said(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    #[cfg(any())]
    #[handler]
    fn said_elsewhere(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    #[handler]
    async fn xx_oo(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

#[test]
fn with_its_place_and_its_handlers() {
    let chat = channels::registry().consumer(concat!(module_path!(), "::Chat")).unwrap();
    assert!(chat.file.ends_with("the_registry_knows_it.rs"));
    assert_eq!((chat.line, chat.input), (13, "Json<Vec<String>>"));

    let [said, xx_oo] = chat.handlers else { panic!("{:?}", chat.handlers) };
    assert_eq!((said.event, said.method, said.payload), ("chat.message", "said", "ChatMessage"));
    assert_eq!((xx_oo.event, xx_oo.method, xx_oo.payload), ("xx_oo", "xx_oo", "RawEvent"));
    assert_eq!((said.line, said.pure, xx_oo.line, xx_oo.pure), (19, true, 30, false));
}
