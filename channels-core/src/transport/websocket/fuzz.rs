//! What the targets in `fuzz/` reach of the codec. There only with `--cfg fuzzing`.
#![allow(missing_docs, reason = "not part of the API")]

use std::task::{Context, Poll, Waker};

use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};

use super::{Encoder, Sizes, WebSocket, accept, deflate, refusal};
use crate::{
    Accept, Close, Compression, Message,
    frame::{Incoming, Outgoing},
    transport::{Inflow, Transport},
};

/// What a client did, as its frames say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Message(Message),
    Ping(Bytes),
    Pong,
    Close(Option<Close>),
    Failed(Close),
}

/// How much a client may send at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub frame: usize,
    pub message: usize,
    pub fragments: usize,
}

struct Pieces(std::vec::IntoIter<Bytes>);

impl Inflow for Pieces {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        let piece = self.0.find(|piece| !piece.is_empty()).unwrap_or_default();
        buffer.extend_from_slice(&piece);
        Poll::Ready(piece.len())
    }
}

/// What stands in bytes that arrive in these pieces, up to their end.
pub fn decode(pieces: Vec<Bytes>, limits: Limits, agreed: Option<&Agreed>) -> Vec<Seen> {
    let sizes = Sizes { frame: limits.frame, message: limits.message, fragments: limits.fragments };
    let bytes = Pieces(pieces.into_iter());
    let mut socket = WebSocket::new(bytes, sizes, agreed.map(|agreed| deflate::Inflate::new(&agreed.0)));
    let mut seen = Vec::new();
    loop {
        let incoming = match socket.poll_incoming(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(incoming) => incoming,
            Poll::Pending => unreachable!("all bytes are there"),
        };
        seen.push(match incoming {
            Incoming::Message(message) => Seen::Message(message),
            Incoming::Ping(payload) => Seen::Ping(payload),
            Incoming::Pong => Seen::Pong,
            Incoming::Close(close) => Seen::Close(close),
            Incoming::Failed(close) => Seen::Failed(close),
            Incoming::Event(_) => unreachable!("no client sends events"),
            Incoming::Gone => return seen,
        });
    }
}

/// The frames of these messages, as this side sends them.
pub fn encode(messages: &[Message], agreed: Option<(&Agreed, &Compression)>) -> Vec<Bytes> {
    let mut encoder = match agreed {
        Some((agreed, settings)) => {
            Encoder::Deflate { deflate: deflate::Deflate::new(&agreed.0, settings), min_size: settings.min_size }
        }
        None => Encoder::Plain,
    };
    messages.iter().map(|message| encoder.encode(&Outgoing::Message(message.clone()))).collect()
}

/// What both sides agreed on for permessage-deflate.
#[derive(Clone, Debug)]
pub struct Agreed(deflate::Agreed);

impl Agreed {
    /// What is agreed on when a client offers this.
    pub fn on(offer: &str, settings: &Compression) -> Option<Self> {
        deflate::negotiate([offer].into_iter(), settings).map(Self)
    }

    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub fn answer(&self) -> &str {
        &self.0.answer
    }

    /// The same, seen from the other side.
    pub fn turned(&self) -> Self {
        Self(deflate::Agreed {
            server_takeover: self.0.client_takeover,
            client_takeover: self.0.server_takeover,
            server_bits: self.0.client_bits,
            client_bits: self.0.server_bits,
            answer: String::new(),
        })
    }
}

/// The answer to a handshake.
pub fn answer(request: &HttpRequest) -> HttpResponse {
    refusal(request).unwrap_or_else(|| match accept(request, &Accept::new(), None) {
        Ok(response) => response,
        Err(error) => unreachable!("it was not refused: {error}"),
    })
}
