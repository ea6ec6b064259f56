#[test]
fn it_takes_what_the_function_declares() {
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
        #[handler]
        async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
            cx.send(event.text.as_str())?;
            Ok(())
        }
    }

    assert_eq!(ChatMessage::NAME, "chat.message");
}
