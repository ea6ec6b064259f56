//! Long polling: requests that wait, and requests that bring something.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use bytes::Bytes;

use super::{Admitted, Begun, opened};
use crate::{
    CloseCode,
    server::{
        Config,
        thread::{ServerThread, lost, unavailable},
    },
    session::{Given, Reply},
    transport::batch::{Batch, End, MAX_MESSAGES, Taken, json, parse},
};

/// How long a batch may be at least.
const BATCH: usize = 128 * 1024;
/// How long a body that is no batch may be.
const SMALL: usize = 4 * 1024;

impl ServerThread {
    pub(super) async fn open_to_poll(&self, admitted: Admitted) -> HttpResponse {
        let config = admitted.config.clone();
        match self.begin_lasting(admitted).await {
            Ok(Begun { link, accept }) => {
                let id = link.id().to_string();
                let mut response = HttpResponse::Ok();
                for header in &accept.headers {
                    response.append_header(header.clone());
                }
                let opened = opened(&id, &config, accept.subprotocol.as_deref(), None);
                response.content_type("application/json").body(json(&opened))
            }
            Err(response) => *response,
        }
    }

    pub(super) async fn poll(&self, request: &HttpRequest, admitted: Admitted, id: &str, after: u64) -> HttpResponse {
        let window = admitted.config.poll_window;
        let link = match self.link_named(&admitted, id) {
            Ok(link) => link,
            Err(response) => return *response,
        };
        answer(tokio::select! {
            reply = link.take(true, after, after, window) => reply,
            () = lost(request) => Reply::Done,
        })
    }

    pub(super) async fn push(&self, admitted: Admitted, id: &str, payload: web::Payload) -> HttpResponse {
        let config = &admitted.config;
        let link = match self.link_named(&admitted, id) {
            Ok(link) => link,
            Err(response) => return *response,
        };
        let limit = body_limit(config);
        let Ok(body) = body(payload, limit, config.poll_window).await else { return too_slow() };
        let Some(body) = body else { return too_big(limit) };
        match parse(&body) {
            Some(Batch { messages, .. }) if messages.len() > MAX_MESSAGES => {
                HttpResponse::PayloadTooLarge().body(format!("it has more than {MAX_MESSAGES} messages"))
            }
            Some(Batch { from, messages, ack, .. }) => answer(link.push(from, messages, ack.unwrap_or(0)).await),
            None => bad("the body is not a batch"),
        }
    }

    pub(super) async fn close(&self, admitted: Admitted, id: &str, payload: web::Payload) -> HttpResponse {
        let link = match self.link_named(&admitted, id) {
            Ok(link) => link,
            Err(response) => return *response,
        };
        let Ok(body) = body(payload, SMALL, admitted.config.poll_window).await else { return too_slow() };
        let Some(body) = body else { return too_big(SMALL) };
        let end = match &body[..] {
            [] => Some(End { code: CloseCode::NORMAL.get(), reason: String::new() }),
            body => parse(body),
        };
        match end {
            Some(end) if CloseCode::from(end.code).may_be_sent() => answer(link.close(end).await),
            _ => bad("the body is not a close code and a reason"),
        }
    }
}

/// What a session says, as a response.
pub(super) fn answer(reply: Reply) -> HttpResponse {
    match reply {
        Reply::Given(given) => batch(given),
        Reply::TakenOver => batch(Given::default()),
        Reply::Taken(taken) => HttpResponse::Ok().content_type("application/json").body(json(&Taken { taken })),
        Reply::Done => HttpResponse::NoContent().finish(),
        Reply::Bad(why) => HttpResponse::BadRequest().body(why),
        Reply::Gone => gone(),
        Reply::TooBig(limit) | Reply::TooLong(limit) => too_big(limit),
        Reply::Unreachable => unavailable("the session's server cannot be reached"),
        Reply::Stopping => unavailable("the server is stopping"),
    }
}

fn batch(Given { from, messages, close, .. }: Given) -> HttpResponse {
    let from = if messages.is_empty() { 0 } else { from };
    let batch = Batch { from, messages, ack: None, close };
    HttpResponse::Ok().content_type("application/json").body(json(&batch))
}

pub(super) fn bad(why: &'static str) -> HttpResponse {
    HttpResponse::BadRequest().body(why)
}

pub(super) fn gone() -> HttpResponse {
    HttpResponse::Gone().body("this session is not there, or not yours: open a new one")
}

fn too_big(limit: usize) -> HttpResponse {
    HttpResponse::PayloadTooLarge().body(format!("it is over {limit} bytes"))
}

fn too_slow() -> HttpResponse {
    HttpResponse::RequestTimeout().insert_header((header::CONNECTION, "close")).body("the body did not come in time")
}

/// Bytes of a batch: a third more than of a message, for base64, and something for the JSON around it; and enough for many
/// small messages.
pub(super) fn body_limit(config: &Config) -> usize {
    (config.max_message_size / 3).saturating_add(config.max_message_size).saturating_add(1_024).max(BATCH)
}

struct TooSlow;

/// The body of a request; `None` when it is over the limit.
async fn body(payload: web::Payload, limit: usize, within: Duration) -> Result<Option<Bytes>, TooSlow> {
    match tokio::time::timeout(within, payload.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(bytes))) => Ok(Some(bytes)),
        // Broken off: nobody hears the answer.
        Ok(Ok(Err(_))) => Err(TooSlow),
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(TooSlow),
    }
}
