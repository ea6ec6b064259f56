//! RFC 6455: the handshake, and frames in and out. The only file that names the frame codec.

mod deflate;
#[cfg(fuzzing)]
pub(crate) mod fuzz;

use std::{
    io::Cursor,
    task::{Context, Poll, ready},
};

use actix_http::ws::{HandshakeError, handshake, verify_handshake};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        Version,
        header::{self, HeaderName},
    },
};
use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use self::deflate::{Corrupt, Deflate, Inflate, negotiate};
use super::{Inflow, Transport};
use crate::{
    Close, CloseCode, Message,
    close::MAX_REASON_LEN,
    consumer::Accept,
    frame::{Incoming, Outgoing, WireForm},
    server::Config,
};

/// The longest payload of a control frame, in bytes (RFC 6455, section 5.5).
const MAX_CONTROL_LEN: usize = MAX_REASON_LEN + 2;

/// The two halves of a connection's codec, and the extension that the handshake's answer names.
pub(crate) struct Codec<S> {
    pub(crate) reader: WebSocket<S>,
    pub(crate) writer: Encoder,
    pub(crate) extension: Option<String>,
}

impl<S> Codec<S> {
    /// A codec for the client of this request, whose frames arrive on `bytes`.
    pub(crate) fn new(request: &HttpRequest, bytes: S, config: &Config) -> Self {
        let offers =
            request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS).filter_map(|value| value.to_str().ok());
        let settings = config.compression.as_ref();
        let agreed = settings.and_then(|settings| Some((negotiate(offers, settings)?, settings)));
        let sizes =
            Sizes { frame: config.max_frame_size, message: config.max_message_size, fragments: config.max_fragments };
        Self {
            reader: WebSocket::new(bytes, sizes, agreed.as_ref().map(|(agreed, _)| Inflate::new(agreed))),
            writer: match &agreed {
                Some((agreed, settings)) => {
                    Encoder::Deflate { deflate: Deflate::new(agreed, settings), min_size: settings.min_size }
                }
                None => Encoder::Plain,
            },
            extension: agreed.map(|(agreed, _)| agreed.answer),
        }
    }
}

/// How much a client may send at once.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Bytes of one frame's payload.
    frame: usize,
    /// Bytes of one message, its fragments joined and inflated.
    message: usize,
    /// Fragments of one message.
    fragments: usize,
}

/// The answer to a handshake that cannot be accepted; `None` when it can.
///
/// 405 for another method than GET, 426 with the supported version for a version that is not 13, 400 for what else is
/// wrong or missing (RFC 6455, sections 4.2.1 and 4.4).
pub(crate) fn refusal(request: &HttpRequest) -> Option<HttpResponse> {
    let error = match verify_handshake(request.head()) {
        Ok(()) => return lets_through(request).map(|why| refuse(&mut HttpResponse::BadRequest(), why)),
        Err(error) => error,
    };
    let mut response = match error {
        HandshakeError::GetMethodRequired => {
            let mut response = HttpResponse::MethodNotAllowed();
            response.insert_header((header::ALLOW, "GET"));
            response
        }
        HandshakeError::UnsupportedVersion => {
            let mut response = HttpResponse::UpgradeRequired();
            response.insert_header((header::UPGRADE, "websocket")).insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
            response
        }
        _ => HttpResponse::BadRequest(),
    };
    Some(refuse(&mut response, error.to_string()))
}

fn refuse(response: &mut HttpResponseBuilder, why: impl Into<String>) -> HttpResponse {
    response.content_type("text/plain; charset=utf-8").body(why.into())
}

/// What actix lets through and section 4.2.1 does not.
fn lets_through(request: &HttpRequest) -> Option<&'static str> {
    let times = |name| request.headers().get_all(name).count();
    if request.version() != Version::HTTP_11 {
        Some("the handshake is not HTTP/1.1")
    } else if !names(request, header::UPGRADE, "websocket") {
        Some("the upgrade is not one to `websocket`")
    } else if !names(request, header::CONNECTION, "upgrade") {
        Some("the connection is not one to upgrade")
    } else if times(header::SEC_WEBSOCKET_KEY) != 1 || times(header::SEC_WEBSOCKET_VERSION) != 1 {
        Some("the key or the version is there twice") // sections 11.3.1 and 11.3.5
    } else {
        None
    }
}

/// Whether a header that is a list, perhaps on several lines, has this word, in capitals or not.
fn names(request: &HttpRequest, list: HeaderName, word: &str) -> bool {
    let lines = request.headers().get_all(list).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|named| named.trim().eq_ignore_ascii_case(word))
}

/// The answer 101 to a handshake without a [`refusal`].
pub(crate) fn accept(
    request: &HttpRequest,
    accept: &Accept,
    extension: Option<String>,
) -> Result<HttpResponse, actix_web::Error> {
    let mut response = handshake(request.head())?;
    if let Some(extension) = extension {
        response.insert_header((header::SEC_WEBSOCKET_EXTENSIONS, extension));
    }
    if let Some(subprotocol) = &accept.subprotocol {
        // A client fails a connection whose subprotocol it did not offer (section 4.2.2); their case counts.
        let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|line| line.to_str().ok());
        if offers.flat_map(|line| line.split(',')).any(|offer| offer.trim() == subprotocol) {
            response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, subprotocol.as_str()));
        } else {
            tracing::warn!(
                path = request.path(),
                subprotocol,
                "a subprotocol that the client did not offer is left out"
            );
        }
    }
    for header in &accept.headers {
        response.append_header(header.clone());
    }
    Ok(HttpResponse::from(response.finish()).map_into_boxed_body())
}

/// The same as it goes over the wire (RFC 9112, section 4).
pub(crate) fn head(response: &HttpResponse) -> Bytes {
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n".to_vec();
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// Makes frames as they go over the wire: final, unmasked, with the shortest length there is.
pub(crate) enum Encoder {
    /// No frames: the messages as they are, for a response to a request.
    Raw,
    Plain,
    Deflate {
        deflate: Deflate,
        min_size: usize,
    },
}

impl Encoder {
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    pub(crate) fn encode(&mut self, frame: &Outgoing) -> Bytes {
        if self.is_raw() {
            return frame.message().map(|message| message.clone().into()).unwrap_or_default();
        }
        match frame {
            Outgoing::Message(message) => self.message(message),
            Outgoing::Shared(shared) => match self.shared_form(&shared.message) {
                Some(form) => shared.wire(form, |message| self.message(message)).clone(),
                None => self.message(&shared.message),
            },
            Outgoing::Ping => encode_frame(OpCode::Control(Control::Ping), false, &[]),
            Outgoing::Pong(payload) => encode_frame(OpCode::Control(Control::Pong), false, payload),
            Outgoing::Close(close) if close.code.may_be_sent() => {
                let payload = [&close.code.get().to_be_bytes()[..], close.reason.as_bytes()].concat();
                encode_frame(OpCode::Control(Control::Close), false, &payload)
            }
            Outgoing::Close(_) => encode_frame(OpCode::Control(Control::Close), false, &[]),
        }
    }

    /// Appends a frame to others.
    pub(crate) fn append(&mut self, frame: &Outgoing, frames: &mut Vec<u8>) {
        match (&*self, frame) {
            (Self::Plain, Outgoing::Message(message)) => {
                append_frame(opcode(message), false, message.as_bytes(), frames);
            }
            (Self::Plain, Outgoing::Shared(shared)) => {
                frames.extend_from_slice(shared.wire(WireForm::Plain, |message| self.message(message)));
            }
            _ => frames.extend_from_slice(&self.encode(frame)),
        }
    }

    /// Under which form a message can be shared with other connections.
    fn shared_form(&self, message: &Message) -> Option<WireForm> {
        match self {
            Self::Deflate { deflate, min_size } if message.len() >= *min_size => {
                deflate.shared_key().map(|(bits, level)| WireForm::Deflated { bits, level })
            }
            _ => Some(WireForm::Plain),
        }
    }

    fn message(&mut self, message: &Message) -> Bytes {
        let kind = opcode(message);
        if let Self::Deflate { deflate, min_size } = self
            && message.len() >= *min_size
            && let Some(deflated) = deflate.message(message.as_bytes())
        {
            return encode_frame(kind, true, &deflated);
        }
        encode_frame(kind, false, message.as_bytes())
    }
}

fn opcode(message: &Message) -> OpCode {
    OpCode::Data(match message {
        Message::Text(_) => Data::Text,
        Message::Binary(_) => Data::Binary,
    })
}

fn encode_frame(opcode: OpCode, deflated: bool, payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    append_frame(opcode, deflated, payload, &mut frame);
    frame.into()
}

fn append_frame(opcode: OpCode, deflated: bool, payload: &[u8], frames: &mut Vec<u8>) {
    let header = FrameHeader { opcode, rsv1: deflated, ..FrameHeader::default() };
    let length = payload.len() as u64;
    frames.reserve_exact(header.len(length) + payload.len());
    header.format(length, frames).expect("a Vec takes everything that is written to it");
    frames.extend_from_slice(payload);
}

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
    opcode: OpCode,
    last: bool,
    deflated: bool,
    mask: [u8; 4],
    /// Bytes of payload that are not taken yet.
    left: usize,
}

/// A message whose last fragment is not here, or not all of it.
struct Partial {
    text: bool,
    deflated: bool,
    payload: BytesMut,
    /// Up to here the payload is known to be UTF-8.
    valid: usize,
    fragments: usize,
}

impl<S> WebSocket<S> {
    fn new(bytes: S, sizes: Sizes, inflate: Option<Inflate>) -> Self {
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
            let parsed = match frame.opcode {
                OpCode::Control(control) => self.control(frame, control)?,
                OpCode::Data(_) => self.data(frame)?,
            };
            match parsed {
                Parsed::Whole(incoming) => return Ok(Some(incoming)),
                Parsed::NeedMore => return Ok(None),
                Parsed::Fragment => {}
            }
        }
    }

    /// Reads a header and refuses the frame if it breaks a rule or a limit, before its payload arrives.
    fn header(&mut self) -> Result<Option<Frame>, Close> {
        let mut cursor = Cursor::new(&self.buffer[..]);
        let header = FrameHeader::parse(&mut cursor).map_err(|_| broken("the opcode is reserved"))?;
        let Some((header, length)) = header else { return Ok(None) };
        let read = usize::try_from(cursor.position()).expect("a header has at most 14 bytes");

        let starts_message = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        if header.rsv2 || header.rsv3 || header.rsv1 && (self.inflate.is_none() || !starts_message) {
            return Err(broken("a reserved bit is set"));
        }
        let Some(mask) = header.mask else { return Err(broken("the frame is not masked")) };
        if length > i64::MAX as u64 {
            return Err(broken("the length's most significant bit is set"));
        }
        if header.len(length) != read {
            return Err(broken("the length is not written in the fewest bytes"));
        }
        let too_big = |what: &str, limit: usize| {
            Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the {what} is over {limit} bytes"))
        };
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(broken("a control frame is fragmented")),
            OpCode::Control(_) if length > MAX_CONTROL_LEN as u64 => {
                return Err(broken("a control frame is over 125 bytes"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(kind) => {
                match (&self.message, kind) {
                    (None, Data::Continue) => return Err(broken("a continuation continues nothing")),
                    (Some(_), Data::Text | Data::Binary) => {
                        return Err(broken("a new message starts within another"));
                    }
                    (None, Data::Text | Data::Binary) | (Some(_), Data::Continue) => {}
                    (_, Data::Reserved(_)) => return Err(broken("the opcode is reserved")),
                }
                if length > self.sizes.frame as u64 {
                    return Err(too_big("frame", self.sizes.frame));
                }
                let before = self.message.as_ref().map_or(0, |message| message.payload.len());
                if length > (self.sizes.message - before.min(self.sizes.message)) as u64 {
                    return Err(too_big("message", self.sizes.message));
                }
            }
        }
        self.buffer.advance(read);
        let left = usize::try_from(length).expect("checked against the limits");
        Ok(Some(Frame { opcode: header.opcode, last: header.is_final, deflated: header.rsv1, mask, left }))
    }

    fn control(&mut self, frame: Frame, control: Control) -> Result<Parsed, Close> {
        if self.buffer.len() < frame.left {
            self.frame = Some(frame);
            return Ok(Parsed::NeedMore);
        }
        let mut payload = self.buffer.split_to(frame.left);
        unmask(&mut payload, frame.mask);
        Ok(Parsed::Whole(match control {
            Control::Ping => Incoming::Ping(payload.freeze()),
            Control::Pong => Incoming::Pong,
            Control::Close => Incoming::Close(close(&payload)?),
            Control::Reserved(_) => return Err(broken("the opcode is reserved")),
        }))
    }

    fn data(&mut self, frame: Frame) -> Result<Parsed, Close> {
        let whole = frame.last && self.message.is_none() && self.buffer.len() >= frame.left;
        if whole {
            let mut payload = self.buffer.split_to(frame.left);
            unmask(&mut payload, frame.mask);
            let text = frame.opcode == OpCode::Data(Data::Text);
            return self.message(text, frame.deflated, payload.freeze());
        }
        self.fragment(frame)
    }

    /// Takes what has arrived of a frame that is not a whole message by itself.
    fn fragment(&mut self, mut frame: Frame) -> Result<Parsed, Close> {
        let mut message = self.message.take().unwrap_or_else(|| Partial {
            text: frame.opcode == OpCode::Data(Data::Text),
            deflated: frame.deflated,
            payload: BytesMut::new(),
            valid: 0,
            fragments: 0,
        });
        let here = frame.left.min(self.buffer.len());
        let mut payload = self.buffer.split_to(here);
        unmask(&mut payload, frame.mask);
        frame.mask.rotate_left(here % 4);
        frame.left -= here;
        message.payload.extend_from_slice(&payload);
        let ends = frame.last && frame.left == 0;
        if message.text && !message.deflated {
            message.check_utf8(ends)?;
        }
        if frame.left > 0 {
            // The next piece belongs to the message that is open now.
            frame.opcode = OpCode::Data(Data::Continue);
            (self.frame, self.message) = (Some(frame), Some(message));
            return Ok(Parsed::NeedMore);
        }
        if ends {
            return self.message(message.text, message.deflated, message.payload.freeze());
        }
        message.fragments += 1;
        if message.fragments >= self.sizes.fragments {
            let reason = format!("the message has more than {} fragments", self.sizes.fragments);
            return Err(Close::new(CloseCode::MESSAGE_TOO_BIG, reason));
        }
        self.message = Some(message);
        Ok(Parsed::Fragment)
    }

    /// A message whose payload is all here.
    fn message(&mut self, text: bool, deflated: bool, mut payload: Bytes) -> Result<Parsed, Close> {
        if deflated && let Some(inflate) = &mut self.inflate {
            let limit = self.sizes.message;
            payload = inflate.message(&payload, limit).map_err(|corrupt| match corrupt {
                Corrupt::Data => Close::new(CloseCode::INVALID_PAYLOAD, "the message is not deflated rightly"),
                Corrupt::TooBig => Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes")),
            })?;
        }
        Ok(Parsed::Whole(Incoming::Message(if text {
            Message::Text(ByteString::try_from(payload).map_err(|_| not_utf8())?)
        } else {
            Message::Binary(payload)
        })))
    }
}

enum Parsed {
    Whole(Incoming),
    Fragment,
    NeedMore,
}

impl Partial {
    /// Fails on the first byte that cannot be UTF-8; a character may still be cut unless the message `ends` here.
    fn check_utf8(&mut self, ends: bool) -> Result<(), Close> {
        match std::str::from_utf8(&self.payload[self.valid..]) {
            Ok(_) => self.valid = self.payload.len(),
            Err(error) if error.error_len().is_none() && !ends => self.valid += error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        }
        Ok(())
    }
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
                        (self.frame, self.message) = (None, None);
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

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, key) in word.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

fn broken(rule: &'static str) -> Close {
    Close::new(CloseCode::PROTOCOL_ERROR, rule)
}

fn not_utf8() -> Close {
    Close::new(CloseCode::INVALID_PAYLOAD, "the text is not UTF-8")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{frame::Shared, server::Compression};

    fn encoder(offer: &str, settings: &Compression) -> Encoder {
        let agreed = negotiate([offer].into_iter(), settings).expect("an offer that can be met");
        Encoder::Deflate { deflate: Deflate::new(&agreed, settings), min_size: settings.min_size }
    }

    #[test]
    fn a_message_for_many_is_deflated_once_for_all_with_the_same_parameters() {
        let message = Outgoing::Shared(Arc::new(Shared::new("repeats itself, ".repeat(100).into())));
        let settings = Compression::default();
        let offer = "permessage-deflate";
        let mut first = encoder(offer, &settings);
        let frame = first.encode(&message);
        assert!(frame.len() < 200, "{} bytes", frame.len());
        assert_eq!(frame.as_ptr(), first.encode(&message).as_ptr());
        assert_eq!(frame.as_ptr(), encoder(offer, &settings).encode(&message).as_ptr());

        let smaller = Compression { level: 9, ..Compression::default() };
        let keeping = Compression { server_context_takeover: true, ..Compression::default() };
        let others = [
            encoder("permessage-deflate; server_max_window_bits=9", &settings),
            encoder(offer, &smaller),
            encoder(offer, &keeping),
            encoder(offer, &keeping),
            Encoder::Plain,
        ];
        let mut frames = vec![frame];
        for mut other in others {
            let frame = other.encode(&message);
            assert!(frames.iter().all(|known| known.as_ptr() != frame.as_ptr()), "each has a form of its own");
            frames.push(frame);
        }
        // What is too small to be deflated is what everybody gets who agreed on nothing.
        let large = Compression { min_size: 10_000, ..Compression::default() };
        assert_eq!(frames[5].as_ptr(), encoder(offer, &large).encode(&message).as_ptr());
    }
}
