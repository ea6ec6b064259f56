//! What a request wants of a session, by its method and its headers.

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{
            self, ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER,
            SEC_WEBSOCKET_PROTOCOL,
        },
    },
};

use crate::{
    Scope,
    routing::{Transport, Transports},
    scope::{Headers, Protocol},
    server::front::Front,
};

const SESSION: HeaderName = HeaderName::from_static("channels-session");
const ACK: HeaderName = HeaderName::from_static("channels-ack");
const SUBPROTOCOLS: HeaderName = HeaderName::from_static("channels-subprotocols");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) enum Wanted {
    /// A new session, as a stream or to be polled.
    Open {
        stream: bool,
    },
    /// The messages behind the last that the client has.
    Take {
        id: String,
        after: u64,
        stream: bool,
    },
    /// Messages for the consumer.
    Push {
        id: String,
    },
    Close {
        id: String,
    },
    Nonsense(&'static str),
}

/// Whether a request looks like one of a session's.
pub(in crate::server) fn may_carry(method: &Method, headers: &HeaderMap) -> bool {
    match *method {
        Method::POST | Method::DELETE => true,
        Method::OPTIONS => headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        Method::GET => {
            headers.contains_key(SESSION) || headers.contains_key(LAST_EVENT_ID) || accepts_event_stream(headers)
        }
        _ => false,
    }
}

fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split([',', ';'])).any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Wanted {
    /// `None` for a preflight: a browser asks whether a page from elsewhere may ask.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let headers = request.headers();
        let session = text(headers, &SESSION).map(str::to_owned);
        Some(match (request.method(), session) {
            (&Method::OPTIONS, _) => return None,
            (&Method::DELETE, Some(id)) => Self::Close { id },
            (&Method::DELETE, None) => Self::Nonsense("which session? `Channels-Session` says it"),
            (&Method::POST, Some(id)) => Self::Push { id },
            (&Method::POST, None) => Self::Open { stream: false },
            (_, session) => Self::take(headers, session),
        })
    }

    fn take(headers: &HeaderMap, session: Option<String>) -> Self {
        let stream = accepts_event_stream(headers);
        if let Some(id) = session {
            return match text(headers, &ACK).and_then(|number| number.parse().ok()) {
                Some(after) => Self::Take { id, after, stream },
                None => Self::Nonsense("`Channels-Ack` is not the number of a message"),
            };
        }
        // What else a browser calls the last event is not ours, and begins anew.
        match text(headers, &LAST_EVENT_ID).filter(|last| !last.is_empty()) {
            None => Self::Open { stream: true },
            Some(last) => match last.rsplit_once('.').map(|(id, number)| (id.to_owned(), number.parse())) {
                Some((id, Ok(after))) => Self::Take { id, after, stream: true },
                _ => Self::Nonsense("`Last-Event-ID` is not one of a message"),
            },
        }
    }

    /// The transports of which the route must offer one.
    pub(super) fn transports(&self) -> Transports {
        match self {
            Self::Open { stream: true } | Self::Take { stream: true, .. } => Transports::only(Transport::EventStream),
            Self::Open { stream: false } | Self::Take { stream: false, .. } => Transports::only(Transport::LongPoll),
            _ => Transports::REQUESTS,
        }
    }
}

/// What the application is told of a request: the same as of a socket's handshake.
pub(super) fn scope(front: &Front, request: &HttpRequest) -> Scope {
    let mut scope = front.scope(Protocol::Websocket, request);
    let mut headers: Vec<_> = scope.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, _) in &mut headers {
        if *name == SUBPROTOCOLS {
            *name = SEC_WEBSOCKET_PROTOCOL;
        }
    }
    if let Some(origin) = origin_unsaid(&scope) {
        headers.push((ORIGIN, origin));
    }
    scope = scope.with_headers(headers.into_iter().collect::<Headers>());
    scope.asked = Transports::REQUESTS;
    scope
}

/// The origin that a browser leaves out of a `GET` to the page's own host, which a socket's handshake always has: that of
/// the page that is referred to, or of this host if the browser says that they are the same.
fn origin_unsaid(scope: &Scope) -> Option<HeaderValue> {
    if scope.header(ORIGIN.as_str()).is_some() {
        return None;
    }
    let referred = scope.header(REFERER.as_str()).and_then(|page| {
        let start = page.find("://")? + 3;
        let end = page[start..].find('/').map_or(page.len(), |at| start + at);
        Some(page[..end].to_owned())
    });
    let own = || {
        let same = scope.header(SEC_FETCH_SITE.as_str()) == Some("same-origin");
        let scheme = if scope.scheme() == "wss" { "https" } else { "http" };
        scope.host().filter(|_| same).map(|host| format!("{scheme}://{host}"))
    };
    header::HeaderValue::try_from(referred.or_else(own)?).ok()
}
