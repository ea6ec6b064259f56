//! What nearly every application names: `use channels::prelude::*;`.

pub use crate::{
    Accept, Binary, Close, CloseCode, Config, Consumer, Context, Deny, Event, Json, Layers, Message,
    ProtocolTypeRouter, RawEvent, Result, Scope, Server, Text, URLRouter, consumer, event, handler, path, re_path,
};
