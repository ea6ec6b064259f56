//! How the server looks from outside: its name, where it is mounted, the proxies before it.

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::{RequestHead, ServiceRequest},
    http::header::{self, HeaderMap, HeaderValue},
};

use super::proxies::{Said, TrustedProxies};
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
