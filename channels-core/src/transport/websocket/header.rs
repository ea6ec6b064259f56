//! What a frame begins with (RFC 6455, section 5.2): read from clients, and written to them.
//!
//! A message is not much more than its frame's header and a copy, so this is our own: what a library reads, for both sides
//! and byte by byte, took a tenth of the time that an answered message takes here.

use crate::close::MAX_REASON_LEN;

/// The longest payload of a control frame, in bytes (section 5.5).
const MAX_CONTROL_LEN: u8 = MAX_REASON_LEN as u8 + 2;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// The length is in the next two bytes.
const TWO_BYTES: u8 = 126;
/// The length is in the next eight bytes.
const EIGHT_BYTES: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn of(first: u8) -> Option<Self> {
        Some(match first & OPCODE {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The header of a client's frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// The last frame of its message, or the only one.
    pub(super) last: bool,
    /// The first reserved bit: permessage-deflate gives it a meaning (RFC 7692, section 6).
    pub(super) deflated: bool,
    pub(super) mask: [u8; 4],
    /// The bytes of the payload.
    pub(super) length: u64,
}

impl Header {
    /// Reads a header, and says how many bytes it has; `None` when there are more to come. `may_begin` says whether a frame
    /// may be this one, with the first reserved bit or without it, after those before it.
    ///
    /// # Errors
    ///
    /// The rule that is broken, with the first byte that breaks it.
    pub(super) fn parse(
        bytes: &[u8],
        may_begin: impl FnOnce(Opcode, bool) -> Result<(), &'static str>,
    ) -> Result<Option<(Self, usize)>, &'static str> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::of(*first).ok_or("the opcode is reserved")?;
        let (last, deflated) = (first & FIN != 0, first & RSV1 != 0);
        if first & RSV2_AND_3 != 0 {
            return Err("a reserved bit is set");
        }
        may_begin(opcode, deflated)?;
        if opcode.is_control() && !last {
            return Err("a control frame is fragmented");
        }
        let [second, rest @ ..] = rest else { return Ok(None) };
        if second & MASKED == 0 {
            return Err("the frame is not masked");
        }
        if opcode.is_control() && second & LENGTH > MAX_CONTROL_LEN {
            return Err("a control frame is over 125 bytes");
        }
        let Some((length, rest)) = length(*second, rest) else { return Ok(None) };
        if length > i64::MAX as u64 {
            return Err("the length's most significant bit is set");
        }
        let fewest = match second & LENGTH {
            TWO_BYTES => TWO_BYTES.into(),
            EIGHT_BYTES => u64::from(u16::MAX) + 1,
            _ => 0,
        };
        if length < fewest {
            return Err("the length is not written in the fewest bytes");
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let header = Self { opcode, last, deflated, mask: *mask, length };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// The length that a header's second byte, and those behind it, tell; and what is behind it.
fn length(second: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    Some(match second & LENGTH {
        TWO_BYTES => {
            let (length, rest) = rest.split_first_chunk()?;
            (u16::from_be_bytes(*length).into(), rest)
        }
        EIGHT_BYTES => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        length => (length.into(), rest),
    })
}

/// Appends a frame of the server, which is whole and not masked (section 5.1), with the shortest length there is.
pub(super) fn append_frame(opcode: Opcode, deflated: bool, payload: &[u8], frames: &mut Vec<u8>) {
    let first = FIN | if deflated { RSV1 } else { 0 } | opcode as u8;
    let length = payload.len();
    if let Ok(length @ 0..TWO_BYTES) = u8::try_from(length) {
        frames.reserve_exact(2 + payload.len());
        frames.extend_from_slice(&[first, length]);
    } else if let Ok(length) = u16::try_from(length) {
        frames.reserve_exact(4 + payload.len());
        let [high, low] = length.to_be_bytes();
        frames.extend_from_slice(&[first, TWO_BYTES, high, low]);
    } else {
        frames.reserve_exact(10 + length);
        frames.extend_from_slice(&[first, EIGHT_BYTES]);
        frames.extend_from_slice(&(length as u64).to_be_bytes());
    }
    frames.extend_from_slice(payload);
}

/// The lengths of these frames of the server, which are whole, and whether each is a message.
pub(crate) fn frames_in(mut frames: &[u8]) -> impl Iterator<Item = (usize, bool)> {
    std::iter::from_fn(move || {
        let [first, second, rest @ ..] = frames else { return None };
        let is_message = !Opcode::of(*first)?.is_control();
        let (payload, rest) = length(*second, rest)?;
        let whole = frames.len() - rest.len() + usize::try_from(payload).ok()?;
        frames = frames.get(whole..)?;
        Some((whole, is_message))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::{FrameHeader, coding};

    use super::*;

    const OPCODES: [Opcode; 6] =
        [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];

    /// A client's frame of this length, as another implementation writes its header.
    fn others(opcode: Opcode, last: bool, deflated: bool, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = FrameHeader {
            is_final: last,
            rsv1: deflated,
            opcode: coding::OpCode::from(opcode as u8),
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        header.format(length, &mut bytes).expect("a Vec takes everything that is written to it");
        bytes
    }

    #[test]
    fn a_header_is_read_as_others_write_it_and_not_before_it_is_whole() {
        let parse = |bytes: &[u8]| Header::parse(bytes, |_, _| Ok(()));
        for (opcode, last, deflated) in OPCODES.iter().flat_map(|opcode| {
            [(true, false), (true, true), (false, false), (false, true)].map(|(last, rsv1)| (*opcode, last, rsv1))
        }) {
            if opcode.is_control() && !last {
                continue;
            }
            for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, u64::from(u32::MAX) + 1, i64::MAX as u64] {
                if opcode.is_control() && length > 125 {
                    continue;
                }
                let mut bytes = others(opcode, last, deflated, length);
                for cut in 0..bytes.len() {
                    assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} up to {cut}");
                }
                let header = Header { opcode, last, deflated, mask: [1, 2, 3, 4], length };
                let whole = bytes.len();
                assert_eq!(parse(&bytes), Ok(Some((header.clone(), whole))), "{bytes:?}");
                bytes.extend_from_slice(b"payload");
                assert_eq!(parse(&bytes), Ok(Some((header, whole))), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_rule_is_broken_by_the_first_byte_that_breaks_it() {
        let parse = |bytes: &[u8]| {
            Header::parse(bytes, |_, deflated| if deflated { Err("not compressed here") } else { Ok(()) })
        };
        for (bytes, rule) in [
            (&[0x83][..], "the opcode is reserved"),
            (&[0x8b], "the opcode is reserved"),
            (&[0xa1], "a reserved bit is set"),
            (&[0x91], "a reserved bit is set"),
            (&[0xc1], "not compressed here"),
            (&[0x09], "a control frame is fragmented"),
            (&[0x81, 0x05], "the frame is not masked"),
            (&[0x81, 0x7e], "the frame is not masked"),
            (&[0x89, 0xfe], "a control frame is over 125 bytes"),
            (&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "the length's most significant bit is set"),
            (&[0x81, 0xfe, 0, 125], "the length is not written in the fewest bytes"),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "the length is not written in the fewest bytes"),
        ] {
            assert_eq!(parse(bytes), Err(rule), "{bytes:x?}");
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?} but the last byte");
        }
    }

    #[test]
    fn others_read_what_is_written() {
        let mut frames = Vec::new();
        let mut lengths = Vec::new();
        for opcode in OPCODES {
            for (length, deflated) in [(0, false), (125, true), (126, false), (0xffff, true), (0x1_0000, false)] {
                let (begin, payload) = (frames.len(), vec![7; length]);
                append_frame(opcode, deflated, &payload, &mut frames);
                let mut cursor = Cursor::new(&frames[begin..]);
                let (header, said) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
                assert_eq!((header.is_final, header.rsv1, header.mask), (true, deflated, None));
                assert_eq!((u8::from(header.opcode), said), (opcode as u8, length as u64));
                let head = usize::try_from(cursor.position()).unwrap();
                assert_eq!(frames[begin + head..], payload);
                assert_eq!(head, header.len(said), "the shortest");
                lengths.push((frames.len() - begin, !opcode.is_control()));
            }
        }
        assert_eq!(frames_in(&frames).collect::<Vec<_>>(), lengths);
        frames.pop();
        assert_eq!(frames_in(&frames).count(), lengths.len() - 1, "the last one is not whole");
    }
}
