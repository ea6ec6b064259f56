//! Django Channels for Rust: consumers, routing, groups and channel layers on actix.
//!
//! A consumer is a struct with hooks for the life of a connection and handlers for named events. Routes lead to it; groups
//! reach it from anywhere.
//!
//! ```
//! use channels::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Event)]
//! #[event("chat.message")]
//! struct ChatMessage {
//!     text: String,
//! }
//!
//! #[derive(Default)]
//! struct ChatConsumer {
//!     group: String,
//! }
//!
//! #[consumer]
//! impl Consumer for ChatConsumer {
//!     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
//!         self.group = format!("chat_{}", cx.scope().kwarg("group")?);
//!         cx.group_add(&self.group).await?;
//!         cx.accept()?;
//!         cx.send("welcome")?;
//!         Ok(())
//!     }
//!
//!     async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
//!         cx.group_send(&self.group, ChatMessage { text: text.into() }).await?;
//!         Ok(())
//!     }
//!
//!     #[handler]
//!     async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
//!         cx.send_json(event)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = ProtocolTypeRouter::new()
//!     .websocket(URLRouter::new([re_path(r"^ws/(?P<group>[A-Za-z0-9_-]{1,50})/$", ChatConsumer::default)])?);
//!
//! # if false {
//! channels::run(async move { Server::new(app).bind("127.0.0.1:8000")?.run().await })?;
//! # }
//! # Ok(()) }
//! ```
//!
//! # Where to go
//!
//! - [`guide`] is the tutorial, in four parts, and the architecture on one page.
//! - [`Consumer`] and [`Context`] are what one writes and what one gets.
//! - [`routing`], [`layer`], [`event`](mod@event), [`server`] and [`testing`] are the parts.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `auth` | no | [`auth`]: users, logins, tokens; `session` with it |
//! | `cli` | no | the command `channels`, which sends an event from a shell |
//! | `limit` | no | [`RateLimit`](middleware::RateLimit): how often a client may send |
//! | `metrics` | no | [`metrics`]: counts and times for the `metrics` facade, and a Prometheus endpoint |
//! | `msgpack` | no | [`MessagePack`]: an encoding of messages |
//! | `redis` | no | [`layer::redis`]: channel layers over Redis, for many processes and for Django on the other side |
//! | `session` | no | [`Sessions`](middleware::Sessions): actix-session's sessions in consumers |
//! | `testing` | no | [`testing`]: consumers driven without a port, live servers, `#[channels::test]` |
//! | `tls` | no | [`Server::bind_rustls`](Server::bind_rustls): TLS by rustls, and HTTP/2 for plain HTTP |
//! | `toml` | no | [`LayersConfig::read`](layer::LayersConfig): channel layers from a TOML file |
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without their features there is nothing that links to them could lead to.
#![cfg_attr(
    not(all(
        feature = "auth",
        feature = "limit",
        feature = "metrics",
        feature = "msgpack",
        feature = "redis",
        feature = "testing",
        feature = "tls",
        feature = "toml"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod guide;
pub mod prelude;

#[doc(hidden)]
pub use channels_core::__private;
#[cfg(feature = "msgpack")]
pub use channels_core::MessagePack;
#[doc(no_inline)]
pub use channels_core::actix_web;
#[cfg(feature = "auth")]
pub use channels_core::auth;
#[cfg(feature = "metrics")]
pub use channels_core::metrics;
pub use channels_core::{
    Accept, AllowedHosts, ArgError, Binary, Body, BodyError, ChannelLayer, ChannelName, ChannelNameRouter, Close,
    CloseCode, ClosedBy, Compression, Config, ConfigError, Consumer, ConsumerEntry, Context, DecodeError,
    Demultiplexer, Deny, Dispatch, Encoding, Envelope, Error, Event, EventError, FromBody, FromMessage, GroupName,
    GroupReport, GroupSend, HandlerEntry, HttpConsumer, InMemoryChannelLayer, InputError, IntoEvent, Json, JsonText,
    Layer, LayerError, Layers, MAX_REASON_LEN, Message, Middleware, NameError, OriginError, OriginValidator,
    PatternError, Protocol, ProtocolTypeRouter, RawEvent, Registry, Result, Scope, SendError, Server, SlowClient,
    SyncConsumer, SyncContext, SyncError, Text, Transport, Typed, URLRouter, UrlRoute, Worker, WriteError, consumer,
    error, event, layer, middleware, path, presence, re_path, registry, routing, run, scope, server,
};
#[cfg(feature = "testing")]
pub use channels_core::{layer_suite, testing};
#[cfg(feature = "testing")]
pub use channels_macros::test;
pub use channels_macros::{Event, consumer, handler};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
