//! Every public error of this crate, on one page.
//!
//! | error | of what |
//! |---|---|
//! | [`Error`] | what a hook or handler may return: any error, or a [`Deny`] |
//! | [`Deny`] | a refusal of the handshake, with the response to give |
//! | [`ArgError`] | `scope.kwarg`, `scope.kwargs`, `scope.arg` |
//! | `AuthError` | users asked for where no middleware knows them (feature `auth`) |
//! | [`ConfigError`] | wiring that is found wrong before the first request |
//! | [`DecodeError`] | an event whose content does not fit its type |
//! | [`EventError`] | an event that cannot be sent: its name or its content |
//! | [`InputError`] | a client's message that is not what `receive` takes |
//! | [`LayerError`] | a channel layer that cannot do what is asked |
//! | [`LayersConfigError`](crate::layer::LayersConfigError) | channel layers in a file or in the environment |
//! | [`NameError`] | a channel or group name that is not one |
//! | [`OriginError`] | a pattern of `OriginValidator` |
//! | [`PatternError`] | a route's pattern |
//! | [`PresenceError`] | who is present in a group |
#![cfg_attr(feature = "redis", doc = "| [`RedisOptionsError`] | the options of a Redis layer |")]
#![cfg_attr(
    feature = "redis",
    doc = "| [`DriverError`] | what a Redis layer's driver cannot do; the source of [`LayerError::Broker`] |"
)]
//! | [`SendError`] | `send` to a channel |
//! | [`TestError`](crate::testing::TestError) | what a test expected and did not get (feature `testing`) |
//! | `SessionError` | a session that is not there, has ended, or cannot be saved (feature `session`) |
//! | [`SyncError`] | what a hook or handler that blocks may return: any error that is `Send`, or a [`Deny`] |
#![cfg_attr(
    feature = "tls",
    doc = "| [`TlsError`](crate::server::TlsError) | a certificate and its key in PEM files |"
)]
//! | [`WriteError`] | `cx.send`, `cx.accept`, `cx.close` at a moment when they cannot be |

use std::{error::Error as StdError, fmt, panic::Location};

#[cfg(feature = "auth")]
pub use crate::auth::AuthError;
#[cfg(feature = "redis")]
pub use crate::layer::redis::{DriverError, RedisOptionsError};
#[cfg(feature = "session")]
pub use crate::middleware::SessionError;
pub use crate::{
    consumer::{Deny, InputError, SyncError, WriteError},
    event::{DecodeError, EventError},
    layer::{LayerError, NameError, SendError},
    middleware::OriginError,
    presence::PresenceError,
    routing::PatternError,
    scope::ArgError,
    server::ConfigError,
};

/// What a hook or handler returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Any error of a hook or handler.
///
/// It is made from every [`std::error::Error`] by `?`, and remembers the line of that `?` for the log. A [`Deny`] in it
/// is the refusal of a handshake, and an [`InputError`] a close with its own code; anything else is logged and closes
/// this one connection with 1011 (or, before the handshake is answered, refuses it with 500).
///
/// Since it can be made from all of them, it is no [`std::error::Error`] itself; [`get_ref`](Self::get_ref) gives the
/// one that it was made from. It stays on its thread: it is not `Send`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Error, Result};
///
/// fn room(number: &str) -> Result<u32> {
///     let number: u32 = number.parse()?;
///     if number == 13 {
///         return Err(Error::msg("there is no room 13"));
///     }
///     Ok(number)
/// }
///
/// assert_eq!(room("x").unwrap_err().to_string(), "invalid digit found in string");
/// assert_eq!(room("13").unwrap_err().to_string(), "there is no room 13");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    source: Box<dyn StdError>,
    place: &'static Location<'static>,
}

impl Error {
    /// An error that is only a text.
    #[track_caller]
    pub fn msg(text: impl fmt::Display) -> Self {
        Self::from(Text(text.to_string()))
    }

    /// The line that made this error: of the `?`, or of [`Error::msg`].
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.0.place
    }

    /// The error itself, if it is an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.downcast_ref()
    }

    /// The error itself.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn StdError + 'static) {
        &*self.0.source
    }

    /// Why something could not be sent, if it is that: a hook that goes on without a client that reads too slowly asks for
    /// [`WriteError::Overflow`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Context, Result};
    /// # async fn receive(cx: &mut Context) -> Result<()> {
    /// use channels::WriteError;
    ///
    /// match cx.send("the latest price") {
    ///     Err(error) if matches!(error.write_error(), Some(WriteError::Overflow { .. })) => {} // there will be another
    ///     sent => sent?,
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn write_error(&self) -> Option<&WriteError> {
        self.downcast_ref()
    }

    /// Takes the refusal out, if this is one.
    pub(crate) fn into_deny(self) -> std::result::Result<Deny, Self> {
        let Inner { source, place } = *self.0;
        match source.downcast::<Deny>() {
            Ok(deny) => Ok(*deny),
            Err(source) => Err(Self(Box::new(Inner { source, place }))),
        }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    #[track_caller]
    fn from(source: E) -> Self {
        Self(Box::new(Inner { source: Box::new(source), place: Location::caller() }))
    }
}

impl From<SyncError> for Error {
    fn from(error: SyncError) -> Self {
        Self(Box::new(Inner { source: error.source, place: error.place }))
    }
}

impl From<Error> for Box<dyn StdError> {
    /// The error that it was made from; its line is lost.
    fn from(error: Error) -> Self {
        error.0.source
    }
}

impl fmt::Display for Error {
    /// The error and, after colons, what caused it. A cause that says the same again is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.source.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if text != said {
                write!(f, ": {text}")?;
            }
            (said, cause) = (text, error.source());
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {})", self.0.place)
    }
}

#[derive(Debug)]
struct Text(String);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Text {}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILS_AT: u32 = line!() + 2;
    fn fails() -> Result {
        "x".parse::<u8>()?;
        Ok(())
    }

    #[test]
    fn an_error_goes_where_any_error_goes() {
        fn main() -> std::result::Result<(), Box<dyn StdError>> {
            fails()?;
            Ok(())
        }
        let error = main().unwrap_err();
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some(), "{error}");
    }

    #[test]
    fn an_error_says_what_caused_it_and_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("the second")]
        struct Second(#[source] Text);

        #[derive(Debug, thiserror::Error)]
        #[error("the first")]
        struct First(#[source] Second);

        let caused_by = |text: &str| Error::from(First(Second(Text(text.to_owned())))).to_string();
        assert_eq!(caused_by("the third"), "the first: the second: the third");
        assert_eq!(caused_by("the second"), "the first: the second");
    }

    #[test]
    fn an_error_remembers_the_line_of_its_question_mark() {
        let error = fails().unwrap_err();
        assert_eq!(error.place().file(), file!());
        assert_eq!(error.place().line(), FAILS_AT);
    }
}
