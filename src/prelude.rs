//! What nearly every application names: `use channels::prelude::*;`.
//!
//! `Serialize` and `Deserialize` are serde's; their derives need `serde` among the application's own dependencies.

pub use serde::{Deserialize, Serialize};

pub use crate::{
    Accept, AllowedHosts, Binary, ChannelNameRouter, Close, CloseCode, Config, Consumer, Context, Deny, Error, Event,
    HttpConsumer, InputError, Json, Layer, Layers, Message, Middleware, ProtocolTypeRouter, RawEvent, Result, Scope,
    Server, SyncConsumer, SyncContext, SyncError, Text, URLRouter, consumer, event, handler, path, re_path,
};
