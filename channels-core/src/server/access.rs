//! The access log's line for an HTTP request.

use std::{net::SocketAddr, time::Instant};

use actix_web::{
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, Uri},
};

use crate::session::Panic;

/// A request, of which one line is logged when it is dropped: answered, given up by its client, or by a handler that panicked.
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    peer: Option<SocketAddr>,
    at: Instant,
    end: End,
}

enum End {
    GivenUp,
    Answered(u16),
    Panicked(String),
}

impl Asked {
    pub(super) fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: request.peer_addr(),
            at: Instant::now(),
            end: End::GivenUp,
        }
    }

    /// Runs a part of what answers it, and notes when that panics. The panic goes on: it ends the connection.
    pub(super) fn run<T>(&mut self, part: impl FnOnce() -> T) -> T {
        Panic::catch(part).unwrap_or_else(|panic| {
            self.end = End::Panicked(panic.to_string());
            panic.resume()
        })
    }

    /// Notes how it was answered. A handshake with 101 has another line when its connection ends.
    pub(super) fn answered<B>(mut self, answer: &Result<ServiceResponse<B>, actix_web::Error>) {
        self.end = End::Answered(match answer {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.as_response_error().status_code().as_u16(),
        });
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let (method, path) = (self.method.as_str(), self.uri.path());
        let (duration, peer) = (self.at.elapsed(), self.peer.map(tracing::field::display));
        match &self.end {
            End::Answered(status) => {
                tracing::info!(target: "channels::access", method, path, status, ?duration, peer, "http");
            }
            End::GivenUp => {
                tracing::info!(target: "channels::access", method, path, ?duration, peer, "http, given up by the client");
            }
            // It is there for those who want no access log, too.
            End::Panicked(error) => {
                tracing::error!(method, path, error, ?duration, peer, "http, given up by a handler that panicked");
            }
        }
    }
}
