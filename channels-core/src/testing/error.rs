//! What a test expected and did not get.

use std::time::Duration;

use actix_web::http::StatusCode;
use thiserror::Error;

use crate::{Close, Message};

/// Of a message in an error's text, so many characters or bytes are shown.
const SHOWN: usize = 200;

/// What a test expected and did not get.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestError {
    /// The application did not send anything, or did not decide, in time. What it logged says more.
    #[error("nothing came within {0:?}")]
    Timeout(Duration),
    /// The connection is closed.
    #[error("the connection is closed: {0}")]
    Closed(Close),
    /// The handshake was refused, so there is no connection: look whether it was accepted.
    #[error("the handshake was refused with {0}")]
    Refused(StatusCode),
    /// The communicator is not connected: call `connect` first.
    #[error("not connected")]
    NotConnected,
    /// No route of the application fits the path.
    #[error("no application for {protocol} `{path}` (tried: {tried})")]
    NoRoute {
        /// The kind of connection asked for.
        protocol: &'static str,
        /// The path asked for.
        path: String,
        /// The routes there are.
        tried: String,
    },
    /// The message is of another kind than was asked for.
    #[error("expected {wanted}, got {got}")]
    Kind {
        /// `text` or `binary`.
        wanted: &'static str,
        /// The message, shortened.
        got: String,
    },
    /// The text is not the JSON that was asked for.
    #[error("the text `{text}` does not fit")]
    Json {
        /// The text, shortened.
        text: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The application cannot be started.
    #[error("{0}")]
    Setup(String),
}

impl TestError {
    pub(super) fn kind(wanted: &'static str, got: &Message) -> Self {
        Self::Kind { wanted, got: describe(got) }
    }

    pub(super) fn json(text: &str, source: serde_json::Error) -> Self {
        Self::Json { text: shorten(text), source }
    }
}

/// A message, as a person wants to see it who expected another.
fn describe(message: &Message) -> String {
    match message {
        Message::Text(text) => format!("the text `{}`", shorten(text)),
        Message::Binary(bytes) => {
            let shown: Vec<_> = bytes.iter().take(SHOWN / 10).map(|byte| format!("{byte:02x}")).collect();
            let more = if shown.len() < bytes.len() { " …" } else { "" };
            format!("binary of {} bytes: {}{more}", bytes.len(), shown.join(" "))
        }
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_as_far_as_a_person_reads() {
        assert_eq!(describe(&"é".repeat(300).into()), format!("the text `{}…`", "é".repeat(200)));
        assert_eq!(describe(&vec![0, 255].into()), "binary of 2 bytes: 00 ff");
        assert!(describe(&vec![7; 21].into()).ends_with("07 07 …"));
    }
}
