//! permessage-deflate: what is deflated comes back, here and through another inflater; what is no deflate stream, or a
//! large one, fails; and nothing of it depends on how a message is cut into fragments.

#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use channels_core::{
    __fuzz::{Agreed, Limits, Seen, decode, encode},
    Compression, Message,
};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::{
    DataFormat, MZFlush, MZStatus,
    inflate::stream::{InflateState, inflate},
};

const LIMIT: usize = 1 << 14;
const KEY: [u8; 4] = [0; 4];

#[derive(Arbitrary, Debug)]
struct Input {
    takeover: bool,
    bits: u8,
    level: u8,
    min_size: u8,
    messages: Vec<Part>,
    stream: Vec<Vec<u8>>,
}

/// A message that is worth compressing, now and then.
#[derive(Arbitrary, Debug)]
struct Part {
    bytes: Vec<u8>,
    times: u8,
}

fuzz_target!(|input: Input| {
    let settings = Compression {
        level: u32::from(input.level % 9) + 1,
        min_size: usize::from(input.min_size),
        server_context_takeover: input.takeover,
        client_context_takeover: input.takeover,
        server_max_window_bits: 9 + input.bits % 7,
        client_max_window_bits: 9 + input.bits % 7,
    };
    let offer = "permessage-deflate; client_max_window_bits";
    let agreed = Agreed::on(offer, &settings).expect("a good offer");
    round_trip(&input, &agreed, &settings);
    garbage(&input, &agreed);
    cut(&input);
});

fn round_trip(input: &Input, agreed: &Agreed, settings: &Compression) {
    let messages: Vec<Message> =
        input.messages.iter().map(|part| Message::from(part.bytes.repeat(usize::from(part.times)))).collect();
    let frames = encode(&messages, Some((agreed, settings)));
    let sent: Vec<Bytes> = frames.iter().map(|frame| masked(frame)).collect();
    let limits = Limits { frame: usize::MAX, message: usize::MAX, fragments: usize::MAX };
    let wanted: Vec<_> = messages.iter().cloned().map(Seen::Message).collect();
    assert_eq!(decode(sent, limits, Some(&agreed.turned())), wanted);
    let cut = frames.iter().flat_map(|frame| fragments(frame[0], split(frame).1, input.fragment_len())).collect();
    assert_eq!(decode(cut, limits, Some(&agreed.turned())), wanted);

    let mut window = InflateState::new_boxed(DataFormat::Raw);
    for (frame, message) in frames.iter().zip(&messages) {
        let (deflated, payload) = split(frame);
        if !deflated {
            assert_eq!(payload, message.as_bytes());
            continue;
        }
        if !settings.server_context_takeover {
            window = InflateState::new_boxed(DataFormat::Raw);
        }
        assert_eq!(inflated(&mut window, payload).expect("it was deflated here"), message.as_bytes());
    }
}

/// Whatever a client calls deflated: at most so much comes of it, and nothing that another inflater reads otherwise.
fn garbage(input: &Input, agreed: &Agreed) {
    let frames = input.stream.iter().map(|payload| frame(0xc2, payload)).collect();
    let limits = Limits { frame: LIMIT, message: LIMIT, fragments: 1 };
    let seen = decode(frames, limits, Some(agreed));
    let mut window = InflateState::new_boxed(DataFormat::Raw);
    for (seen, payload) in seen.iter().zip(&input.stream) {
        match seen {
            Seen::Message(message) => {
                assert!(message.len() <= LIMIT);
                if !input.takeover {
                    window = InflateState::new_boxed(DataFormat::Raw);
                }
                match inflated(&mut window, payload) {
                    Some(other) => assert_eq!(message.as_bytes(), other),
                    None => return, // a stream that ends, which only ours reads on
                }
            }
            Seen::Failed(close) => assert!(matches!(close.code.get(), 1007 | 1009), "{close}"),
            other => panic!("{other:?} of binary frames"),
        }
    }
}

/// Whatever a client calls deflated means the same in one frame and in fragments, as a text and as bytes. In the widest window: what
/// points beyond a narrower one may be inflated or not.
fn cut(input: &Input) {
    let keeps = Compression {
        server_context_takeover: input.takeover,
        client_context_takeover: input.takeover,
        ..Compression::default()
    };
    let agreed = Agreed::on("permessage-deflate", &keeps).expect("a good offer");
    let limits = Limits { frame: LIMIT, message: LIMIT, fragments: usize::MAX };
    for first in [0xc1, 0xc2] {
        let whole = input.stream.iter().map(|payload| frame(first, payload)).collect();
        let cut = input.stream.iter().flat_map(|payload| fragments(first, payload, input.fragment_len())).collect();
        assert_eq!(decode(whole, limits, Some(&agreed)), decode(cut, limits, Some(&agreed)));
    }
}

impl Input {
    fn fragment_len(&self) -> usize {
        usize::from(self.bits) + 1
    }
}

/// A message in frames of so many bytes, the last of which may be shorter.
fn fragments(first: u8, payload: &[u8], length: usize) -> Vec<Bytes> {
    const FIN: u8 = 0x80;
    let count = payload.len().div_ceil(length).max(1);
    let part = |n: usize| &payload[n * length..payload.len().min((n + 1) * length)];
    let first_byte = |n| if n == 0 { first & !FIN } else { 0 } | if n + 1 == count { FIN } else { 0 };
    (0..count).map(|n| frame(first_byte(n), part(n))).collect()
}

fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload);
    frame.into()
}

/// A server's frame as a client would send it.
fn masked(sent: &[u8]) -> Bytes {
    frame(sent[0], split(sent).1)
}

/// Whether a server's frame is deflated, and its payload.
fn split(frame: &[u8]) -> (bool, &[u8]) {
    assert_eq!(frame[0] & 0b1011_0000, 0x80, "a whole message");
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    (frame[0] & 0x40 != 0, &frame[start..])
}

/// One message through the other inflater; `None` when it fails or its stream ends. Nothing deflated is nothing.
fn inflated(window: &mut InflateState, payload: &[u8]) -> Option<Vec<u8>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    let (mut rest, mut out, mut buffer) = (&input[..], Vec::new(), vec![0; 1 << 15]);
    loop {
        let result = inflate(window, rest, &mut buffer, MZFlush::Sync);
        rest = &rest[result.bytes_consumed..];
        out.extend(&buffer[..result.bytes_written]);
        match result.status {
            Ok(MZStatus::Ok) if rest.is_empty() && result.bytes_written < buffer.len() => return Some(out),
            Ok(MZStatus::Ok) => {}
            Err(miniz_oxide::MZError::Buf) if rest.is_empty() => return Some(out),
            _ => return None,
        }
    }
}
