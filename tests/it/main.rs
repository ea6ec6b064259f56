//! Integration tests: one binary, a module for each promise.
#![allow(clippy::unwrap_used, clippy::use_debug, reason = "a test that finds something wrong ends there")]

mod support;

mod echo;
mod gate;
mod logs;
mod mirror;
mod puppet;
mod raw;

mod access;
mod anywhere;
mod auth;
mod backpressure;
mod bad_input;
mod communicators;
mod configuration;
mod consumer;
mod encoding;
mod endings;
mod events;
mod example_auth;
mod example_dashboard;
mod example_polling;
mod example_worker;
mod failures;
mod fanout;
mod frames;
mod hostile;
mod http;
mod kick;
mod layer;
mod limit;
mod limits;
#[cfg(unix)]
mod listening;
mod middleware;
mod mount;
mod operations;
mod overrides;
mod placement;
mod presence;
mod proxies;
mod redis;
mod reference;
mod registry;
mod requests;
mod rfc6455;
mod rfc7692;
mod routing;
mod session;
mod shutdown;
mod store;
mod streams;
mod sync;
mod targeting;
mod testing;
#[cfg(unix)]
mod tls;
mod transports;
mod visitor;
mod websocket;
mod worker;
