//! An error that goes from the pool's thread to the connection's.

use std::{error::Error as StdError, fmt, panic::Location};

/// What a hook or handler of a [`SyncConsumer`](crate::SyncConsumer) may return: any error that may go to another thread,
/// made by `?`, with the line of that `?` for the log. It becomes an [`Error`](crate::Error).
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::SyncError;
///
/// fn room(number: &str) -> Result<u32, SyncError> {
///     Ok(number.parse()?)
/// }
///
/// assert_eq!(room("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct SyncError {
    pub(crate) source: Box<dyn StdError + Send + Sync>,
    pub(crate) place: &'static Location<'static>,
}

impl SyncError {
    /// An error that is only a text.
    #[track_caller]
    pub fn msg(text: impl fmt::Display) -> Self {
        Self { source: text.to_string().into(), place: Location::caller() }
    }

    /// The error itself, if it is an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.source.downcast_ref()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for SyncError {
    #[track_caller]
    fn from(source: E) -> Self {
        Self { source: Box::new(source), place: Location::caller() }
    }
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {})", self.place)
    }
}
