//! Frames of RFC 6455, as far as the load program sends them: whole, masked, not fragmented.

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The first frame: its opcode, its payload, unmasked where it was, and how many bytes it takes.
pub(crate) fn parse(bytes: &mut [u8]) -> Option<(u8, &[u8], usize)> {
    let opcode = bytes.first()? & 0x0f;
    let (length, header) = match bytes.get(1)? & 0x7f {
        126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into(), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let key: [u8; 4] = *bytes.get(header..)?.first_chunk()?;
    let (start, end) = (header + 4, header + 4 + length);
    let payload = bytes.get_mut(start..end)?;
    for chunk in payload.chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    Some((opcode, payload, end))
}

/// A frame that says `payload`.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    write(TEXT, payload)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    write(PONG, payload)
}

/// The answer to a close.
pub(crate) fn close(payload: &[u8]) -> Vec<u8> {
    write(CLOSE, payload)
}

fn write(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(10 + payload.len());
    frame.push(0x80 | opcode);
    match payload.len() {
        short @ ..=125 => frame.push(short as u8),
        medium @ ..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
