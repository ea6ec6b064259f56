//! Text of others in a line of a log.

use std::fmt::{self, Display, Formatter, Write};

/// Shows something on one line: what it says may be a client's words, who could write a line of their own with them.
pub(crate) struct OneLine<T>(pub(crate) T);

impl<T: Display> Display for OneLine<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaped(formatter), "{}", self.0)
    }
}

/// What is written to it has its control characters escaped.
struct Escaped<'a, 'f>(&'a mut Formatter<'f>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.chars().next_back().filter(|last| last.is_control()) {
                Some(control) => {
                    self.0.write_str(&piece[..piece.len() - control.len_utf8()])?;
                    write!(self.0, "{}", control.escape_default())?;
                }
                None => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_begin_a_line_or_move_the_cursor_is_escaped_and_all_else_is_as_it_was() {
        let said = "再见 \"x\\y\"\n2026-11-27 INFO forged\r\t\u{1b}[2J\u{85}end";
        let shown = r#"再见 "x\y"\n2026-11-27 INFO forged\r\t\u{1b}[2J\u{85}end"#;
        assert_eq!(OneLine(said).to_string(), shown);
        assert_eq!(OneLine(format_args!("{}{}", "a\n", '\n')).to_string(), r"a\n\n");
    }
}
