//! Frames in: whatever the bytes, they mean the same in one piece and in many, and what RFC 6455 says.

#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use channels_core::{
    __fuzz::{Agreed, Limits, Seen, decode},
    Compression, Message,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    deflate: bool,
    narrow: bool,
    /// Where the bytes are cut: the lengths of the pieces, over and over.
    pieces: [u8; 3],
    parts: Vec<Part>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A frame that is nearly right; the key is its mask.
    Frame { first: u8, key: [u8; 4], payload: Vec<u8> },
    /// Anything.
    Bytes(Vec<u8>),
}

impl Part {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame { first, key, payload } => {
                out.push(*first);
                match payload.len() {
                    length @ 0..=125 => out.push(0x80 | length as u8),
                    length => {
                        out.push(0x80 | 126);
                        out.extend((length as u16).to_be_bytes());
                    }
                }
                out.extend(key);
                out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            Self::Bytes(bytes) => out.extend(bytes),
        }
    }
}

fuzz_target!(|input: Input| {
    let mut bytes = Vec::new();
    input.parts.iter().for_each(|part| part.write(&mut bytes));
    let limits = match input.narrow {
        true => Limits { frame: 40, message: 60, fragments: 4 },
        false => Limits { frame: 1 << 16, message: 1 << 16, fragments: 1_024 },
    };
    let agreed =
        input.deflate.then(|| Agreed::on("permessage-deflate", &Compression::default()).expect("a good offer"));

    let whole = decode(vec![Bytes::copy_from_slice(&bytes)], limits, agreed.as_ref());
    let mut lengths = input.pieces.iter().map(|length| usize::from(*length).max(1)).cycle();
    let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(lengths.next().expect("a cycle").min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = more;
    }
    assert_eq!(whole, decode(pieces, limits, agreed.as_ref()));
    let bytewise = bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
    assert_eq!(whole, decode(bytewise, limits, agreed.as_ref()));

    if !input.deflate {
        let whole: Vec<_> = whole.iter().map(Simple::from).collect();
        assert_eq!(whole, reference(&bytes, limits));
    }
});

/// What is seen, without the words.
#[derive(PartialEq, Debug)]
enum Simple {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, Vec<u8>)>),
    Failed(u16),
}

impl From<&Seen> for Simple {
    fn from(seen: &Seen) -> Self {
        match seen {
            Seen::Message(Message::Text(text)) => Self::Text(text.as_bytes().to_vec()),
            Seen::Message(Message::Binary(bytes)) => Self::Binary(bytes.to_vec()),
            Seen::Ping(payload) => Self::Ping(payload.to_vec()),
            Seen::Pong => Self::Pong,
            Seen::Close(close) => {
                Self::Close(close.as_ref().map(|close| (close.code.get(), close.reason.as_bytes().to_vec())))
            }
            Seen::Failed(close) => Self::Failed(close.code.get()),
        }
    }
}

/// RFC 6455 read aloud, for bytes that are all here and an end that has no compression.
fn reference(bytes: &[u8], limits: Limits) -> Vec<Simple> {
    let mut seen = Vec::new();
    if let Err(code) = frames(bytes, limits, &mut seen) {
        seen.push(Simple::Failed(code));
    }
    seen
}

fn frames(mut bytes: &[u8], limits: Limits, seen: &mut Vec<Simple>) -> Result<(), u16> {
    // Opcode, payload so far, fragments so far.
    let mut open: Option<(u8, Vec<u8>, usize)> = None;
    loop {
        let [first, after @ ..] = bytes else { return Ok(()) };
        let (opcode, last) = (first & 0xf, first & 0x80 != 0);
        if !matches!(opcode, 0..=2 | 8..=10) || first & 0x70 != 0 {
            return Err(1002); // 5.2
        }
        if opcode < 8 && (opcode == 0) != open.is_some() || opcode >= 8 && !last {
            return Err(1002); // 5.4, 5.5
        }
        let [second, after @ ..] = after else { return Ok(()) };
        if second & 0x80 == 0 || opcode >= 8 && second & 0x7f > 125 {
            return Err(1002); // 5.1, 5.5
        }
        let (short, wide) = (second & 0x7f, |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        let (length, least, after) = match short {
            126 if after.len() < 2 => return Ok(()),
            127 if after.len() < 8 => return Ok(()),
            126 => (wide(&after[..2]), 126, &after[2..]),
            127 => (wide(&after[..8]), 65_536, &after[8..]),
            short => (u64::from(short), 0, after),
        };
        if length < least || length >> 63 != 0 {
            return Err(1002); // 5.2
        }
        if after.len() < 4 {
            return Ok(());
        }
        let (key, after) = (&after[..4], &after[4..]);
        if opcode < 8 {
            let before = open.as_ref().map_or(0, |(_, payload, _)| payload.len());
            if length > limits.frame as u64 || length + before as u64 > limits.message as u64 {
                return Err(1009);
            }
        }
        let here = after.len().min(length as usize);
        let payload: Vec<u8> = after[..here].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let complete = here as u64 == length;
        bytes = &after[here..];
        if opcode >= 8 {
            if !complete {
                return Ok(());
            }
            match opcode {
                9 => seen.push(Simple::Ping(payload)),
                10 => seen.push(Simple::Pong),
                _ => {
                    seen.push(Simple::Close(match &payload[..] {
                        [] => None,
                        [_] => return Err(1002), // 5.5.1
                        [high, low, reason @ ..] => {
                            let code = u16::from_be_bytes([*high, *low]);
                            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                                return Err(1002); // 7.4
                            }
                            std::str::from_utf8(reason).map_err(|_| 1007u16)?; // 8.1
                            Some((code, reason.to_vec()))
                        }
                    }));
                    return Ok(()); // 1.4: nothing follows
                }
            }
            continue;
        }
        let (kind, mut message, fragments) = open.take().unwrap_or((opcode, Vec::new(), 0));
        message.extend(payload);
        if kind == 1
            && let Err(error) = std::str::from_utf8(&message)
            && (error.error_len().is_some() || last && complete)
        {
            return Err(1007); // 8.1
        }
        if !complete {
            return Ok(());
        }
        match (last, kind) {
            (true, 1) => seen.push(Simple::Text(message)),
            (true, _) => seen.push(Simple::Binary(message)),
            (false, _) if fragments + 1 >= limits.fragments => return Err(1009),
            (false, _) => open = Some((kind, message, fragments + 1)),
        }
    }
}
