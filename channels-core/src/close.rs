//! Why a connection ended: close codes, their reasons, and who asked for the end.

use std::fmt;

use bytestring::ByteString;

/// The longest reason a close frame can carry, in bytes of UTF-8.
///
/// A control frame's payload is at most 125 bytes and two of them are the code (RFC 6455, section 5.5).
pub const MAX_REASON_LEN: usize = 123;

/// A WebSocket close code.
///
/// Codes 4000–4499 of this crate mean "try again", 4500–4999 mean "do not".
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::CloseCode;
///
/// assert_eq!(CloseCode::NORMAL.get(), 1000);
/// assert_eq!(CloseCode::from(4007).to_string(), "4007");
/// assert!(CloseCode::from(4007).may_be_sent());
/// assert!(!CloseCode::ABNORMAL.may_be_sent());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: an end is going away: a page was left, a server stops.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the other side broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that this consumer does not take (binary where text is wanted).
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the close frame had no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: content that does not fit its kind: text that is not UTF-8, JSON that does not parse.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that breaks the application's rules.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message over the limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1011: the server met an error: a hook or handler failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts; come back in a moment.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 4000: the connection has lasted as long as it may; come back at once.
    pub const EXPIRED: Self = Self(4000);
    /// 4408: the client did not answer pings in time, or stayed away too long between two requests.
    pub const PING_TIMEOUT: Self = Self(4408);
    /// 4409: another request or socket carries the session now; to the carrier that it had, never to a consumer.
    pub const TAKEN_OVER: Self = Self(4409);
    /// 4410: the session that a socket should carry is not there any more: open a new one. Never to a consumer.
    pub const SESSION_GONE: Self = Self(4410);
    /// 4501: the credentials do not hold any more; log in before coming back.
    pub const CREDENTIALS_EXPIRED: Self = Self(4501);
    /// 4503: the connection was ended on purpose, as when a user is logged out; do not come back.
    pub const KICKED: Self = Self(4503);
    /// 4429: the client reads more slowly than it is sent to, or sends more often than it may.
    pub const TOO_SLOW: Self = Self(4429);

    /// The code as the number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether this code may stand in a close frame (RFC 6455, section 7.4 and the IANA registry of 2024).
    ///
    /// 1004, 1005, 1006 and 1015 are reserved, as is everything outside 1000–1014 and 3000–4999.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClosedBy {
    /// The client sent a close frame, or vanished.
    Client,
    /// The consumer, the framework or the operator closed it.
    Server,
}

/// How a connection ended; what [`Consumer::disconnect`](crate::Consumer::disconnect) is told.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Close, CloseCode};
///
/// let close = Close::new(4007, "no such room");
/// assert_eq!(close.code, CloseCode::from(4007));
/// assert_eq!(close.to_string(), "4007 (no such room)");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Close {
    /// The code: of the close frame, or 1006 when there was none.
    pub code: CloseCode,
    /// The reason, possibly empty; at most [`MAX_REASON_LEN`] bytes.
    pub reason: ByteString,
    /// Who ended the connection.
    pub by: ClosedBy,
    accepted: bool,
}

impl Close {
    /// A close by this server. A reason over [`MAX_REASON_LEN`] bytes is cut at a character's boundary.
    pub fn new(code: impl Into<CloseCode>, reason: impl AsRef<str>) -> Self {
        Self { code: code.into(), reason: fit(reason.as_ref()).into(), by: ClosedBy::Server, accepted: true }
    }

    /// Whether the connection that ended had been accepted: `false` in
    /// [`disconnect`](crate::Consumer::disconnect) when its handshake was refused, or given up, so that nobody ever was
    /// there.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Close, Context, event};
    /// # async fn disconnect(cx: &mut Context, close: &Close) {
    /// if close.was_accepted() {
    ///     let _ = cx.group_send("lobby", event!({"type": "somebody.left"})).await;
    /// }
    /// # }
    /// ```
    #[must_use]
    pub const fn was_accepted(&self) -> bool {
        self.accepted
    }

    pub(crate) fn of_accepted(mut self, accepted: bool) -> Self {
        self.accepted = accepted;
        self
    }

    /// The same close, asked for by the client.
    #[must_use]
    pub(crate) fn by_client(mut self) -> Self {
        self.by = ClosedBy::Client;
        self
    }

    /// The connection is gone without a close frame: 1006.
    pub(crate) fn vanished(reason: &'static str) -> Self {
        Self::new(CloseCode::ABNORMAL, reason).by_client()
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() { self.code.fmt(f) } else { write!(f, "{} ({})", self.code, self.reason) }
    }
}

fn fit(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON_LEN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = Close::new(CloseCode::INVALID_PAYLOAD, "读".repeat(42));
        assert_eq!(close.reason.len(), 123);
        assert_eq!(Close::new(1007, format!("x{}", "读".repeat(42))).reason.len(), 121);
    }
}
