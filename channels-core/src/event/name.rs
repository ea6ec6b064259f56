//! The names of events, checked and compared.

use super::{EventError, Payload};

/// Whether two names are the same to a handler: as in Channels, `.` and `_` are.
#[doc(hidden)]
#[must_use]
pub const fn same_event(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        let joined = matches!(a[at], b'.' | b'_') && matches!(b[at], b'.' | b'_');
        if a[at] != b[at] && !joined {
            return false;
        }
        at += 1;
    }
    true
}

/// The name a handler answers to: its payload's, or its own where the payload has none.
#[doc(hidden)]
#[must_use]
pub const fn handler_name<P: Payload>(method: &'static str) -> &'static str {
    match P::NAME {
        Some(name) => name,
        None => method,
    }
}

/// Refuses what no handler may be reached by.
pub(super) fn check(name: &str) -> Result<(), EventError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let why = match name.as_bytes() {
        [] => "is empty",
        [b'_', ..] => "starts with `_`",
        [b'.', ..] => "starts with `.`",
        bytes if !bytes.iter().copied().all(allowed) => {
            "has a character other than ASCII letters, digits, `.`, `_`, `-`"
        }
        _ => return Ok(()),
    };
    Err(EventError::Name { name: name.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_underscores_are_the_same_and_nothing_else_is() {
        assert!(same_event("xx.oo", "xx_oo") && same_event("xx_oo", "xx.oo") && same_event("a", "a"));
        assert!(!same_event("xx.oo", "xx-oo") && !same_event("xx.oo", "xx.ooo") && !same_event("a", "b"));
    }

    #[test]
    fn names_that_start_with_an_underscore_or_a_dot_are_refused() {
        for name in ["_x", ".x", "", "a b", "é"] {
            assert!(check(name).is_err(), "{name}");
        }
        assert_eq!(check("_x").unwrap_err().to_string(), "event type `_x` starts with `_`");
        assert!(check("chat.message").is_ok());
    }
}
