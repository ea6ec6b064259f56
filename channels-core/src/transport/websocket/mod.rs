//! RFC 6455: the handshake, and frames in and out.

mod decode;
mod deflate;
mod encode;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod handshake;
mod header;

use actix_web::{HttpRequest, http::header::SEC_WEBSOCKET_EXTENSIONS};

use self::deflate::{Deflate, Inflate, negotiate};
pub(crate) use self::{
    decode::WebSocket,
    encode::Encoder,
    handshake::{accept, head, refusal},
    header::frames_in,
};
use crate::server::Config;

/// The two halves of a connection's codec, and the extension that the handshake's answer names.
pub(crate) struct Codec<S> {
    pub(crate) reader: WebSocket<S>,
    pub(crate) writer: Encoder,
    pub(crate) extension: Option<String>,
}

impl<S> Codec<S> {
    /// A codec for the client of this request, whose frames arrive on `bytes`.
    pub(crate) fn new(request: &HttpRequest, bytes: S, config: &Config) -> Self {
        let offers = request.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).filter_map(|value| value.to_str().ok());
        let settings = config.compression.as_ref();
        let agreed = settings.and_then(|settings| Some((negotiate(offers, settings)?, settings)));
        let sizes =
            Sizes { frame: config.max_frame_size, message: config.max_message_size, fragments: config.max_fragments };
        Self {
            reader: WebSocket::new(bytes, sizes, agreed.as_ref().map(|(agreed, _)| Inflate::new(agreed))),
            writer: match &agreed {
                Some((agreed, settings)) => {
                    Encoder::Deflate { deflate: Deflate::new(agreed, settings), min_size: settings.min_size }
                }
                None => Encoder::Plain,
            },
            extension: agreed.map(|(agreed, _)| agreed.answer),
        }
    }
}

/// How much a client may send at once.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Bytes of one frame's payload.
    frame: usize,
    /// Bytes of one message, its fragments joined and inflated.
    message: usize,
    /// Fragments of one message.
    fragments: usize,
}
