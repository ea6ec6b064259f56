//! Which pages may open a socket here.

use actix_web::http::header::ORIGIN;
use thiserror::Error;

use super::Middleware;
use crate::{Deny, Result, Scope, scope::Headers};

/// A pattern of an origin that is none.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{pattern}` is not an origin: {why}")]
#[non_exhaustive]
pub struct OriginError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Refuses handshakes of pages from elsewhere with 403. Channels' `OriginValidator`.
///
/// A browser lets any page open a socket to any host, with that host's cookies, and says only in `Origin` which page it
/// is. A server whose users log in by cookie must look at it.
///
/// | pattern | allows |
/// |---|---|
/// | `example.com` | that host, with any scheme and port |
/// | `.example.com` | that host and every one below it |
/// | `https://example.com` | that scheme and host, at the scheme's own port |
/// | `http://example.com:8080`, `http://.example.com:8080` | that scheme, host or hosts, and port |
/// | `*` | every origin, and clients that send none |
///
/// A client that sends no `Origin`, or several, which no browser is, is refused unless `*` is allowed.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{URLRouter, middleware::{Middleware, OriginValidator}, path};
///
/// let routes = URLRouter::new([path("ws/", ChatConsumer::default)])?;
/// let guarded = OriginValidator::new(["https://example.com", ".staging.example.com"])?.wrap(routes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Untrusted input
///
/// `Origin` is the client's; it protects the users of browsers, not the server from other programs.
#[derive(Clone, Debug)]
pub struct OriginValidator(Vec<Pattern>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Pattern {
    Any,
    Host(Host),
    Origin { scheme: String, host: Host, port: Option<u16> },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Exactly(String),
    /// With its leading dot.
    Below(String),
}

impl OriginValidator {
    /// One that allows these origins; none of them means nobody.
    ///
    /// # Errors
    ///
    /// [`OriginError`] with the first pattern that is none.
    pub fn new<P: AsRef<str>>(allowed: impl IntoIterator<Item = P>) -> Result<Self, OriginError> {
        allowed.into_iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    fn allows(&self, origin: Option<&str>) -> bool {
        let origin = origin.and_then(parse);
        self.0.iter().any(|pattern| pattern.allows(origin.as_ref()))
    }
}

impl Middleware for OriginValidator {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        let origin = origin(scope.headers());
        if self.allows(origin) {
            scope.page.allow();
            return Ok(scope);
        }
        tracing::info!(path = scope.path(), origin, "a page from elsewhere was refused");
        Err(Deny::forbidden().body("this origin is not allowed"))
    }
}

/// An [`OriginValidator`] by hosts alone: Channels' `AllowedHostsOriginValidator`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{URLRouter, middleware::{AllowedHosts, Middleware}, path};
///
/// let routes = URLRouter::new([path("ws/", ChatConsumer::default)])?;
/// let guarded = AllowedHosts::from(["example.com", "localhost"]).wrap(routes);
/// # Ok::<(), channels::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AllowedHosts(OriginValidator);

impl<const N: usize> From<[&str; N]> for AllowedHosts {
    /// Allows these hosts, with any scheme and port; `.example.com` allows the hosts below it too, `*` everybody. As in
    /// Channels, one with a scheme is a pattern of [`OriginValidator`]'s. What is none allows nobody, and the log says so.
    fn from(hosts: [&str; N]) -> Self {
        hosts.into_iter().collect()
    }
}

impl<'a> FromIterator<&'a str> for AllowedHosts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(hosts: I) -> Self {
        let pattern = |host| {
            Pattern::parse(host)
                .inspect_err(|error| tracing::warn!(%error, "a host of `AllowedHosts` allows nobody"))
                .ok()
        };
        Self(OriginValidator(hosts.into_iter().filter_map(pattern).collect()))
    }
}

impl Middleware for AllowedHosts {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        self.0.before(scope).await
    }
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Self, OriginError> {
        let wrong = |why| OriginError { pattern: pattern.to_owned(), why };
        if pattern == "*" {
            return Ok(Self::Any);
        }
        if pattern.contains('*') {
            return Err(wrong("`*` stands alone; all hosts below a domain are `.example.com`"));
        }
        let (scheme, rest) = match pattern.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, pattern),
        };
        if rest.contains('/') {
            return Err(wrong("an origin has no path"));
        }
        if rest.contains(['@', '\\', '?', '#']) || rest.contains(char::is_whitespace) {
            return Err(wrong("an origin is a host, and a scheme and a port if need be"));
        }
        let (host, port) = host_and_port(rest).ok_or_else(|| wrong("its port is not a number"))?;
        let Some(scheme) = scheme else {
            return match host {
                "" => Err(wrong("it has no host")),
                host => Ok(Self::Host(Host::parse(host))),
            };
        };
        if scheme.is_empty() || host.is_empty() {
            return Err(wrong("it has no scheme or no host"));
        }
        let scheme = scheme.to_ascii_lowercase();
        Ok(Self::Origin { port: port.or_else(|| default_port(&scheme)), host: Host::parse(host), scheme })
    }

    fn allows(&self, origin: Option<&Origin>) -> bool {
        match (self, origin) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Host(host), Some(origin)) => host.is(&origin.host),
            (Self::Origin { scheme, host, port }, Some(origin)) => {
                *scheme == origin.scheme && *port == origin.port && host.is(&origin.host)
            }
        }
    }
}

impl Host {
    fn parse(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        if host.starts_with('.') { Self::Below(host) } else { Self::Exactly(host) }
    }

    fn is(&self, host: &str) -> bool {
        match self {
            Self::Exactly(own) => own == host,
            Self::Below(own) => host.ends_with(own.as_str()) || host == &own[1..],
        }
    }
}

/// The origin that the client names. A browser names one; of two, nobody can say which is the browser's.
fn origin(headers: &Headers) -> Option<&str> {
    let mut named = headers.iter().filter(|(name, _)| *name == ORIGIN);
    let (_, origin) = named.next()?;
    if named.next().is_some() { None } else { origin.to_str().ok() }
}

/// What a browser sends (RFC 6454, section 6.2).
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// `None` for `null`, and for what is no origin.
fn parse(origin: &str) -> Option<Origin> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = host_and_port(rest)?;
    let fits = |text: &str| !text.is_empty() && !text.contains(['/', '@', '\\', '?', '#']) && text.is_ascii();
    if !fits(scheme) || !fits(host) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    Some(Origin { port: port.or_else(|| default_port(&scheme)), host: host.to_ascii_lowercase(), scheme })
}

/// Splits `host:port`; an IPv6 address keeps its brackets. `None` for a port that is not a number.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    match colon {
        Some(colon) => Some((&authority[..colon], Some(authority[colon + 1..].parse().ok()?))),
        None => Some((authority, None)),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows<const N: usize>(patterns: [&str; N], origin: &str) -> bool {
        OriginValidator::new(patterns).unwrap().allows(Some(origin))
    }

    #[test]
    fn hosts_are_allowed_exactly_or_with_all_below_them() {
        assert!(allows(["allowed-domain.com"], "http://allowed-domain.com"));
        assert!(allows(["allowed-domain.com"], "https://allowed-domain.com:8443"));
        assert!(!allows(["allowed-domain.com"], "http://bad-domain.com"));
        assert!(!allows(["allowed-domain.com"], "http://sub.allowed-domain.com"));
        assert!(!allows(["allowed-domain.com"], "http://evil-allowed-domain.com"));
        assert!(allows([".allowed-domain.com"], "http://sub.allowed-domain.com"));
        assert!(allows([".allowed-domain.com"], "http://allowed-domain.com"));
        assert!(!allows([".allowed-domain.com"], "http://evil-allowed-domain.com"));
        assert!(allows(["Allowed-Domain.com"], "http://ALLOWED-domain.com"));
        assert!(allows(["[::1]"], "http://[::1]:8000"));
    }

    #[test]
    fn scheme_and_port_count_where_the_pattern_has_them() {
        assert!(allows(["http://allowed-domain.com"], "http://allowed-domain.com"));
        assert!(allows(["http://allowed-domain.com"], "http://allowed-domain.com:80"));
        assert!(!allows(["http://allowed-domain.com"], "https://allowed-domain.com"));
        assert!(!allows(["http://allowed-domain.com"], "http://allowed-domain.com:8080"));
        assert!(allows(["https://allowed-domain.com:443"], "https://allowed-domain.com"));
        assert!(allows(["http://.allowed-domain.com:8080"], "http://a.allowed-domain.com:8080"));
        assert!(!allows(["http://.allowed-domain.com:8080"], "http://a.allowed-domain.com:8081"));
    }

    #[test]
    fn allowed_hosts_are_the_same_patterns() {
        let allows = |host, origin| AllowedHosts::from([host]).0.allows(Some(origin));
        assert!(allows("example.com:8000", "https://example.com"), "the port counts only behind a scheme");
        assert!(allows("https://example.com", "https://example.com"));
        assert!(!allows("https://example.com", "http://example.com"));
        assert!(!allows("*.example.com", "http://a.example.com"));
        assert!(allows("*", "http://a.example.com"));
    }

    #[test]
    fn no_origin_is_allowed_only_to_everybody() {
        let nobody: [&str; 0] = [];
        assert!(!OriginValidator::new(nobody).unwrap().allows(Some("http://example.com")));
        assert!(!OriginValidator::new(["example.com"]).unwrap().allows(None));
        assert!(OriginValidator::new(["*"]).unwrap().allows(None));
        assert!(allows(["*"], "null"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origin in [
            "null",
            "",
            "example.com",
            "http://",
            "http://example.com:x",
            "http://x@example.com",
            "http://evil/example.com",
        ] {
            assert!(!allows(["example.com", ".example.com"], origin), "{origin}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error_that_names_it() {
        let why = |pattern: &str| OriginValidator::new([pattern]).unwrap_err().to_string();
        assert_eq!(why("http://"), "`http://` is not an origin: it has no scheme or no host");
        assert_eq!(why("http://a:b"), "`http://a:b` is not an origin: its port is not a number");
        assert_eq!(why("http://a/b"), "`http://a/b` is not an origin: an origin has no path");
        assert_eq!(why("a/b"), "`a/b` is not an origin: an origin has no path");
        for (before, after) in [("http://", ""), ("", ""), ("", ":80")] {
            for host in ["x@a", "a?b", "a#b", "a\\b", "a b", " a", "a\t"] {
                let pattern = format!("{before}{host}{after}");
                assert!(
                    why(&pattern).ends_with("an origin is a host, and a scheme and a port if need be"),
                    "{pattern}"
                );
            }
        }
        assert_eq!(why(""), "`` is not an origin: it has no host");
        assert_eq!(
            why("*.allowed-domain.com"),
            "`*.allowed-domain.com` is not an origin: `*` stands alone; all hosts below a domain are `.example.com`"
        );
    }
}
