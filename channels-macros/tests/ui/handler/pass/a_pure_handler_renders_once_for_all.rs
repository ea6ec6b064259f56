use std::num::ParseIntError;

use channels::{IntoEvent, prelude::*};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event("count")]
struct Count {
    digits: String,
}

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    fn chat_message(event: &ChatMessage) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    // An answer may be whatever becomes a message, and an error whatever `?` takes.
    #[handler]
    fn count(Count { digits }: &Count) -> Result<String, ParseIntError> {
        Ok((digits.parse::<u32>()? + 1).to_string())
    }

    #[handler]
    async fn counted(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event("counted")]
struct Counted;

fn rendered(event: impl IntoEvent) -> Option<Result<String, String>> {
    let text = |message| match message {
        Message::Text(text) => text.to_string(),
        Message::Binary(_) => panic!("text is expected"),
    };
    let result = Chat::render(&event.into_event().unwrap())?;
    Some(result.map(text).map_err(|error| format!("{error:?}")))
}

#[test]
fn what_it_returns_is_rendered() {
    assert_eq!(rendered(ChatMessage { text: "hi".into() }), Some(Ok("hi".into())));
    assert_eq!(rendered(Count { digits: "7".into() }), Some(Ok("8".into())));
    assert!(matches!(rendered(Count { digits: "x".into() }), Some(Err(_))));
    assert_eq!(rendered(Counted), None);
}
