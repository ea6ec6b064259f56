//! Whose word is taken for who a client is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use actix_web::http::{
    header::{HeaderMap, HeaderName},
    uri::Authority,
};
use ipnet::IpNet;

use super::ConfigError;
use crate::scope::decode;

/// The proxies that are believed when they say for whom they ask: [`Server::trusted_proxies`](crate::Server::trusted_proxies).
///
/// From a trusted peer `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are read, or, after
/// [`forwarded`](Self::forwarded), `Forwarded` (RFC 7239) alone: never both, because a proxy that writes one of them
/// passes on what a client wrote into the other. The list is walked from its right end, over addresses that are trusted,
/// to the first that is not: that is the client. What stands further left is the client's own word.
///
/// # Untrusted input
///
/// From a peer that is not trusted the headers change nothing. Nor does a list with something on the way that is no
/// address (`unknown`, `_hidden`, a broken one), a scheme that is neither `http` nor `https` (nor `ws`, `wss`), or a host
/// that is none. The headers stay in the scope as they were sent.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{ProtocolTypeRouter, Server};
/// # let app = ProtocolTypeRouter::new();
/// use channels::server::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "::1"])?.unix_sockets();
/// let server = Server::new(app).trusted_proxies(proxies);
/// # Ok::<(), channels::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    unix_sockets: bool,
    forwarded: bool,
    root_path: bool,
}

/// What a proxy that is believed says of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) client: Option<SocketAddr>,
    pub(super) secure: Option<bool>,
    pub(super) host: Option<String>,
    pub(super) root_path: Option<String>,
}

/// One hop, as one proxy wrote it.
#[derive(Clone, Copy, Default)]
struct Hop<'a> {
    client: Option<&'a str>,
    proto: Option<&'a str>,
    host: Option<&'a str>,
}

impl TrustedProxies {
    /// These addresses (`10.1.2.3`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Proxy`] with the first that is neither.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let network = |text: T| {
            let text = text.as_ref();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| ConfigError::Proxy { network: text.to_owned() })
        };
        let networks = networks.into_iter().map(network).collect::<Result<_, _>>()?;
        Ok(Self { networks, unix_sockets: false, forwarded: false, root_path: false })
    }

    /// The same, and whoever connects by a unix socket.
    #[must_use]
    pub fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// The same proxies, which write `Forwarded` (RFC 7239) and not `X-Forwarded-For`.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        self.forwarded = true;
        self
    }

    /// The same proxies, which say in `Daphne-Root-Path` below which path they show the application:
    /// [`Server::root_path`](crate::Server::root_path). Of several such lines the last counts, which is the nearest proxy's.
    /// Say it only when every one of them sets the header: one that does not passes on what a client wrote there.
    #[must_use]
    pub fn root_path(mut self) -> Self {
        self.root_path = true;
        self
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// What this peer says, if it is believed; a peer without an address is at a unix socket.
    pub(super) fn believe(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<Said> {
        if !peer.map_or(self.unix_sockets, |peer| self.trusts(peer.ip())) {
            return None;
        }
        let hops = if self.forwarded { forwarded(headers) } else { x_forwarded(headers) };
        let (client, hop) = self.walk(&hops);
        let root_path = lines(headers, "daphne-root-path").last().filter(|_| self.root_path).map(decode);
        Some(Said {
            client,
            secure: hop.proto.and_then(secure),
            host: hop.host.filter(|host| is_host(host)).map(str::to_owned),
            root_path: root_path.filter(|path| path.is_empty() || path.starts_with('/')),
        })
    }

    /// The first address from the right that is not trusted, else the leftmost, and what its hop says beside it.
    fn walk<'a>(&self, hops: &[Hop<'a>]) -> (Option<SocketAddr>, Hop<'a>) {
        let nearest = hops.last().copied().unwrap_or_default();
        let mut found = (None, nearest);
        for hop in hops.iter().rev() {
            let Some(text) = hop.client else { continue };
            let Some(client) = address(text) else { return (None, nearest) };
            found = (Some(client), *hop);
            if !self.trusts(client.ip()) {
                break;
            }
        }
        found
    }
}

fn lines<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.get_all(HeaderName::from_static(name)).map(|line| line.to_str().unwrap_or("?"))
}

/// A hop for each entry of `X-Forwarded-For`, the other two beside it as their proxies appended them: aligned at the right.
/// One that is shorter has its leftmost for all further left.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let list = |name| -> Vec<&str> { lines(headers, name).flat_map(|line| line.split(',')).map(str::trim).collect() };
    let clients = list("x-forwarded-for");
    let (protos, hosts) = (list("x-forwarded-proto"), list("x-forwarded-host"));
    let from_right =
        |list: &[&'_ str], nth: usize| list.len().checked_sub(nth + 1).or(Some(0)).filter(|_| !list.is_empty());
    let hop = |nth: usize| Hop {
        client: clients.len().checked_sub(nth + 1).map(|at| clients[at]),
        proto: from_right(&protos, nth).map(|at| protos[at]),
        host: from_right(&hosts, nth).map(|at| hosts[at]),
    };
    (0..clients.len().max(1)).rev().map(hop).collect()
}

/// A hop for each element of `Forwarded`; a list that breaks the grammar (RFC 7239, section 4) is none.
fn forwarded(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let elements = lines(headers, "forwarded").flat_map(|line| split(line, ','));
    elements.map(element).collect::<Option<_>>().unwrap_or_default()
}

fn element(element: &str) -> Option<Hop<'_>> {
    let mut hop = Hop::default();
    for pair in split(element, ';') {
        let (name, value) = pair.trim().split_once('=')?;
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').filter(|text| !text.contains(['"', '\\']))?,
            None => value,
        };
        let field = match name.to_ascii_lowercase().as_str() {
            "for" => &mut hop.client,
            "proto" => &mut hop.proto,
            "host" => &mut hop.host,
            _ => continue,
        };
        if field.replace(value).is_some() {
            return None;
        }
    }
    Some(hop)
}

/// Splits where it is not within quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == at && !quoted
    })
}

/// An address with or without a port (which is 0 then): `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]`, `[fd00::1]:80`.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = text.parse().ok().or_else(|| bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)))?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn secure(proto: &str) -> Option<bool> {
    match proto.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

fn is_host(host: &str) -> bool {
    !host.contains('@') && host.parse::<Authority>().is_ok()
}
