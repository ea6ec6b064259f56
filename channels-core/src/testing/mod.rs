//! Tests: a consumer driven as its client would, with or without a port, in real time or under a clock that stands still.
//!
//! | | drives | needs |
//! |---|---|---|
//! | [`WebsocketCommunicator`] | a consumer or an application, as a browser does | no port |
//! | [`ApplicationCommunicator`] | the same, one input and one output at a time; workers' consumers too | no port |
//! | [`HttpCommunicator`] | the HTTP side of an application, one request | no port |
//! | [`LiveServer`] | the whole server | a port, which it finds |

mod application;
mod clock;
mod error;
mod http;
mod live;
mod run;
pub mod suite;
mod websocket;

#[doc(hidden)]
pub use self::clock::run_test;
pub use self::{
    application::{ApplicationCommunicator, Connected, Input, Output},
    error::TestError,
    http::{HttpCommunicator, TestResponse},
    live::LiveServer,
    websocket::WebsocketCommunicator,
};
#[cfg(feature = "redis")]
pub use crate::layer::redis::driver::StubBroker;
