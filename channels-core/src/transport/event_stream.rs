//! An event stream, as a browser's `EventSource` reads it (WHATWG HTML, section 9.2).

use std::fmt::Write as _;

use super::batch::{End, Opened, json, to_base64};
use crate::Message;

/// What keeps a quiet stream open: a comment.
pub(crate) const HEARTBEAT: &str = ":\n\n";

/// A client whose stream breaks comes back after about so many milliseconds, not all at once.
const RETRY: u64 = 2_000;

/// The first event: which session it is, and how to come back to it behind message `after`.
pub(crate) fn open(opened: &Opened<'_>, after: u64) -> String {
    let retry = fastrand::u64(RETRY * 3 / 4..=RETRY * 5 / 4);
    format!("event: open\nretry: {retry}\nid: {}.{after}\ndata: {}\n\n", opened.session, json(opened))
}

/// A message with its number.
pub(crate) fn message(event: &mut String, session: &str, number: u64, message: &Message) {
    // Writing to a `String` does not fail.
    let _ = writeln!(event, "id: {session}.{number}");
    match message {
        Message::Binary(bytes) => {
            let _ = writeln!(event, "event: binary\ndata: {}", to_base64(bytes));
        }
        Message::Text(text) if text.contains('\r') => {
            let _ = writeln!(event, "event: json\ndata: {}", json(&&**text));
        }
        Message::Text(text) => {
            for line in text.split('\n') {
                let _ = writeln!(event, "data: {line}");
            }
        }
    }
    event.push('\n');
}

/// The last event.
pub(crate) fn close(end: &End) -> String {
    format!("event: close\ndata: {}\n\n", json(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: impl Into<Message>) -> String {
        let mut event = String::new();
        message(&mut event, "s", 3, &text.into());
        event
    }

    #[test]
    fn every_line_of_a_text_is_a_field() {
        assert_eq!(written("a"), "id: s.3\ndata: a\n\n");
        assert_eq!(written(""), "id: s.3\ndata: \n\n");
        assert_eq!(written(" a\n\nb\n"), "id: s.3\ndata:  a\ndata: \ndata: b\ndata: \n\n");
    }

    #[test]
    fn what_the_format_cannot_carry_goes_as_json_or_base64() {
        assert_eq!(written("a\r\nb"), "id: s.3\nevent: json\ndata: \"a\\r\\nb\"\n\n");
        assert_eq!(written(vec![0, 1, 2]), "id: s.3\nevent: binary\ndata: AAEC\n\n");
    }
}
