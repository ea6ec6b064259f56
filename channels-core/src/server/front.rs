//! How the server looks from outside: its name, where it is mounted, the proxies before it.

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::{RequestHead, ServiceRequest},
    http::header::{self, HeaderMap, HeaderValue},
};

use super::{
    Server,
    proxies::{Said, TrustedProxies},
};
use crate::{
    Scope,
    scope::{Protocol, decode},
};

/// The part of the path below the place where the application is mounted.
pub(super) const TAIL: &str = "tail";

/// What a request is seen through.
#[derive(Clone, Default)]
pub(super) struct Front {
    pub(super) proxies: Option<TrustedProxies>,
    pub(super) root_path: String,
    pub(super) name: Option<HeaderValue>,
}

impl Front {
    /// Puts the client that a trusted proxy names in the proxy's place.
    pub(super) fn receive(&self, request: &mut ServiceRequest) {
        if let Some(said) = self.believe(request.head()) {
            if said.client.is_some() {
                request.head_mut().peer_addr = said.client;
            }
            request.extensions_mut().insert(said);
        }
    }

    fn believe(&self, request: &RequestHead) -> Option<Said> {
        self.proxies.as_ref()?.believe(request.peer_addr, &request.headers)
    }

    /// Puts the server's name into an answer.
    pub(super) fn sign(&self, answer: &mut HeaderMap) {
        if let Some(name) = &self.name {
            answer.insert(header::SERVER, name.clone());
        }
    }

    /// What the application is told of a handshake, or of a request.
    pub(super) fn scope(&self, protocol: Protocol, request: &HttpRequest) -> Scope {
        let received = request.extensions().get::<Said>().cloned();
        let said = received.or_else(|| self.believe(request.head())).unwrap_or_default();
        let peer = request.peer_addr();
        // A unix socket has no addresses, though actix-web has one for it.
        let server = Some(request.app_config().local_addr()).filter(|address| address.port() != 0);
        let root = Some(mounted_at(request)).filter(|root| !root.is_empty());
        let root = root.or(said.root_path).unwrap_or_else(|| self.root_path.clone());
        let secure = said.secure.unwrap_or_else(|| request.app_config().secure());
        Scope::new(protocol, &request.uri().to_string())
            .with_method(request.method().clone())
            .with_headers(request.headers())
            .with_addresses(said.client.or(peer), server)
            .with_root_path(root)
            .with_origin(secure, said.host)
    }
}

/// Where in an actix-web application ours is.
fn mounted_at(request: &HttpRequest) -> String {
    let matched = request.match_info();
    let tail = matched.get(TAIL).unwrap_or_else(|| matched.unprocessed()).len();
    let root = matched.as_str();
    // actix-web leaves some characters encoded.
    decode(root[..root.len().saturating_sub(tail)].trim_end_matches('/'))
}

impl Server {
    /// Believes these proxies when they say whose connection they pass on: [`Scope::client`](crate::Scope::client),
    /// [`scheme`](crate::Scope::scheme), [`host`](crate::Scope::host), `peer_addr` of HTTP requests, the limit for each address
    /// and the access log follow. Without it no such header is believed.
    ///
    /// actix-web's own `ConnectionInfo` reads the same headers and believes everybody: ask for `peer_addr`.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.front.proxies = Some(proxies);
        self
    }

    /// The path below which a proxy shows the application, and which it leaves in the requests:
    /// [`Scope::root_path`](crate::Scope::root_path), which the routers strip, as daphne's `--root-path`. HTTP services see the whole path.
    ///
    /// A [trusted proxy](Self::trusted_proxies) may say it for a request in the header `Daphne-Root-Path`, after
    /// [`TrustedProxies::root_path`](crate::server::TrustedProxies::root_path); where the application is
    /// [mounted](Self::mount), the place where it is mounted counts.
    ///
    /// # Panics
    ///
    /// When it is not empty and does not start with `/`.
    #[track_caller]
    pub fn root_path(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        assert!(path.is_empty() || path.starts_with('/'), "a root path starts with `/`, as `/chat`; it is `{path}`");
        self.front.root_path = path;
        self
    }

    /// What every answer says in its header `Server`. Without it there is no such header: strangers need not know what
    /// serves them.
    ///
    /// # Panics
    ///
    /// When it has characters that a header may not have.
    #[track_caller]
    pub fn server_name(mut self, name: &str) -> Self {
        let name = HeaderValue::from_str(name);
        self.front.name = Some(name.expect("a server's name has no control characters"));
        self
    }
}
