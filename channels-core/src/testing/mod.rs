//! Tests without a port: a consumer driven as its client would.

mod websocket;

pub use self::websocket::{Connected, TestError, WebsocketCommunicator};

#[cfg(feature = "redis")]
pub use crate::layer::redis::driver::StubBroker;
