//! What the routers found in the path.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use thiserror::Error;

use super::Scope;
use crate::room;

/// What the routers found in the path: Channels' `scope["url_route"]`.
///
/// Values are text, percent-decoded; [`Scope::kwarg_as`] and [`Scope::kwargs`] give them types.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UrlRoute {
    /// Unnamed groups, outer routers first.
    pub args: Vec<String>,
    /// Named groups and defaults; an inner router's value stands over an outer one's.
    pub kwargs: Vec<(String, String)>,
}

impl UrlRoute {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.kwargs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        match self.kwargs.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => room::push(&mut self.kwargs, (name.to_owned(), value)),
        }
    }
}

/// An argument of the URL that is missing or does not fit.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ArgError {
    /// No route on the way here names this argument: name it in the pattern, as `(?P<group>\w+)` or `<str:group>`.
    #[error("the route has no argument `{name}` (it has: {known})")]
    Missing {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The text is not a value of the type asked for: narrow the pattern, or ask for another type.
    #[error("argument `{name}` is `{value}`: {why}")]
    Invalid {
        /// The name asked for.
        name: String,
        /// The text in the path.
        value: String,
        /// What the type says of it.
        why: String,
    },
}

impl Scope {
    /// What the routers found in the path.
    #[must_use]
    pub fn url_route(&self) -> &UrlRoute {
        &self.url_route
    }

    /// A named argument of the URL, as text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Scope;
    /// let scope = Scope::websocket("/ws/42/").with_kwargs([("group", "42")]);
    /// assert_eq!(scope.kwarg("group").unwrap(), "42");
    /// assert_eq!(
    ///     scope.kwarg("room").unwrap_err().to_string(),
    ///     "the route has no argument `room` (it has: group)"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgError::Missing`] when no route on the way here has an argument of this name.
    pub fn kwarg(&self, name: &str) -> Result<&str, ArgError> {
        self.url_route.get(name).ok_or_else(|| ArgError::Missing { name: name.to_owned(), known: self.known() })
    }

    /// A named argument of the URL, parsed.
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Scope;
    /// let scope = Scope::websocket("/poll/7/").with_kwargs([("id", 7)]);
    /// assert_eq!(scope.kwarg_as::<u32>("id").unwrap(), 7);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgError`] when it is missing or is not a `T`.
    pub fn kwarg_as<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, ArgError> {
        parse(name, self.kwarg(name)?)
    }

    /// All named arguments of the URL as one struct; numbers and booleans are parsed from the text.
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::Scope;
    /// #[derive(serde::Deserialize)]
    /// struct Args { room: String, page: u32 }
    ///
    /// let scope = Scope::websocket("/").with_kwargs([("room", "blue"), ("page", "3")]);
    /// let args: Args = scope.kwargs().unwrap();
    /// assert_eq!((args.room.as_str(), args.page), ("blue", 3));
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArgError::Invalid`] when a field is missing or does not parse.
    pub fn kwargs<T: DeserializeOwned>(&self) -> Result<T, ArgError> {
        let encoded = serde_urlencoded::to_string(&self.url_route.kwargs).map_err(|error| error.to_string());
        encoded
            .and_then(|text| serde_urlencoded::from_str(&text).map_err(|error| error.to_string()))
            .map_err(|why| ArgError::Invalid { name: self.known(), value: self.path.clone(), why })
    }

    /// An unnamed argument of the URL, parsed; `index` counts from 0, outer routers first.
    ///
    /// # Errors
    ///
    /// [`ArgError`] when there are not so many or it is not a `T`.
    pub fn arg<T: FromStr<Err: std::fmt::Display>>(&self, index: usize) -> Result<T, ArgError> {
        let name = index.to_string();
        match self.url_route.args.get(index) {
            Some(value) => parse(&name, value),
            None => Err(ArgError::Missing { name, known: format!("{} unnamed", self.url_route.args.len()) }),
        }
    }

    /// The part of the path that no router has taken yet, without a leading slash; `None` outside of the root path.
    pub(crate) fn remaining(&self) -> Option<&str> {
        if let Some(rest) = &self.path_remaining {
            return Some(rest.trim_start_matches('/'));
        }
        let root = self.root_path.trim_end_matches('/');
        let rest = self.path.strip_prefix(root)?;
        let within = root.is_empty() || rest.is_empty() || rest.starts_with('/');
        within.then(|| rest.trim_start_matches('/'))
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.url_route.kwargs.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T, ArgError> {
    value.parse().map_err(|error: T::Err| ArgError::Invalid {
        name: name.to_owned(),
        value: value.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kwargs_name_the_field_that_does_not_parse() {
        #[derive(serde::Deserialize, Debug)]
        struct Args {
            #[allow(dead_code)]
            page: u32,
        }
        let error = Scope::websocket("/x").with_kwargs([("page", "three")]).kwargs::<Args>().unwrap_err();
        assert!(error.to_string().contains("invalid digit"), "{error}");
    }
}
