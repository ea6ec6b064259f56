//! Plain functions, with handlers of every kind; a route takes it.

use channels::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

#[derive(Default)]
struct Chat {
    heard: usize,
}

#[consumer]
impl SyncConsumer for Chat {
    fn connect(&mut self, cx: &mut SyncContext) -> Result<(), SyncError> {
        cx.group_add("lobby")
    }

    fn receive(&mut self, cx: &mut SyncContext, Json(number): Json<u8>) -> Result<(), SyncError> {
        cx.send_json(&number)
    }

    #[handler]
    fn chat_message(&mut self, cx: &mut SyncContext, event: &ChatMessage) -> Result<(), SyncError> {
        self.heard += 1;
        cx.send(event.text.as_str())
    }

    #[handler("tick")]
    fn on_tick(&self, _: &mut SyncContext, _: &RawEvent) -> Result<(), SyncError> {
        Ok(())
    }

    #[handler]
    fn shout(_: &RawEvent) -> Result<Message> {
        Ok("hey".into())
    }

    fn disconnect(&mut self, _: &mut SyncContext, _: &Close) {}
}

#[test]
fn a_route_takes_it_and_the_registry_knows_it() {
    URLRouter::new([path("ws/", Chat::default), path("two/", || Chat { heard: 2 })]).unwrap();
    let entry = channels::registry().consumer(concat!(module_path!(), "::Chat")).unwrap();
    assert_eq!((entry.input, entry.handlers.len()), ("Json<u8>", 3));
}
