//! What the client wrote: path, query, headers, cookies, subprotocols.

use actix_web::{
    cookie::Cookie,
    http::{
        Method,
        header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL},
    },
};
use percent_encoding::percent_decode_str;

use super::{Headers, Scope};

impl Scope {
    /// The method of the request; that of a handshake is `GET`.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
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
}

/// The path and the query of a request's target, which may be a whole URL (RFC 9112, section 3.2.2).
pub(super) fn path_and_query(uri: &str) -> (&str, &str) {
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
