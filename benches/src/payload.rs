//! What the load sends: a stamp that says who sent it, which one it is and when, filled up to the wanted size.
//!
//! ```text
//! #bench:d000003000017000000042000001234567:xxxxxxxx…
//!        │room  talker number   sent (µs)  │ filling
//!        └ d: data, m: marker               └ the stamp ends
//! ```
//!
//! Every receiver checks the stamp and the filling, so a lost, doubled, reordered, foreign or damaged message is seen
//! where it arrives. All of it is plain ASCII that JSON and HTML leave as it is.

use std::time::{Duration, Instant};

/// What every payload begins with; a chatroom's JSON is searched for it.
pub(crate) const PREFIX: &[u8] = b"#bench:";

/// The stamp's length, and so the smallest payload.
pub(crate) const SMALLEST: usize = PREFIX.len() + 1 + 6 + 6 + 9 + 10 + 1;

const FILLING: u8 = b'x';

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shows that a member hears its room; nobody counts it.
    Marker,
    /// Counted and timed.
    Data,
}

/// Who sent which message, and when.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    /// What the message is for.
    pub(crate) kind: Kind,
    /// The room it was sent to.
    pub(crate) room: usize,
    /// The sender's place in that room.
    pub(crate) talker: usize,
    /// The sender's count of messages before this one.
    pub(crate) number: u32,
    /// When it was sent, by the [`Clock`].
    pub(crate) sent: Duration,
}

/// The time since the program started, as stamps carry it.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time of an instant.
    pub(crate) fn at(self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.0)
    }
}

/// Writes and reads payloads of one size.
pub(crate) struct Payloads {
    buffer: Vec<u8>,
}

impl Payloads {
    /// Payloads of `size` bytes, which is at least [`SMALLEST`].
    pub(crate) fn new(size: usize) -> Self {
        let mut buffer = vec![FILLING; size.max(SMALLEST)];
        buffer[..PREFIX.len()].copy_from_slice(PREFIX);
        buffer[SMALLEST - 1] = b':';
        Self { buffer }
    }

    /// The size of each payload.
    pub(crate) fn size(&self) -> usize {
        self.buffer.len()
    }

    /// The payload that carries `stamp`.
    pub(crate) fn write(&mut self, stamp: Stamp) -> &[u8] {
        let mut at = PREFIX.len();
        self.buffer[at] = match stamp.kind {
            Kind::Marker => b'm',
            Kind::Data => b'd',
        };
        at += 1;
        for (mut value, width) in [
            (stamp.room as u64, 6),
            (stamp.talker as u64, 6),
            (u64::from(stamp.number), 9),
            (stamp.sent.as_micros() as u64, 10),
        ] {
            for digit in self.buffer[at..at + width].iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
            at += width;
        }
        &self.buffer
    }

    /// The stamp of `payload`, or `None` if not every byte is as [`write`](Self::write) makes it.
    pub(crate) fn read(&self, payload: &[u8]) -> Option<Stamp> {
        let rest = payload.strip_prefix(PREFIX)?;
        if payload.len() != self.buffer.len() || payload[SMALLEST - 1..] != self.buffer[SMALLEST - 1..] {
            return None;
        }
        let kind = match rest[0] {
            b'm' => Kind::Marker,
            b'd' => Kind::Data,
            _ => return None,
        };
        let mut at = 1;
        let mut field = |width: usize| {
            let digits = &rest[at..at + width];
            at += width;
            digits
                .iter()
                .try_fold(0u64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
        };
        Some(Stamp {
            kind,
            room: field(6)? as usize,
            talker: field(6)? as usize,
            number: field(9)? as u32,
            sent: Duration::from_micros(field(10)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_a_damaged_one_is_not() {
        let mut payloads = Payloads::new(128);
        let stamp = Stamp { kind: Kind::Data, room: 3, talker: 17, number: 42, sent: Duration::from_micros(1_234_567) };
        let mut bytes = payloads.write(stamp).to_vec();
        assert_eq!(bytes.len(), 128);
        let back = payloads.read(&bytes).expect("whole");
        assert_eq!((back.room, back.talker, back.number, back.sent), (3, 17, 42, stamp.sent));
        for place in [0, 7, 20, SMALLEST - 1, 127] {
            let kept = std::mem::replace(&mut bytes[place], b'?');
            assert!(payloads.read(&bytes).is_none(), "damaged at {place}");
            bytes[place] = kept;
        }
        assert!(payloads.read(&bytes[..127]).is_none(), "cut");
    }
}
