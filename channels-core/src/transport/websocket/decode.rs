//! Frames in (RFC 6455, section 5): every rule and limit is checked as soon as what breaks it has arrived.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;

use super::{
    Sizes,
    deflate::{Inflate, deflated_len},
    header::{Header, Opcode},
};
use crate::{
    Close, CloseCode, Message,
    frame::Incoming,
    transport::{Inflow, Transport},
};

/// The frames that arrive on a stream of bytes.
pub(crate) struct WebSocket<S> {
    bytes: S,
    buffer: BytesMut,
    sizes: Sizes,
    inflate: Option<Inflate>,
    frame: Option<Frame>,
    message: Option<Partial>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// A rule is broken: what arrives is thrown away.
    Failed,
    Gone,
}

/// A frame whose header is read and whose payload is not, or not all.
struct Frame {
    opcode: Opcode,
    last: bool,
    deflated: bool,
    mask: [u8; 4],
    /// Bytes of payload that are not taken yet.
    left: usize,
}

/// A message whose last fragment is not here, or not all of it.
#[derive(Default)]
struct Partial {
    text: bool,
    deflated: bool,
    /// Bytes that have arrived of it.
    arrived: usize,
    /// What has arrived, inflated.
    payload: Vec<u8>,
    /// Up to here the payload is known to be UTF-8.
    valid: usize,
    fragments: usize,
}

impl<S> WebSocket<S> {
    pub(super) fn new(bytes: S, sizes: Sizes, inflate: Option<Inflate>) -> Self {
        Self { bytes, buffer: BytesMut::new(), sizes, inflate, frame: None, message: None, state: State::Reading }
    }

    /// The next thing in the buffer; `None` when more bytes are needed.
    fn parse(&mut self) -> Result<Option<Incoming>, Close> {
        loop {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header()? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            if self.has_message(&frame) {
                let mut payload = self.buffer.split_to(frame.left);
                unmask(&mut payload, frame.mask);
                return message(frame.opcode == Opcode::Text, payload.freeze()).map(Some);
            }
            let parsed = if frame.opcode.is_control() { self.control(frame)? } else { self.fragment(frame)? };
            match parsed {
                Parsed::Whole(incoming) => return Ok(Some(incoming)),
                Parsed::NeedMore => return Ok(None),
                Parsed::Fragment => {}
            }
        }
    }

    /// Reads a header and refuses the frame if it breaks a rule or a limit, before its payload arrives.
    fn header(&mut self) -> Result<Option<Frame>, Close> {
        let parsed = Header::parse(&self.buffer, |opcode, deflated| self.may_begin(opcode, deflated));
        let Some((header, read)) = parsed.map_err(broken)? else { return Ok(None) };
        let Header { opcode, last, deflated, mask, length } = header;
        if !opcode.is_control() {
            self.sizes.admit(length, deflated, self.message.as_ref())?;
        }
        self.buffer.advance(read);
        let left = usize::try_from(length).expect("checked against the limits");
        Ok(Some(Frame { opcode, last, deflated, mask, left }))
    }

    /// Section 5.4, and RFC 7692, section 6.
    fn may_begin(&self, opcode: Opcode, deflated: bool) -> Result<(), &'static str> {
        let starts_message = matches!(opcode, Opcode::Text | Opcode::Binary);
        match &self.message {
            _ if deflated && !(starts_message && self.inflate.is_some()) => Err("a reserved bit is set"),
            None if opcode == Opcode::Continuation => Err("a continuation continues nothing"),
            Some(_) if starts_message => Err("a new message starts within another"),
            _ => Ok(()),
        }
    }

    fn control(&mut self, frame: Frame) -> Result<Parsed, Close> {
        if self.buffer.len() < frame.left {
            self.frame = Some(frame);
            return Ok(Parsed::NeedMore);
        }
        let mut payload = self.buffer.split_to(frame.left);
        unmask(&mut payload, frame.mask);
        Ok(Parsed::Whole(match frame.opcode {
            Opcode::Ping => Incoming::Ping(payload.freeze()),
            Opcode::Pong => Incoming::Pong,
            _ => Incoming::Close(close(&payload)?),
        }))
    }

    /// Whether this frame is a message by itself, is here, and can be had as it is.
    fn has_message(&self, frame: &Frame) -> bool {
        frame.last
            && !frame.deflated
            && !frame.opcode.is_control()
            && self.message.is_none()
            && self.buffer.len() >= frame.left
    }

    /// Takes what has arrived of a frame that is not a whole message by itself, or that is deflated.
    fn fragment(&mut self, mut frame: Frame) -> Result<Parsed, Close> {
        let mut message = self.message.take().unwrap_or_else(|| Partial {
            text: frame.opcode == Opcode::Text,
            deflated: frame.deflated,
            ..Partial::default()
        });
        let here = frame.left.min(self.buffer.len());
        let mut bytes = self.buffer.split_to(here);
        unmask(&mut bytes, frame.mask);
        frame.mask.rotate_left(here % 4);
        frame.left -= here;
        message.arrived += here;
        let ends = frame.last && frame.left == 0;
        match &mut self.inflate {
            Some(inflate) if message.deflated => {
                let limit = self.sizes.message;
                if let Err(corrupt) = inflate.piece(&bytes, ends, &mut message.payload, limit) {
                    // What came before it may be wrong, too, and is judged first however the bytes were cut.
                    message.payload.truncate(limit);
                    message.check_utf8()?;
                    return Err(corrupt.close(limit));
                }
            }
            _ => message.payload.extend_from_slice(&bytes),
        }
        if ends {
            return self::message(message.text, message.payload.into()).map(Parsed::Whole);
        }
        message.check_utf8()?;
        if frame.left > 0 {
            // The next piece belongs to the message that is open now.
            frame.opcode = Opcode::Continuation;
            (self.frame, self.message) = (Some(frame), Some(message));
            return Ok(Parsed::NeedMore);
        }
        message.fragments += 1;
        if message.fragments >= self.sizes.fragments {
            let reason = format!("the message has more than {} fragments", self.sizes.fragments);
            return Err(Close::new(CloseCode::MESSAGE_TOO_BIG, reason));
        }
        self.message = Some(message);
        Ok(Parsed::Fragment)
    }
}

enum Parsed {
    Whole(Incoming),
    Fragment,
    NeedMore,
}

impl Sizes {
    /// Refuses a frame of this length, by itself or as the next one of a message, that is over a limit.
    fn admit(&self, length: u64, deflated: bool, message: Option<&Partial>) -> Result<(), Close> {
        let deflated = message.map_or(deflated, |message| message.deflated);
        let before = message.map_or(0, |message| message.arrived);
        let most = |limit: usize| if deflated { deflated_len(limit) } else { limit };
        let too_big = |what: &str, limit: usize| {
            Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the {what} is over {limit} bytes"))
        };
        if length > most(self.frame) as u64 {
            return Err(too_big("frame", self.frame));
        }
        if length > most(self.message).saturating_sub(before) as u64 {
            return Err(too_big("message", self.message));
        }
        Ok(())
    }
}

impl Partial {
    /// Fails on the first byte of a text that cannot be UTF-8; a character may still be cut.
    fn check_utf8(&mut self) -> Result<(), Close> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.valid..]) {
            Ok(_) => self.valid = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }
}

/// A message whose payload is all here.
fn message(text: bool, payload: Bytes) -> Result<Incoming, Close> {
    Ok(Incoming::Message(if text {
        Message::Text(ByteString::try_from(payload).map_err(|_| not_utf8())?)
    } else {
        Message::Binary(payload)
    }))
}

impl<S: Inflow> Transport for WebSocket<S> {
    fn poll_incoming(&mut self, task: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            match self.state {
                State::Gone => return Poll::Ready(Incoming::Gone),
                State::Failed => self.buffer.clear(),
                State::Reading => match self.parse() {
                    Ok(Some(incoming)) => {
                        if matches!(incoming, Incoming::Close(_)) {
                            self.state = State::Failed;
                        }
                        return Poll::Ready(incoming);
                    }
                    Ok(None) => {}
                    Err(close) => {
                        self.state = State::Failed;
                        (self.frame, self.message, self.inflate) = (None, None, None);
                        return Poll::Ready(Incoming::Failed(close));
                    }
                },
            }
            if self.buffer.is_empty() && self.buffer.capacity() > 0 {
                self.buffer = BytesMut::new();
            }
            if ready!(self.bytes.poll_read(task, &mut self.buffer)) == 0 {
                self.state = State::Gone;
            }
        }
    }
}

/// A close frame's payload (RFC 6455, section 5.5.1): nothing, or a code and a reason.
fn close(payload: &[u8]) -> Result<Option<Close>, Close> {
    match payload {
        [] => Ok(None),
        [_] => Err(broken("a close frame has half a code")),
        [high, low, reason @ ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
            if !code.may_be_sent() {
                return Err(broken("a close frame has a code that may not be sent"));
            }
            let reason = std::str::from_utf8(reason)
                .map_err(|_| Close::new(CloseCode::INVALID_PAYLOAD, "a close frame's reason is not UTF-8"))?;
            Ok(Some(Close::new(code, reason)))
        }
    }
}

/// Section 5.3: byte by byte, though eight at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

fn broken(rule: &'static str) -> Close {
    Close::new(CloseCode::PROTOCOL_ERROR, rule)
}

fn not_utf8() -> Close {
    Close::new(CloseCode::INVALID_PAYLOAD, "the text is not UTF-8")
}
