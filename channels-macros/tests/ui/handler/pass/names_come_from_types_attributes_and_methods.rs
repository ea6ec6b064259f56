use channels::{IntoEvent, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage;

#[derive(Serialize, Deserialize, Event)]
#[event("chat.notice")]
struct Notice;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn any_name(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }

    #[handler("another.name")]
    async fn renamed(&mut self, _cx: &mut Context, _event: &ChatMessage) -> Result<()> {
        Ok(())
    }

    #[handler]
    fn r#type(&self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }

    #[handler]
    async fn _typed(&mut self, _cx: &mut Context, _event: &Notice) -> Result<()> {
        Ok(())
    }

    #[channels::handler("xx.oo")]
    fn xx_oo(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

#[test]
fn each_handler_has_its_name() {
    let entry = channels::registry().consumer(concat!(module_path!(), "::Chat")).unwrap();
    let names: Vec<_> = entry.handlers.iter().map(|handler| (handler.event, handler.method)).collect();
    let expected = [
        ("chat.message", "any_name"),
        ("another.name", "renamed"),
        ("type", "type"),
        ("chat.notice", "_typed"),
        ("xx.oo", "xx_oo"),
    ];
    assert_eq!(names, expected);
    assert!(ChatMessage.into_event().unwrap().is("chat_message"));
}
