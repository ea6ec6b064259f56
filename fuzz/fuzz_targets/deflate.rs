//! permessage-deflate: what is deflated comes back, here and through another inflater; what is no deflate stream, or a
//! large one, fails.

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
});

fn round_trip(input: &Input, agreed: &Agreed, settings: &Compression) {
    let messages: Vec<Message> =
        input.messages.iter().map(|part| Message::from(part.bytes.repeat(usize::from(part.times)))).collect();
    let frames = encode(&messages, Some((agreed, settings)));
    let sent: Vec<Bytes> = frames.iter().map(|frame| masked(frame)).collect();
    let limits = Limits { frame: usize::MAX, message: usize::MAX, fragments: 1 };
    let back = decode(sent, limits, Some(&agreed.turned()));
    assert_eq!(back, messages.iter().cloned().map(Seen::Message).collect::<Vec<_>>());

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

/// One message through the other inflater; `None` when it fails or its stream ends.
fn inflated(window: &mut InflateState, payload: &[u8]) -> Option<Vec<u8>> {
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
