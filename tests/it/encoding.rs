//! Typed in and out, in whichever encoding.

use channels::{Encoding, JsonText, MessagePack, Typed, prelude::*, testing::WebsocketCommunicator};
use serde::de::DeserializeOwned;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Point {
    x: i32,
    name: String,
}

/// Answers in the encoding in which it was asked.
struct Mirror<E>(std::marker::PhantomData<E>);

#[consumer]
impl<E: Encoding> Consumer for Mirror<E> {
    async fn receive(&mut self, cx: &mut Context, Typed(point, _): Typed<Point, E>) -> Result<()> {
        cx.send_as::<E>(&Point { x: -point.x, name: point.name })
    }
}

fn mirror<E: Encoding>() -> Mirror<E> {
    Mirror(std::marker::PhantomData)
}

#[test]
fn message_pack_goes_in_and_out() {
    channels::run(async {
        let mut client = WebsocketCommunicator::new(mirror::<MessagePack>, "/");
        client.connect().await.unwrap();
        // As another implementation writes it: a map of two, "x": 7, "name": "n".
        let bytes = b"\x82\xa1x\x07\xa4name\xa1n".to_vec();
        client.send_to(bytes).await.unwrap();
        let answer = client.receive_from().await.unwrap();
        assert_eq!(answer.as_bytes(), b"\x82\xa1x\xf9\xa4name\xa1n");
        client.send_to("{}").await.unwrap();
        assert_eq!(client.closed().await.unwrap().code.get(), 1003);
    });
}

#[test]
fn message_pack_that_does_not_fit_closes_with_1007() {
    channels::run(async {
        let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
        let long = [0xdd, 0xff, 0xff, 0xff, 0xff].to_vec();
        for (bytes, why) in [
            (b"\x82\xa1x\x07".to_vec(), "MessagePack: "),
            (b"\xc0".to_vec(), "MessagePack: "),
            (deep, "MessagePack: "),
            (long, "MessagePack: "),
            (b"\x82\xa1x\x07\xa4name\xa1n\x00".to_vec(), "MessagePack: bytes follow the value"),
        ] {
            let mut client = WebsocketCommunicator::new(mirror::<MessagePack>, "/");
            client.connect().await.unwrap();
            client.send_to(bytes).await.unwrap();
            let close = client.closed().await.unwrap();
            assert_eq!(close.code.get(), 1007);
            assert!(close.reason.starts_with(why), "{close}");
        }
    });
}

#[test]
fn an_encoding_of_ones_own_takes_the_place_of_json() {
    struct Reversed;

    impl Encoding for Reversed {
        fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message> {
            let text = JsonText::encode(value)?;
            Ok(text.as_text().unwrap_or_default().chars().rev().collect::<String>().into())
        }

        fn decode<T: DeserializeOwned>(message: Message) -> Result<T, InputError> {
            let Text(text) = channels::FromMessage::from_message(message)?;
            JsonText::decode(text.chars().rev().collect::<String>().into())
        }
    }

    channels::run(async {
        let mut client = WebsocketCommunicator::new(mirror::<Reversed>, "/");
        client.connect().await.unwrap();
        client.send_to(r#"}"n":"eman","1":"x"{"#.replace(r#""1""#, "1")).await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), r#"}"n":"eman",1-:"x"{"#);
        client.send_to(r#"{"x": 1}"#).await.unwrap();
        assert_eq!(client.closed().await.unwrap().code.get(), 1007);
    });
}
