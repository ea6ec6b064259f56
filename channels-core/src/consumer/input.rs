//! What `receive` takes of a client's message.

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{Close, CloseCode, Message};

/// A client's message that is not what `receive` takes; the connection closes with its code and reason.
///
/// A hook may return it as well (`Err(InputError::content("…").into())`). It is the client's mistake: the log has it at
/// level `debug`, not as an error.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct InputError {
    /// 1003 for the wrong kind, 1007 for content that does not fit.
    pub code: CloseCode,
    /// What the client is told; the first 123 bytes are sent.
    pub reason: String,
}

impl InputError {
    /// A message of the wrong kind: close 1003.
    pub fn kind(reason: impl Into<String>) -> Self {
        Self { code: CloseCode::UNSUPPORTED_DATA, reason: reason.into() }
    }

    /// Content that does not fit: close 1007.
    pub fn content(reason: impl Into<String>) -> Self {
        Self { code: CloseCode::INVALID_PAYLOAD, reason: reason.into() }
    }

    pub(crate) fn into_close(self) -> Close {
        Close::new(self.code, self.reason)
    }
}

/// What can be made of a client's message: the type of `receive`'s last parameter.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{FromMessage, InputError, Message};
///
/// struct Number(u64);
///
/// impl FromMessage for Number {
///     fn from_message(message: Message) -> Result<Self, InputError> {
///         let text = message.as_text().ok_or_else(|| InputError::kind("send text"))?;
///         text.parse().map(Number).map_err(|error| InputError::content(format!("not a number: {error}")))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`receive` cannot take a `{Self}`",
    label = "not made from a client's message",
    note = "take a `Message`, `Text`, `Binary` or `Json<T>`, or implement `FromMessage`"
)]
pub trait FromMessage: Sized {
    /// Makes it of a message.
    ///
    /// # Errors
    ///
    /// [`InputError`] when the message does not fit; the client is told and the connection closed.
    fn from_message(message: Message) -> Result<Self, InputError>;
}

impl FromMessage for Message {
    fn from_message(message: Message) -> Result<Self, InputError> {
        Ok(message)
    }
}

/// A text message; binary ones are answered with close 1003.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{FromMessage, Text};
///
/// let Text(text) = Text::from_message("hi".into()).unwrap();
/// assert_eq!(text, "hi");
/// assert_eq!(Text::from_message(vec![1].into()).unwrap_err().code.get(), 1003);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(pub ByteString);

impl FromMessage for Text {
    fn from_message(message: Message) -> Result<Self, InputError> {
        match message {
            Message::Text(text) => Ok(Self(text)),
            Message::Binary(_) => Err(InputError::kind("text is wanted, the message is binary")),
        }
    }
}

/// A binary message; text is answered with close 1003.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Binary, FromMessage};
///
/// let Binary(bytes) = Binary::from_message(vec![1, 2].into()).unwrap();
/// assert_eq!(bytes.len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binary(pub Bytes);

impl FromMessage for Binary {
    fn from_message(message: Message) -> Result<Self, InputError> {
        match message {
            Message::Binary(bytes) => Ok(Self(bytes)),
            Message::Text(_) => Err(InputError::kind("binary is wanted, the message is text")),
        }
    }
}

/// A text message that holds a `T` as JSON.
///
/// A binary message is answered with close 1003, text that does not parse or fit with 1007 and a reason that says where.
///
/// # Untrusted input
///
/// serde_json stops at 128 levels of nesting; the size is bounded by the limit on messages.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{FromMessage, Json};
///
/// let Json(numbers) = Json::<Vec<u8>>::from_message("[1, 2]".into()).unwrap();
/// assert_eq!(numbers, [1, 2]);
///
/// let error = Json::<Vec<u8>>::from_message("[1, 2".into()).unwrap_err();
/// assert_eq!(error.to_string(), "JSON: EOF while parsing a list at line 1 column 5");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromMessage for Json<T> {
    fn from_message(message: Message) -> Result<Self, InputError> {
        let Text(text) = Text::from_message(message)?;
        serde_json::from_str(&text).map(Self).map_err(|error| InputError::content(json_reason(&error)))
    }
}

/// What serde says, cut so that the place at its end fits into a close frame.
fn json_reason(error: &serde_json::Error) -> String {
    let text = format!("JSON: {error}");
    let max = crate::close::MAX_REASON_LEN;
    if text.len() <= max {
        return text;
    }
    let place = format!("… at line {} column {}", error.line(), error.column());
    let cut = text.floor_char_boundary(max - place.len());
    format!("{}{place}", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_kind_closes_1003_and_wrong_content_1007() {
        assert_eq!(Text::from_message(Message::from(vec![1])).unwrap_err().code, CloseCode::UNSUPPORTED_DATA);
        assert_eq!(Binary::from_message(Message::from("x")).unwrap_err().code, CloseCode::UNSUPPORTED_DATA);
        assert_eq!(Json::<u8>::from_message("x".into()).unwrap_err().code, CloseCode::INVALID_PAYLOAD);
    }

    #[test]
    fn an_empty_text_is_a_text() {
        assert_eq!(Text::from_message("".into()), Ok(Text("".into())));
    }

    #[test]
    fn a_reason_that_is_cut_still_says_where() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        struct Narrow {}
        let text = format!("{{\"{}\": 1}}", "长".repeat(100));
        let error = Json::<Narrow>::from_message(text.into()).unwrap_err();
        assert!(error.reason.len() <= 123 && error.reason.ends_with("at line 1 column 303"), "{}", error.reason);
    }
}
