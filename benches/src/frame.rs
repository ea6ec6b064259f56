//! WebSocket frames as a client needs them: whole, unfragmented, masked on the way out, unmasked on the way in.
//!
//! This is not a protocol implementation. It reads exactly what a server answers to the load (and fails on anything
//! else), so that the client stays much cheaper than the server it measures.

use anyhow::{Result, bail, ensure};

/// Payload of UTF-8.
pub(crate) const TEXT: u8 = 0x1;
/// Payload of bytes.
pub(crate) const BINARY: u8 = 0x2;
/// The closing handshake.
pub(crate) const CLOSE: u8 = 0x8;
/// To be answered with a [`PONG`] of the same payload.
pub(crate) const PING: u8 = 0x9;
/// The answer to a [`PING`].
pub(crate) const PONG: u8 = 0xA;

/// Past this a length in a header is taken for a mistake, not for a message.
const LONGEST: usize = 64 << 20;

/// RFC 6455 wants a key that nobody can guess; between two programs of one machine any key costs the server the same.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame of the server.
pub(crate) struct Frame<'a> {
    /// One of the constants of this module.
    pub(crate) opcode: u8,
    /// What it carries.
    pub(crate) payload: &'a [u8],
}

/// The first frame in `input` and how many bytes it takes, or `None` if it is not all there yet.
///
/// # Errors
///
/// Fragments, reserved bits, a masked frame, an unknown opcode, an absurd length: no server here has a reason to send them.
pub(crate) fn parse(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    ensure!(first & 0x70 == 0, "frame with reserved bits: {first:#04x}");
    ensure!(first & 0x80 != 0, "fragmented frame: {first:#04x}");
    ensure!(second & 0x80 == 0, "masked frame from a server");
    let opcode = first & 0x0f;
    if !matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG) {
        bail!("frame with opcode {opcode:#x}");
    }
    let (length, header) = match second & 0x7f {
        126 => match rest {
            [high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (usize::try_from(u64::from_be_bytes(*bytes))?, 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    ensure!(length <= LONGEST, "frame of {length} bytes");
    let end = header + length;
    Ok(input.get(header..end).map(|payload| (Frame { opcode, payload }, end)))
}

/// Appends a masked frame to `out`.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ ..=125 => out.push(0x80 | short as u8),
        medium @ ..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(KEY) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        write(&mut masked, opcode, payload);
        let header = masked.len() - payload.len() - KEY.len();
        let mut frame = masked[..header].to_vec();
        frame[1] &= 0x7f;
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn each_length_form_is_read_back() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let bytes = unmasked(TEXT, &payload);
            let (frame, used) = parse(&bytes).unwrap().expect("the frame is whole");
            assert_eq!((frame.opcode, frame.payload.len(), used), (TEXT, length, bytes.len()));
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_not_there_yet() {
        for length in [5, 200, 70_000] {
            let bytes = unmasked(BINARY, &vec![7; length]);
            for cut in (0..bytes.len()).step_by(1 + length / 50) {
                assert!(parse(&bytes[..cut]).unwrap().is_none(), "{length} bytes, cut at {cut}");
            }
        }
    }

    #[test]
    fn what_follows_a_frame_is_left_alone() {
        let mut bytes = unmasked(TEXT, b"one");
        bytes.extend(unmasked(PING, b"two"));
        let (first, used) = parse(&bytes).unwrap().expect("the first frame is whole");
        assert_eq!((first.payload, used), (&b"one"[..], 5));
        let (second, used) = parse(&bytes[used..]).unwrap().expect("the second frame is whole");
        assert_eq!((second.opcode, second.payload, used), (PING, &b"two"[..], 5));
    }

    #[test]
    fn the_mask_is_the_one_of_the_header() {
        let mut bytes = Vec::new();
        write(&mut bytes, TEXT, b"Hello");
        assert_eq!(bytes[..6], [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(bytes[6..], [0x7f, 0x9f, 0x4d, 0x51, 0x58], "the example of RFC 6455, section 5.7");
    }

    #[test]
    fn what_no_server_sends_is_an_error() {
        for (bytes, part) in [
            ([0x01, 0x00], "fragmented"),
            ([0x80, 0x00], "opcode"),
            ([0xc1, 0x00], "reserved"),
            ([0x81, 0x80], "masked"),
            ([0x83, 0x00], "opcode"),
        ] {
            let error = parse(&bytes).err().expect("refused").to_string();
            assert!(error.contains(part), "{bytes:02x?}: {error}");
        }
        assert!(parse(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]).is_err(), "an absurd length");
    }
}
