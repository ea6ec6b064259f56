//! Tests without a port: a consumer driven as its client would.

pub mod suite;
mod websocket;

pub use self::websocket::{Connected, TestError, WebsocketCommunicator};

#[cfg(feature = "redis")]
pub use crate::layer::redis::driver::StubBroker;
