//! A request's headers, as small as a connection that lasts wants them.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, TryIntoHeaderPair};

/// The headers of a request, in the order in which the client sent them.
///
/// A connection keeps them for as long as it lives, so they are a plain list without room to spare; there are few.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::scope::Headers;
///
/// let headers: Headers = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "10.0.0.1")].into_iter().collect();
/// assert_eq!(headers.get("x-forwarded-for"), Some("203.0.113.7"));
/// assert_eq!(headers.get_all("x-forwarded-for").count(), 2);
/// ```
#[derive(Clone, Default, Debug)]
pub struct Headers(Box<[(HeaderName, HeaderValue)]>);

impl Headers {
    /// The first value of a header, if it is visible ASCII.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of a header that are visible ASCII.
    pub fn get_all(&self, name: impl AsRef<str>) -> impl Iterator<Item = &str> {
        let fits = move |header: &&(HeaderName, HeaderValue)| header.0.as_str().eq_ignore_ascii_case(name.as_ref());
        self.0.iter().filter(fits).filter_map(|(_, value)| value.to_str().ok())
    }

    /// Names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl From<&HeaderMap> for Headers {
    /// A copy that shares nothing with the buffer of the request, which would live as long as it.
    fn from(headers: &HeaderMap) -> Self {
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes());
        headers.iter().filter_map(|(name, value)| Some((name.clone(), copy(value).ok()?))).collect()
    }
}

impl<H: TryIntoHeaderPair> FromIterator<H> for Headers {
    /// Leaves out what has characters that a header may not have.
    fn from_iter<I: IntoIterator<Item = H>>(headers: I) -> Self {
        Self(headers.into_iter().filter_map(|header| header.try_into_pair().ok()).collect())
    }
}
