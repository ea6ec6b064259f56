//! What is known of a connection before its consumer runs.

mod answer;
mod deadline;
mod demands;
mod extensions;
mod headers;
mod owner;
mod protocol;
mod request;
mod url_route;

use std::net::SocketAddr;

use actix_web::http::Method;

#[cfg(feature = "auth")]
pub(crate) use self::demands::{Join, Still};
use self::request::path_and_query;
pub(crate) use self::{
    answer::Answer,
    deadline::{Alarm, Deadline},
    demands::Demands,
    owner::{Owner, PageAllowed},
    request::decode,
};
pub use self::{
    extensions::Extensions,
    headers::Headers,
    protocol::Protocol,
    url_route::{ArgError, UrlRoute},
};
use crate::{routing::Transports, server::Change};

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
    /// A route's pattern has found arguments in the path: it names one of many.
    pub(crate) is_keyed: bool,
    pub(crate) config_changes: Vec<Change>,
    /// What [`serves`](crate::routing::Application::serves) has found out about the route.
    pub(crate) served: Served,
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

/// What is known of a route before anybody is asked.
#[derive(Clone, Default)]
pub(crate) struct Served {
    /// The path has arguments: it names one of many rooms.
    pub(crate) is_room: bool,
    pub(crate) config_changes: Vec<Change>,
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
            is_keyed: false,
            config_changes: Vec::new(),
            served: Served::default(),
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

    /// The kind of the connection.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where the application is mounted; empty at the top.
    #[must_use]
    pub fn root_path(&self) -> &str {
        &self.root_path
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
            is_keyed: self.is_keyed,
            config_changes: Vec::new(),
            served: Served::default(),
            demands: Demands::default(),
            answer: Answer::default(),
            asked: self.asked,
            offered: self.offered,
            owner: self.owner.fork(),
            page: self.page.clone(),
            extensions: self.extensions.clone(),
        }
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
