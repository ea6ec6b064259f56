use channels::{IntoEvent, prelude::*};
use serde::{Deserialize, Serialize};

macro_rules! relay {
    ($name:ident, $input:ty, $($method:ident: $event:ty => $result:ty),*; $pure:ident: $pure_event:ty) => {
        struct $name;

        #[consumer]
        impl Consumer for $name {
            async fn receive(&mut self, _cx: &mut Context, _input: $input) -> Result<()> {
                Ok(())
            }

            $(
                #[handler]
                async fn $method(&mut self, cx: &mut Context, event: &$event) -> $result {
                    cx.send_json(event)
                }
            )*

            #[handler]
            fn $pure(event: &$pure_event) -> Result<Message> {
                Ok(Message::json(event)?)
            }
        }
    };
}

#[derive(Serialize, Deserialize, Event)]
#[event("a")]
struct A;

#[derive(Serialize, Deserialize, Event)]
#[event("b")]
struct B;

#[derive(Serialize, Deserialize, Event)]
#[event("c")]
struct C;

relay!(Relay, Json<Vec<u8>>, a: A => Result<()>, b: B => Result<()>; c: C);

#[test]
fn it_is_registered_and_renders() {
    assert!(Relay::render(&C.into_event().unwrap()).is_some());
    let entry = channels::registry().consumer(concat!(module_path!(), "::Relay")).unwrap();
    assert_eq!((entry.input, entry.handlers.len()), ("Json<Vec<u8>>", 3));
}
