//! The access log's line for an HTTP request.

use std::{net::SocketAddr, time::Instant};

use actix_web::dev::{ServiceRequest, ServiceResponse};

/// A request, of which one line is logged when it is dropped: answered, or given up by its client.
pub(super) struct Asked {
    method: String,
    path: String,
    peer: Option<SocketAddr>,
    at: Instant,
    status: Option<u16>,
}

impl Asked {
    pub(super) fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            peer: request.peer_addr(),
            at: Instant::now(),
            status: None,
        }
    }

    /// Notes how it was answered. A handshake with 101 has another line when its connection ends.
    pub(super) fn answered<B>(mut self, answer: &Result<ServiceResponse<B>, actix_web::Error>) {
        self.status = Some(match answer {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.as_response_error().status_code().as_u16(),
        });
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self { method, path, peer, status, .. } = self;
        let (duration, peer) = (self.at.elapsed(), peer.map(tracing::field::display));
        match status {
            Some(status) => {
                tracing::info!(target: "channels::access", method, path, status, ?duration, peer, "http");
            }
            None => {
                tracing::info!(target: "channels::access", method, path, ?duration, peer, "http, given up by the client");
            }
        }
    }
}
