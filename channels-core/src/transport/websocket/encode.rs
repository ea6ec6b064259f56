//! Frames out.

use bytes::Bytes;

use super::{
    deflate::Deflate,
    header::{Opcode, append_frame},
};
use crate::{
    Message,
    frame::{Outgoing, WireForm},
};

/// Makes frames as they go over the wire: final, unmasked, with the shortest length there is.
pub(crate) enum Encoder {
    /// No frames: the messages as they are, for a response to a request.
    Raw,
    Plain,
    Deflate {
        deflate: Deflate,
        min_size: usize,
    },
}

impl Encoder {
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    pub(crate) fn encode(&mut self, frame: &Outgoing) -> Bytes {
        if self.is_raw() {
            return frame.message().map(|message| message.clone().into()).unwrap_or_default();
        }
        match frame {
            Outgoing::Message(message) => self.message(message),
            Outgoing::Shared(shared) => match self.shared_form(&shared.message) {
                Some(form) => shared.wire(form, |message| self.message(message)).clone(),
                None => self.message(&shared.message),
            },
            Outgoing::Ping => encode_frame(Opcode::Ping, false, &[]),
            Outgoing::Pong(payload) => encode_frame(Opcode::Pong, false, payload),
            Outgoing::Close(close) if close.code.may_be_sent() => {
                let payload = [&close.code.get().to_be_bytes()[..], close.reason.as_bytes()].concat();
                encode_frame(Opcode::Close, false, &payload)
            }
            Outgoing::Close(_) => encode_frame(Opcode::Close, false, &[]),
        }
    }

    /// Appends a frame to others.
    pub(crate) fn append(&mut self, frame: &Outgoing, frames: &mut Vec<u8>) {
        match (&*self, frame) {
            (Self::Plain, Outgoing::Message(message)) => {
                append_frame(opcode(message), false, message.as_bytes(), frames);
            }
            (Self::Plain, Outgoing::Shared(shared)) => {
                frames.extend_from_slice(shared.wire(WireForm::Plain, |message| self.message(message)));
            }
            _ => frames.extend_from_slice(&self.encode(frame)),
        }
    }

    /// Under which form a message can be shared with other connections.
    fn shared_form(&self, message: &Message) -> Option<WireForm> {
        match self {
            Self::Deflate { deflate, min_size } if message.len() >= *min_size => {
                deflate.shared_key().map(|(bits, level)| WireForm::Deflated { bits, level })
            }
            _ => Some(WireForm::Plain),
        }
    }

    fn message(&mut self, message: &Message) -> Bytes {
        let kind = opcode(message);
        if let Self::Deflate { deflate, min_size } = self
            && message.len() >= *min_size
            && let Some(deflated) = deflate.message(message.as_bytes())
        {
            return encode_frame(kind, true, &deflated);
        }
        encode_frame(kind, false, message.as_bytes())
    }
}

fn opcode(message: &Message) -> Opcode {
    match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
    }
}

fn encode_frame(opcode: Opcode, deflated: bool, payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    append_frame(opcode, deflated, payload, &mut frame);
    frame.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{frame::Shared, server::Compression, transport::websocket::negotiate};

    fn encoder(offer: &str, settings: &Compression) -> Encoder {
        let agreed = negotiate([offer].into_iter(), settings).expect("an offer that can be met");
        Encoder::Deflate { deflate: Deflate::new(&agreed, settings), min_size: settings.min_size }
    }

    #[test]
    fn a_message_for_many_is_deflated_once_for_all_with_the_same_parameters() {
        let message = Outgoing::Shared(Arc::new(Shared::new("repeats itself, ".repeat(100).into())));
        let settings = Compression::default();
        let offer = "permessage-deflate";
        let mut first = encoder(offer, &settings);
        let frame = first.encode(&message);
        assert!(frame.len() < 200, "{} bytes", frame.len());
        assert_eq!(frame.as_ptr(), first.encode(&message).as_ptr());
        assert_eq!(frame.as_ptr(), encoder(offer, &settings).encode(&message).as_ptr());

        let smaller = Compression { level: 9, ..Compression::default() };
        let keeping = Compression { server_context_takeover: true, ..Compression::default() };
        let others = [
            encoder("permessage-deflate; server_max_window_bits=9", &settings),
            encoder(offer, &smaller),
            encoder(offer, &keeping),
            encoder(offer, &keeping),
            Encoder::Plain,
        ];
        let mut frames = vec![frame];
        for mut other in others {
            let frame = other.encode(&message);
            assert!(frames.iter().all(|known| known.as_ptr() != frame.as_ptr()), "each has a form of its own");
            frames.push(frame);
        }
        // What is too small to be deflated is what everybody gets who agreed on nothing.
        let large = Compression { min_size: 10_000, ..Compression::default() };
        assert_eq!(frames[5].as_ptr(), encoder(offer, &large).encode(&message).as_ptr());
    }
}
