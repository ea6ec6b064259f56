//! The handshake's answers (RFC 6455, section 4.2).

use actix_http::ws::{HandshakeError, handshake, verify_handshake};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Version,
        header::{self, HeaderName},
    },
};
use bytes::Bytes;

use crate::consumer::Accept;

/// The answer to a handshake that cannot be accepted; `None` when it can.
///
/// 405 for another method than GET, 426 with the supported version for a version that is not 13, 400 for what else is
/// wrong or missing (RFC 6455, sections 4.2.1 and 4.4).
pub(crate) fn refusal(request: &HttpRequest) -> Option<HttpResponse> {
    let error = match verify_handshake(request.head()) {
        Ok(()) => return lets_through(request).map(|why| refuse(&mut HttpResponse::BadRequest(), why)),
        Err(error) => error,
    };
    let mut response = match error {
        HandshakeError::GetMethodRequired => {
            let mut response = HttpResponse::MethodNotAllowed();
            response.insert_header((header::ALLOW, "GET"));
            response
        }
        HandshakeError::UnsupportedVersion => {
            let mut response = HttpResponse::UpgradeRequired();
            response.insert_header((header::UPGRADE, "websocket")).insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
            response
        }
        _ => HttpResponse::BadRequest(),
    };
    Some(refuse(&mut response, error.to_string()))
}

fn refuse(response: &mut HttpResponseBuilder, why: impl Into<String>) -> HttpResponse {
    response.content_type("text/plain; charset=utf-8").body(why.into())
}

/// What actix lets through and section 4.2.1 does not.
fn lets_through(request: &HttpRequest) -> Option<&'static str> {
    let times = |name| request.headers().get_all(name).count();
    if request.version() != Version::HTTP_11 {
        Some("the handshake is not HTTP/1.1")
    } else if !names(request, header::UPGRADE, "websocket") {
        Some("the upgrade is not one to `websocket`")
    } else if !names(request, header::CONNECTION, "upgrade") {
        Some("the connection is not one to upgrade")
    } else if times(header::SEC_WEBSOCKET_KEY) != 1 || times(header::SEC_WEBSOCKET_VERSION) != 1 {
        Some("the key or the version is there twice") // sections 11.3.1 and 11.3.5
    } else {
        None
    }
}

/// Whether a header that is a list, perhaps on several lines, has this word, in capitals or not.
fn names(request: &HttpRequest, list: HeaderName, word: &str) -> bool {
    let lines = request.headers().get_all(list).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|named| named.trim().eq_ignore_ascii_case(word))
}

/// The answer 101 to a handshake without a [`refusal`].
pub(crate) fn accept(
    request: &HttpRequest,
    accept: &Accept,
    extension: Option<String>,
) -> Result<HttpResponse, actix_web::Error> {
    let mut response = handshake(request.head())?;
    if let Some(extension) = extension {
        response.insert_header((header::SEC_WEBSOCKET_EXTENSIONS, extension));
    }
    if let Some(subprotocol) = &accept.subprotocol {
        // A client fails a connection whose subprotocol it did not offer (section 4.2.2); their case counts.
        let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|line| line.to_str().ok());
        if offers.flat_map(|line| line.split(',')).any(|offer| offer.trim() == subprotocol) {
            response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, subprotocol.as_str()));
        } else {
            tracing::warn!(
                path = request.path(),
                subprotocol,
                "a subprotocol that the client did not offer is left out"
            );
        }
    }
    for header in &accept.headers {
        response.append_header(header.clone());
    }
    Ok(HttpResponse::from(response.finish()).map_into_boxed_body())
}

/// The same as it goes over the wire (RFC 9112, section 4).
pub(crate) fn head(response: &HttpResponse) -> Bytes {
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n".to_vec();
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}
