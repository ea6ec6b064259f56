//! The runtime of the `channels` crate, which re-exports what a user needs of it.
//!
//! The modules stand in the order in which a message meets them: [`server`] accepts, [`transport`] frames, [`routing`]
//! chooses a consumer and fills its [`scope`], a [`session`] owns it, [`event`](mod@event) dispatch calls its handlers, and the
//! [`layer`] reaches the others.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(rustdoc::private_intra_doc_links, reason = "this page is a map of the private modules, too")]

mod after;
mod close;
mod frame;
mod once;
mod one_line;
mod room;

#[cfg(feature = "auth")]
pub mod auth;
pub mod consumer;
pub mod error;
pub mod event;
pub mod layer;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod middleware;
pub mod presence;
pub mod routing;
pub mod scope;
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;

mod session;
mod transport;
mod worker;

#[cfg(feature = "msgpack")]
pub use self::consumer::MessagePack;
pub use self::{
    close::{Close, CloseCode, ClosedBy, MAX_REASON_LEN},
    consumer::{
        Accept, Binary, Body, BodyError, Consumer, Context, Demultiplexer, Deny, Encoding, FromBody, FromMessage,
        HttpConsumer, InputError, Json, JsonText, SyncConsumer, SyncContext, SyncError, Text, Typed, WriteError,
    },
    error::{Error, Result},
    event::{
        ConsumerEntry, DecodeError, Dispatch, Envelope, Event, EventError, HandlerEntry, IntoEvent, RawEvent, Registry,
        registry,
    },
    frame::Message,
    layer::{
        ChannelLayer, ChannelName, GroupName, GroupReport, GroupSend, InMemoryChannelLayer, Layer, LayerError, Layers,
        NameError, SendError,
    },
    middleware::{AllowedHosts, Middleware, OriginError, OriginValidator},
    routing::{ChannelNameRouter, PatternError, ProtocolTypeRouter, Transport, URLRouter, path, re_path},
    scope::{ArgError, Protocol, Scope, UrlRoute},
    server::{Compression, Config, ConfigError, Server, SlowClient},
    worker::Worker,
};
/// The HTTP side: `http` services, statuses and headers are its own.
pub use actix_web;

/// Runs a future on actix's runtime: a `main`, or a test, in one call.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// assert_eq!(channels::run(async { 1 + 1 }), 2);
/// ```
///
/// # Panics
///
/// When the system gives no thread or no poller to the runtime, or when it is called within a runtime.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

/// What the macros' output names. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde_json;

    pub use crate::event::{ConsumerEntry, HandlerEntry, Payload, handler_name, raw_event, same_event};
}

/// What the targets in `fuzz/` reach. Not part of the API, and only there with `--cfg fuzzing`.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod __fuzz {
    pub use crate::transport::websocket::fuzz::{Agreed, Limits, Seen, answer, decode, encode};
}
