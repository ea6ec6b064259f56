//! The event that a connection itself understands.

use serde::{Deserialize, Serialize};

use super::{Envelope, Event};
use crate::{Close, CloseCode, one_line::OneLine};

/// Closes every connection that it reaches, whatever its consumer: sent to a group, it ends all members.
///
/// It does not wait behind what a consumer has still to do, and no capacity keeps it out. Its name is `channels.close`;
/// from a program in another language, `{"type": "channels.close", "code": 4503, "reason": "banned"}` does the same.
/// What a [worker](crate::Worker) reads from its channel is not closed by it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layer, event::CloseConnection};
///
/// # async fn end(layer: &Layer) -> Result<(), channels::LayerError> {
/// layer.group_send("game_7", CloseConnection::new(1000, "the game is over")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CloseConnection {
    /// The close code.
    pub code: u16,
    /// The reason, of which 123 bytes are sent.
    #[serde(default)]
    pub reason: String,
}

impl CloseConnection {
    /// With this code and reason.
    pub fn new(code: impl Into<CloseCode>, reason: impl Into<String>) -> Self {
        Self { code: code.into().get(), reason: reason.into() }
    }

    /// The close that this event asks for; `None` for any other event.
    pub(super) fn asked_by(event: &Envelope) -> Option<Close> {
        if event.name() != Self::NAME {
            return None;
        }
        match event.decode::<Self>() {
            Ok(Self { code, reason }) => Some(Close::new(*code, reason)),
            Err(error) => {
                tracing::warn!(error = %OneLine(error), "an event that should close connections cannot be read");
                None
            }
        }
    }
}

impl Event for CloseConnection {
    const NAME: &'static str = "channels.close";
}
