//! Integration tests: one binary, a module for each promise.
#![allow(clippy::unwrap_used, clippy::use_debug, reason = "a test that finds something wrong ends there")]

mod support;

mod logs;
mod puppet;
mod raw;

mod backpressure;
mod bad_input;
mod communicators;
mod consumer;
mod endings;
mod events;
mod failures;
mod fanout;
mod frames;
mod layer;
mod middleware;
mod mount;
mod operations;
mod redis;
mod registry;
mod routing;
mod shutdown;
mod websocket;
mod worker;
