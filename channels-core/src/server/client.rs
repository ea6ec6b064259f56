//! The client for browsers, as the server serves it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETag, EntityTag, Header as _, IfNoneMatch},
};

const SCRIPT: &str = include_str!("../../client/dist/channels.js");

static TAG: LazyLock<EntityTag> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    SCRIPT.hash(&mut hasher);
    EntityTag::new_strong(format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish()))
});

/// Answers with `channels.js`, the client for browsers: for an actix-web application of one's own.
/// [`Server::client`](super::Server::client) does the same.
///
/// It has an `ETag`: a browser asks each time whether what it has is still right, and is answered with 304. Pages of other
/// origins may import it; it has no secrets.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use actix_web::{App, web};
///
/// let app = App::new().route("/static/channels.js", web::get().to(channels::server::client_script));
/// ```
pub async fn client_script(request: HttpRequest) -> HttpResponse {
    let known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&TAG)),
        Err(_) => false,
    };
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header(ETag(TAG.clone()));
    answer.insert_header((CACHE_CONTROL, "no-cache"));
    answer.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    if known { answer.finish() } else { answer.content_type("text/javascript; charset=utf-8").body(SCRIPT) }
}
