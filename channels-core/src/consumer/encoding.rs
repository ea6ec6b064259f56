//! How values become messages, and messages values.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use super::{FromMessage, InputError, Json};
use crate::{Message, Result};

/// How values become messages and messages values: Channels' `encode_json` and `decode_json`, which a consumer overrides
/// by naming another one.
///
/// A consumer takes [`Typed<T, E>`](Typed) and sends by [`cx.send_as::<E>`](crate::Context::send_as). [`JsonText`] is
/// JSON in text messages; with the feature `msgpack`, `MessagePack` is MessagePack in binary ones.
///
/// # Examples
///
/// JSON in an envelope with a version:
///
/// ```
/// # use channels_core as channels;
/// use channels::{Consumer, Context, Encoding, InputError, JsonText, Message, Result, Typed};
/// use serde::{Deserialize, Serialize, de::DeserializeOwned};
///
/// #[derive(Serialize, Deserialize)]
/// struct Envelope<T> { v: u32, data: T }
///
/// struct Versioned;
///
/// impl Encoding for Versioned {
///     fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message> {
///         JsonText::encode(&Envelope { v: 2, data: value })
///     }
///
///     fn decode<T: DeserializeOwned>(message: Message) -> Result<T, InputError> {
///         let Envelope { v, data } = JsonText::decode(message)?;
///         if v == 2 { Ok(data) } else { Err(InputError::content(format!("version {v} is not spoken here"))) }
///     }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Point { x: i32, y: i32 }
///
/// struct Mirror;
///
/// impl Consumer for Mirror {
///     type Input = Typed<Point, Versioned>;
///
///     async fn receive(&mut self, cx: &mut Context, Typed(point, _): Self::Input) -> Result<()> {
///         cx.send_as::<Versioned>(&Point { x: point.y, y: point.x })
///     }
/// }
///
/// let point: Point = Versioned::decode(r#"{"v": 2, "data": {"x": 1, "y": 3}}"#.into())?;
/// assert_eq!((point.x, point.y), (1, 3));
/// # Ok::<(), InputError>(())
/// ```
pub trait Encoding: 'static {
    /// A message that holds this value.
    ///
    /// # Errors
    ///
    /// When the value cannot be written so.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message>;

    /// The value in a message of the client.
    ///
    /// # Untrusted input
    ///
    /// The message is the client's; its size is bounded already.
    ///
    /// # Errors
    ///
    /// [`InputError::kind`] for text where binary is wanted, or the other way round; [`InputError::content`] for what does
    /// not fit. The client is told, and closed.
    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, InputError>;
}

/// JSON, in text messages. What [`Json`] and [`cx.send_json`](crate::Context::send_json) speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonText {}

impl Encoding for JsonText {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message> {
        Ok(Message::json(value)?)
    }

    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, InputError> {
        Json::from_message(message).map(|Json(value)| value)
    }
}

/// MessagePack, in binary messages; structs are maps with the names of their fields. Feature `msgpack`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Encoding, Message, MessagePack};
///
/// let message = MessagePack::encode(&("a", 1)).unwrap();
/// assert_eq!(message, Message::from(vec![0x92, 0xa1, b'a', 0x01]));
/// assert_eq!(MessagePack::decode::<(String, u8)>(message).unwrap(), ("a".to_owned(), 1));
/// assert_eq!(MessagePack::decode::<u8>("1".into()).unwrap_err().code.get(), 1003);
/// ```
#[cfg(feature = "msgpack")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessagePack {}

#[cfg(feature = "msgpack")]
impl Encoding for MessagePack {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message> {
        Ok(Message::Binary(rmp_serde::to_vec_named(value)?.into()))
    }

    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, InputError> {
        let super::Binary(bytes) = super::Binary::from_message(message)?;
        let mut reader = rmp_serde::Deserializer::new(&bytes[..]);
        // As deep as serde_json goes.
        reader.set_max_depth(128);
        let value =
            T::deserialize(&mut reader).map_err(|error| InputError::content(format!("MessagePack: {error}")))?;
        if reader.get_ref().is_empty() {
            Ok(value)
        } else {
            Err(InputError::content("MessagePack: bytes follow the value"))
        }
    }
}

/// A message that holds a `T`, written as `E`: what `receive` takes where [`Json<T>`](Json) does not fit.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{FromMessage, JsonText, Typed};
///
/// let Typed(numbers, _) = Typed::<Vec<u8>, JsonText>::from_message("[1, 2]".into())?;
/// assert_eq!(numbers, [1, 2]);
/// # Ok::<(), channels::InputError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Typed<T, E = JsonText>(pub T, pub PhantomData<E>);

impl<T: DeserializeOwned, E: Encoding> FromMessage for Typed<T, E> {
    fn from_message(message: Message) -> Result<Self, InputError> {
        E::decode(message).map(|value| Self(value, PhantomData))
    }
}
