//! The access log's line for an HTTP request.

use std::time::Instant;

use actix_web::dev::{ServiceRequest, ServiceResponse};

/// What a line says of a request, which is gone when it is answered.
pub(super) struct Asked {
    method: String,
    path: String,
    peer: Option<std::net::SocketAddr>,
    at: Instant,
}

impl Asked {
    pub(super) fn of(request: &ServiceRequest) -> Self {
        Self {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            peer: request.peer_addr(),
            at: Instant::now(),
        }
    }

    /// Says how it was answered; a handshake with 101 has another line when its connection ends.
    pub(super) fn answered<B>(self, answer: &Result<ServiceResponse<B>, actix_web::Error>) {
        let status = match answer {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let Self { method, path, peer, at } = self;
        let (status, duration) = (status.as_u16(), at.elapsed());
        tracing::info!(target: "channels::access", method, path, status, ?duration, ?peer, "http");
    }
}
