//! What a page from elsewhere is told, if an origin validator lets it through (WHATWG Fetch, section 3.2).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap, HeaderValue, ORIGIN, VARY,
    },
};

use crate::{routing::Outcome, scope::PageAllowed};

/// Lets the page read the answer.
pub(super) fn allow(page: &PageAllowed, request: &HttpRequest, answer: &mut HeaderMap) {
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if page.is_allowed()
        && let Some(origin) = request.headers().get(ORIGIN)
    {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        answer.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
}

/// The answer to a browser that asks before a page's request. It has no cookies, so whoever else refuses it does so for
/// who asks, and not for the page.
pub(super) fn preflight(outcome: Outcome, request: &HttpRequest) -> HttpResponse {
    if let Outcome::NoRoute(_) = outcome {
        return HttpResponse::NotFound().finish();
    }
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"));
    answer.insert_header((ACCESS_CONTROL_MAX_AGE, "600"));
    if let Some(headers) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
    }
    answer.finish()
}
