//! What is known of a connection before its consumer runs.

mod answer;
mod deadline;
mod demands;
mod extensions;
mod headers;
mod owner;
mod url_route;

use std::net::SocketAddr;

use actix_web::{
    cookie::Cookie,
    http::{
        Method,
        header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL},
    },
};
use percent_encoding::percent_decode_str;

#[cfg(feature = "auth")]
pub(crate) use self::demands::{Join, Still};
pub(crate) use self::{
    answer::Answer,
    deadline::{Alarm, Deadline},
    demands::Demands,
    owner::{Owner, PageAllowed},
};
pub use self::{
    extensions::Extensions,
    headers::Headers,
    url_route::{ArgError, UrlRoute},
};
use crate::{routing::Transports, server::Change};

/// The kind of a connection; [`ProtocolTypeRouter`](crate::ProtocolTypeRouter) chooses by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// A WebSocket.
    Websocket,
    /// An HTTP request.
    Http,
    /// A named channel that a worker serves.
    Channel,
}

impl Protocol {
    /// The name that Channels gives it: `websocket`, `http`, `channel`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Http => "http",
            Self::Channel => "channel",
        }
    }
}

/// What is known of a connection: protocol, path, headers, addresses, URL arguments.
///
/// Channels' `scope`, with fields for its keys and typed [`extensions`](Scope::extensions) where Channels lets
/// middleware add keys of its own.
///
/// # Untrusted input
///
/// Everything in it except the addresses is what the client wrote. The path is percent-decoded where the result is
/// UTF-8 and left as it is otherwise.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::Scope;
///
/// let scope = Scope::websocket("/ws/caf%C3%A9/?name=Bob");
/// assert_eq!(scope.path(), "/ws/café/");
/// assert_eq!(scope.raw_path(), "/ws/caf%C3%A9/");
/// assert_eq!(scope.query("name").as_deref(), Some("Bob"));
/// ```
pub struct Scope {
    protocol: Protocol,
    method: Method,
    path: String,
    raw_path: String,
    query_string: String,
    root_path: String,
    headers: Headers,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
    secure: bool,
    /// The host that a trusted proxy names.
    forwarded_host: Option<String>,
    subprotocols: Vec<String>,
    pub(crate) url_route: UrlRoute,
    pub(crate) path_remaining: Option<String>,
    pub(crate) config_changes: Vec<Change>,
    pub(crate) demands: Demands,
    /// The cookies that go with the answer to the handshake.
    pub(crate) answer: Answer,
    /// How the client asks for a consumer, and how the route offers it.
    pub(crate) asked: Transports,
    pub(crate) offered: Transports,
    pub(crate) owner: Owner,
    pub(crate) page: PageAllowed,
    extensions: Extensions,
}

impl Scope {
    /// A scope for `protocol` and a raw (percent-encoded) path with or without a query, or a whole URL, of which those are
    /// taken.
    #[must_use]
    pub fn new(protocol: Protocol, uri: &str) -> Self {
        let (raw_path, query) = path_and_query(uri);
        Self {
            protocol,
            method: Method::GET,
            path: decode(raw_path),
            raw_path: raw_path.to_owned(),
            query_string: query.to_owned(),
            root_path: String::new(),
            headers: Headers::default(),
            client: None,
            server: None,
            secure: false,
            forwarded_host: None,
            subprotocols: Vec::new(),
            url_route: UrlRoute::default(),
            path_remaining: None,
            config_changes: Vec::new(),
            demands: Demands::default(),
            answer: Answer::default(),
            asked: Transports::default(),
            offered: Transports::default(),
            owner: Owner::default(),
            page: PageAllowed::default(),
            extensions: Extensions::default(),
        }
    }

    /// A WebSocket's scope, as a test makes one.
    #[must_use]
    pub fn websocket(uri: &str) -> Self {
        Self::new(Protocol::Websocket, uri)
    }

    /// The same scope with these headers; `Sec-WebSocket-Protocol` fills [`subprotocols`](Self::subprotocols).
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::{Scope, scope::Headers};
    ///
    /// let headers = [("Cookie", "member=7; theme=dark"), ("Sec-WebSocket-Protocol", "v1, v2")];
    /// let scope = Scope::websocket("/").with_headers(headers.into_iter().collect::<Headers>());
    /// assert_eq!(scope.cookie("theme").as_deref(), Some("dark"));
    /// assert_eq!(scope.subprotocols(), ["v1", "v2"]);
    /// ```
    #[must_use]
    pub fn with_headers(mut self, headers: impl Into<Headers>) -> Self {
        let headers = headers.into();
        self.subprotocols = headers
            .get_all("Sec-WebSocket-Protocol")
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        self.headers = headers;
        self
    }

    /// The same scope with these addresses of client and server.
    #[must_use]
    pub fn with_addresses(mut self, client: Option<SocketAddr>, server: Option<SocketAddr>) -> Self {
        (self.client, self.server) = (client, server);
        self
    }

    /// The same scope, over TLS or not, and with the host that a trusted proxy was asked for.
    pub(crate) fn with_origin(mut self, secure: bool, forwarded_host: Option<String>) -> Self {
        (self.secure, self.forwarded_host) = (secure, forwarded_host);
        self
    }

    /// The same scope under this root path, which the routers strip: where the application is mounted.
    #[must_use]
    pub fn with_root_path(mut self, root_path: impl Into<String>) -> Self {
        self.root_path = root_path.into();
        self
    }

    /// The same scope with these URL arguments, as a test of one consumer sets them.
    #[must_use]
    pub fn with_kwargs<K: Into<String>, V: ToString>(mut self, kwargs: impl IntoIterator<Item = (K, V)>) -> Self {
        for (name, value) in kwargs {
            self.url_route.set(&name.into(), value.to_string());
        }
        self
    }

    /// The same scope with this method of its request.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The method of the request; that of a handshake is `GET`.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The kind of the connection.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The path, percent-decoded, with its leading slash and with the root path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path as the client wrote it.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// The query without its `?`, as the client wrote it; empty when there is none.
    #[must_use]
    pub fn query_string(&self) -> &str {
        &self.query_string
    }

    /// The first value of `name` in the query, decoded as a form's field (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&self.query_string).ok()?;
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Where the application is mounted; empty at the top.
    #[must_use]
    pub fn root_path(&self) -> &str {
        &self.root_path
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The first value of a header, if it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The cookies the client sent, percent-decoded; those that do not parse are left out.
    pub fn cookies(&self) -> impl Iterator<Item = Cookie<'_>> {
        self.headers
            .get_all("Cookie")
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| Cookie::parse_encoded(cookie.trim()).ok())
    }

    /// The value of the first cookie of this name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
    }

    /// Sets a cookie in the client, with the answer to the handshake: an acceptance, or a refusal by `connect`. Once that
    /// is out, it does nothing. Channels' `CookieMiddleware.set_cookie`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn connect(cx: &mut Context) -> Result<()> {
    /// use channels::actix_web::cookie::{Cookie, SameSite};
    ///
    /// let cookie = Cookie::build("theme", "dark").path("/").http_only(true).same_site(SameSite::Lax).finish();
    /// cx.scope().set_cookie(&cookie);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// When path or domain have characters that a header may not have; name and value are percent-encoded.
    #[track_caller]
    pub fn set_cookie(&self, cookie: &Cookie<'_>) {
        match HeaderValue::try_from(cookie.encoded().to_string()) {
            Ok(header) => self.answer.push(header),
            Err(error) => panic!("cookie `{}` cannot be a header: {error}", cookie.name()),
        }
    }

    /// The address of the client: of its end of the socket, or where that is a
    /// [trusted proxy](crate::Server::trusted_proxies), the one that it names, with port 0 if it names none. `None` at a unix
    /// socket whose peer is not trusted, and in tests.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    /// The scheme of the client's URL: `ws` or `wss` (`http` or `https` for HTTP), by the socket or by the word of a
    /// [trusted proxy](crate::Server::trusted_proxies).
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Scope;
    /// assert_eq!(Scope::websocket("/").scheme(), "ws");
    /// ```
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.protocol, self.secure) {
            (Protocol::Http, false) => "http",
            (Protocol::Http, true) => "https",
            (_, false) => "ws",
            (_, true) => "wss",
        }
    }

    /// The host that the client asked for, with its port if the URL had one: the header `Host`, or the word of a
    /// [trusted proxy](crate::Server::trusted_proxies) for it.
    ///
    /// # Untrusted input
    ///
    /// `Host` is what the client wrote. Compare it with names you know before you build a link of it.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.forwarded_host.as_deref().or_else(|| self.header("Host"))
    }

    /// The address of the server's end of the socket; `None` at a unix socket.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.server
    }

    /// The subprotocols the client offers, in its order of preference.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// Takes the first subprotocol with this prefix out of those that are offered, and out of the headers: what follows
    /// the prefix is a secret, and must not be chosen as a subprotocol by mistake.
    pub(crate) fn take_subprotocol(&mut self, prefix: &str) -> Option<String> {
        let at = self.subprotocols.iter().position(|name| name.starts_with(prefix))?;
        let taken = self.subprotocols.remove(at).split_off(prefix.len());
        let offered = SEC_WEBSOCKET_PROTOCOL;
        let others = self.headers.iter().filter(|(name, _)| **name != offered);
        let mut headers: Vec<_> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Ok(left) = HeaderValue::try_from(self.subprotocols.join(", ")) {
            headers.push((offered, left));
        }
        self.headers = headers.into_iter().collect();
        Some(taken)
    }

    /// Values that middleware leaves for the consumer, by their type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Scope;
    /// struct UserId(u64);
    ///
    /// let mut scope = Scope::websocket("/");
    /// scope.extensions_mut().insert(UserId(7));
    /// assert_eq!(scope.extensions().get::<UserId>().map(|user| user.0), Some(7));
    /// ```
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same, to add to them.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The session that the middleware [`Sessions`](crate::middleware::Sessions) loaded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// let cart: Vec<u32> = cx.scope().session()?.get("cart")?.unwrap_or_default();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SessionError::Missing`](crate::middleware::SessionError::Missing) when that middleware is not in front of the
    /// consumer.
    #[cfg(feature = "session")]
    pub fn session(&self) -> Result<&crate::middleware::Session, crate::middleware::SessionError> {
        self.extensions.get().ok_or(crate::middleware::SessionError::Missing)
    }

    /// The scope of a stream within this connection. What middleware wants done for the connection is not done again.
    pub(crate) fn fork(&self) -> Self {
        Self {
            protocol: self.protocol,
            method: self.method.clone(),
            path: self.path.clone(),
            raw_path: self.raw_path.clone(),
            query_string: self.query_string.clone(),
            root_path: self.root_path.clone(),
            headers: self.headers.clone(),
            client: self.client,
            server: self.server,
            secure: self.secure,
            forwarded_host: self.forwarded_host.clone(),
            subprotocols: self.subprotocols.clone(),
            url_route: self.url_route.clone(),
            path_remaining: self.path_remaining.clone(),
            config_changes: Vec::new(),
            demands: Demands::default(),
            answer: Answer::default(),
            asked: self.asked,
            offered: self.offered,
            owner: self.owner.fork(),
            page: self.page.clone(),
            extensions: self.extensions.clone(),
        }
    }

    /// Says whose connection this is, for a session over several requests
    /// ([`Route::transports`](crate::routing::Route::transports)): the requests of somebody else, or of nobody, do not reach it
    /// and are answered with 410. Middleware that finds out by itself who a client is calls it for every request;
    /// [`AuthMiddleware`](crate::auth::AuthMiddleware) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Deny, Scope};
    /// # struct ByKey;
    /// # impl channels::Middleware for ByKey {
    /// async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
    ///     let key = scope.header("X-Api-Key").map(str::to_owned).ok_or_else(Deny::forbidden)?;
    ///     scope.set_owner(key);
    ///     Ok(scope)
    /// }
    /// # }
    /// ```
    pub fn set_owner(&self, owner: impl Into<String>) {
        self.owner.set(Some(owner.into()));
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("protocol", &self.protocol)
            .field("path", &self.path)
            .field("query_string", &self.query_string)
            .field("client", &self.client)
            .field("url_route", &self.url_route)
            .finish_non_exhaustive()
    }
}

/// The path and the query of a request's target, which may be a whole URL (RFC 9112, section 3.2.2).
fn path_and_query(uri: &str) -> (&str, &str) {
    let uri = uri.split_once('#').map_or(uri, |(uri, _)| uri);
    let (before, query) = uri.split_once('?').unwrap_or((uri, ""));
    let path = match before.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => before,
    };
    (path, query)
}

pub(crate) fn decode(raw: &str) -> String {
    percent_decode_str(raw).decode_utf8().map_or_else(|_| raw.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<const N: usize>(pairs: [(&'static str, &'static str); N]) -> Headers {
        pairs.into_iter().collect()
    }

    #[test]
    fn path_is_decoded_and_query_is_not() {
        let scope = Scope::websocket("/ws/a%20b/?x=%20&y=2");
        assert_eq!((scope.path(), scope.raw_path(), scope.query_string()), ("/ws/a b/", "/ws/a%20b/", "x=%20&y=2"));
        assert_eq!(scope.query("x").as_deref(), Some(" "));
    }

    #[test]
    fn a_path_that_is_not_utf8_stays_as_it_was_written() {
        assert_eq!(Scope::websocket("/%ff/").path(), "/%ff/");
    }

    #[test]
    fn subprotocols_keep_the_clients_order_over_several_headers() {
        let headers = headers([("sec-websocket-protocol", "chat, superchat"), ("sec-websocket-protocol", "last")]);
        let scope = Scope::websocket("/").with_headers(headers);
        assert_eq!(scope.subprotocols(), ["chat", "superchat", "last"]);
    }

    #[test]
    fn cookies_are_parsed_and_broken_ones_left_out() {
        let scope = Scope::websocket("/").with_headers(headers([("cookie", "a=1; broken; b=%E8%AF%BB")]));
        assert_eq!(scope.cookie("a").as_deref(), Some("1"));
        assert_eq!(scope.cookie("b").as_deref(), Some("读"));
        assert_eq!(scope.cookies().count(), 2);
    }
}
