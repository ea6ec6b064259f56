mod vendored {
    pub use channels as sockets;
}

use serde::{Deserialize, Serialize};
use vendored::sockets::{Consumer, Context, Event, Message, RawEvent, Result, consumer};

mod channels {}

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message", crate = crate::another_path_to_channels::vendored::sockets)]
struct ChatMessage {
    text: String,
}

struct Chat;

#[consumer(crate = crate::another_path_to_channels::vendored::sockets)]
impl Consumer for Chat {
    #[handler]
    fn chat_message(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    #[handler("xx.oo")]
    async fn xx_oo(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

#[test]
fn the_event_has_its_name() {
    assert_eq!(ChatMessage::NAME, "chat.message");
}
