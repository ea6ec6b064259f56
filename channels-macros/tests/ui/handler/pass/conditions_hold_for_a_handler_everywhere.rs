use channels::{IntoEvent, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[cfg(not(any()))]
    #[handler]
    fn chat_message(_event: &ChatMessage) -> Result<Message> {
        Ok("this one".into())
    }

    #[handler]
    #[cfg(not(all()))]
    fn chat_message(_event: &NoSuchType) -> Result<Message> {
        Ok("not this one".into())
    }

    #[cfg(not(any()))]
    #[handler("xx.oo")]
    async fn xx(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }

    #[cfg(not(all()))]
    #[handler("xx.oo")]
    async fn oo(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

#[test]
fn only_what_holds_is_there() {
    assert!(matches!(Chat::render(&ChatMessage.into_event().unwrap()), Some(Ok(_))));
    let entry = channels::registry().consumer(concat!(module_path!(), "::Chat")).unwrap();
    let methods: Vec<_> = entry.handlers.iter().map(|handler| handler.method).collect();
    assert_eq!(methods, ["chat_message", "xx"]);
}
