//! What a socket that carries a session says: the subprotocol `channels.v1`.

use bytes::Bytes;

use super::batch::{Batch, MAX_MESSAGES, parse};
use crate::{Close, CloseCode, Message, Scope};

/// The subprotocol.
pub(crate) const SUBPROTOCOL: &str = "channels.v1";
const RESUME: &str = "channels.v1.resume.";

/// What a client offers that wants its socket to carry a session.
pub(crate) struct Offer {
    /// The last message that it has of the session to go on with, and its id.
    pub(crate) resume: Option<(u64, String)>,
}

impl Offer {
    /// Takes the offer out of the subprotocols; those of the application are left.
    pub(crate) fn take(scope: &mut Scope) -> Option<Self> {
        if !scope.subprotocols().iter().any(|name| name == SUBPROTOCOL) {
            return None;
        }
        let resume = scope.take_subprotocol(RESUME);
        // Nothing but the subprotocol itself begins with all of it now.
        scope.take_subprotocol(SUBPROTOCOL);
        let resume = resume.map(|text| match text.split_once('.').map(|(number, id)| (number.parse(), id)) {
            Some((Ok(number), id)) => (number, id.to_owned()),
            // A session that there cannot be.
            _ => (0, String::new()),
        });
        Some(Self { resume })
    }
}

/// A frame of the client.
#[derive(Debug)]
pub(crate) enum Frame {
    Batch(Batch),
    /// One message, which has the next number.
    Binary(Bytes),
}

impl Frame {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// The close that answers what is none.
    pub(crate) fn read(message: Message) -> Result<Self, Close> {
        match message {
            Message::Binary(bytes) => Ok(Self::Binary(bytes)),
            Message::Text(text) => match parse::<Batch>(text.as_bytes()) {
                Some(batch) if batch.messages.len() > MAX_MESSAGES => {
                    let why = format!("the batch has more than {MAX_MESSAGES} messages");
                    Err(Close::new(CloseCode::MESSAGE_TOO_BIG, why))
                }
                Some(batch) if !batch.messages.is_empty() || batch.ack.is_some() => Ok(Self::Batch(batch)),
                _ => Err(Close::new(CloseCode::INVALID_PAYLOAD, "the frame is not one of `channels.v1`")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Headers;

    fn offered(subprotocols: &'static str) -> (Option<Offer>, Vec<String>) {
        let headers: Headers = [("Sec-WebSocket-Protocol", subprotocols)].into_iter().collect();
        let mut scope = Scope::websocket("/").with_headers(headers);
        (Offer::take(&mut scope), scope.subprotocols().to_vec())
    }

    #[test]
    fn the_offer_is_taken_out_of_what_the_application_sees() {
        assert!(offered("chat.v1, channels.v2").0.is_none());
        let (offer, left) = offered("channels.v1, chat.v2");
        assert_eq!((offer.unwrap().resume, left), (None, vec!["chat.v2".to_owned()]));
        let (offer, left) = offered("chat.v2, channels.v1.resume.17.a.b~1.x, channels.v1");
        assert_eq!(offer.unwrap().resume, Some((17, "a.b~1.x".to_owned())));
        assert_eq!(left, ["chat.v2"]);
    }

    #[test]
    fn what_is_no_frame_is_closed_with_1007() {
        assert!(matches!(Frame::read(r#"{"ack": 7}"#.into()), Ok(Frame::Batch(Batch { ack: Some(7), .. }))));
        for text in [
            "",
            "{}",
            "[]",
            r#"[1, ["x"]]"#,
            "hello",
            r#"{"from": 1}"#,
            r#"{"from": 1, "messages": [7]}"#,
            r#"{"take": 1}"#,
        ] {
            assert_eq!(Frame::read(text.into()).unwrap_err().code, CloseCode::INVALID_PAYLOAD, "{text}");
        }
    }
}
