//! permessage-deflate (RFC 7692): negotiation, and messages deflated and inflated.

use std::cell::RefCell;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{Close, CloseCode, server::Compression};

/// What a sync flush ends with, which is not sent (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty block, the last of its stream (RFC 1951, section 3.2.4).
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// The smallest window that the codec can write with.
const MIN_BITS: u8 = 9;
const MAX_BITS: u8 = 15;

thread_local! {
    /// Inflaters of this thread, by window: taken for a message, then put back.
    static INFLATERS: RefCell<[Option<Box<Decompress>>; 16]> = const { RefCell::new([const { None }; 16]) };
    /// Deflaters that keep nothing from message to message likewise, with their level.
    static DEFLATERS: RefCell<[Option<(u32, Compress)>; 16]> = const { RefCell::new([const { None }; 16]) };
}

/// What both sides agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Agreed {
    pub(crate) server_takeover: bool,
    pub(crate) client_takeover: bool,
    pub(crate) server_bits: u8,
    pub(crate) client_bits: u8,
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub(crate) answer: String,
}

/// Takes the first offer that can be met (RFC 7692, section 5.1 and 7.1).
pub(crate) fn negotiate<'h>(headers: impl Iterator<Item = &'h str>, settings: &Compression) -> Option<Agreed> {
    headers.flat_map(|header| header.split(',')).find_map(|offer| accept(offer, settings))
}

/// Meets one offer, or declines it: for another extension, an unknown or repeated parameter, or a bad value.
fn accept(offer: &str, settings: &Compression) -> Option<Agreed> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    let (mut server_takeover, mut client_takeover) =
        (settings.server_context_takeover, settings.client_context_takeover);
    let (mut server_bits, mut client_bits) = (settings.server_max_window_bits.clamp(MIN_BITS, MAX_BITS), None);
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover", None) => server_takeover = false,
            ("client_no_context_takeover", None) => client_takeover = false,
            ("server_max_window_bits", Some(value)) => {
                let asked = bits(value)?;
                if asked < MIN_BITS {
                    return None;
                }
                server_bits = server_bits.min(asked);
            }
            ("client_max_window_bits", value) => {
                let asked = value.map_or(Some(MAX_BITS), bits)?;
                client_bits = Some(asked.min(settings.client_max_window_bits.clamp(8, MAX_BITS)));
            }
            _ => return None,
        }
    }
    let mut answer = String::from("permessage-deflate");
    if !server_takeover {
        answer.push_str("; server_no_context_takeover");
    }
    if !client_takeover {
        answer.push_str("; client_no_context_takeover");
    }
    if server_bits < MAX_BITS || seen.contains(&"server_max_window_bits") {
        answer.push_str(&format!("; server_max_window_bits={server_bits}"));
    }
    if let Some(bits) = client_bits.filter(|bits| *bits < MAX_BITS) {
        answer.push_str(&format!("; client_max_window_bits={bits}"));
    }
    let client_bits = client_bits.unwrap_or(MAX_BITS).max(MIN_BITS);
    Some(Agreed { server_takeover, client_takeover, server_bits, client_bits, answer })
}

/// The value of a parameter, which may stand in quotes (RFC 6455, section 9.1).
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// A window's size: 8 to 15, without a leading zero.
fn bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=MAX_BITS).contains(bits))?;
    (!value.starts_with(['0', '+'])).then_some(bits)
}

/// How many bytes so many may have deflated that do not become fewer by it: a stored block has 5 more than it holds (RFC 1951,
/// section 3.2.4), and the smallest that a zlib makes holds 127.
pub(super) fn deflated_len(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 16 + 64)
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Corrupt {
    /// It is no deflate stream.
    Data,
    /// It is over the limit when it is inflated.
    TooBig,
}

impl Corrupt {
    /// How a connection with such a message ends.
    pub(super) fn close(self, limit: usize) -> Close {
        match self {
            Self::Data => Close::new(CloseCode::INVALID_PAYLOAD, "the message is not deflated rightly"),
            Self::TooBig => Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes")),
        }
    }
}

/// The client's messages, inflated.
pub(crate) struct Inflate {
    bits: u8,
    takeover: bool,
    /// What the open message is inflated with.
    window: Option<Box<Decompress>>,
    /// The end of what was inflated before, to which a message may point where that was agreed on.
    before: Vec<u8>,
}

impl Inflate {
    pub(crate) fn new(agreed: &Agreed) -> Self {
        Self { bits: agreed.client_bits, takeover: agreed.client_takeover, window: None, before: Vec::new() }
    }

    /// Adds to `inflated` what comes of the next piece of a message, which may have `limit` bytes and `ends` here or not.
    /// After an error, `inflated` has what came before it.
    pub(super) fn piece(
        &mut self,
        piece: &[u8],
        ends: bool,
        inflated: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Corrupt> {
        let slot = usize::from(self.bits);
        let window = match &mut self.window {
            Some(window) => window,
            none => none.insert(window(self.bits, &self.before)?),
        };
        inflated.reserve((piece.len() * 4).min(limit.saturating_add(1) - inflated.len()).max(64));
        let mut result = inflate(window, piece, inflated, limit);
        if ends && result.is_ok() {
            result = end(window, inflated, limit);
        }
        if (ends || result.is_err())
            && let Some(mut window) = self.window.take()
        {
            window.reset(false);
            INFLATERS.with_borrow_mut(|pool| pool[slot] = Some(window));
        }
        if ends && self.takeover {
            self.keep(inflated);
        }
        result
    }

    /// Keeps as much of a message, and of what came before it, as the window has.
    fn keep(&mut self, inflated: &[u8]) {
        let most = 1 << self.bits;
        let new = &inflated[inflated.len().saturating_sub(most)..];
        let over = (self.before.len() + new.len()).saturating_sub(most);
        self.before.drain(..over);
        let length = self.before.len() + new.len();
        self.before.reserve_exact(length.next_power_of_two() - self.before.len());
        self.before.extend_from_slice(new);
    }
}

/// An inflater for a message that may point to what came `before` it.
fn window(bits: u8, before: &[u8]) -> Result<Box<Decompress>, Corrupt> {
    let taken = INFLATERS.with_borrow_mut(|pool| pool[usize::from(bits)].take());
    let mut window = taken.unwrap_or_else(|| Box::new(Decompress::new_with_window_bits(false, bits)));
    if !before.is_empty() {
        window.set_dictionary(before).map_err(|_| Corrupt::Data)?;
    }
    Ok(window)
}

/// Ends a message: with the four bytes that its sender left out (section 7.2.2), unless it had none or ended its stream. It is
/// whole if nothing comes of them and a block may follow.
fn end(window: &mut Decompress, inflated: &mut Vec<u8>, limit: usize) -> Result<(), Corrupt> {
    if window.total_in() == 0 {
        return Ok(());
    }
    let length = inflated.len();
    inflate(window, &TAIL, inflated, limit)?;
    match window.decompress(&LAST, &mut [], FlushDecompress::Sync) {
        Ok(Status::StreamEnd) if inflated.len() == length => Ok(()),
        _ => Err(Corrupt::Data),
    }
}

fn inflate(window: &mut Decompress, mut piece: &[u8], inflated: &mut Vec<u8>, limit: usize) -> Result<(), Corrupt> {
    loop {
        let before = (window.total_in(), inflated.len());
        let status = window.decompress_vec(piece, inflated, FlushDecompress::Sync);
        // What was inflated before an error counts first, however much of it one call gives.
        if inflated.len() > limit {
            return Err(Corrupt::TooBig);
        }
        let status = status.map_err(|_| Corrupt::Data)?;
        let read = usize::try_from(window.total_in() - before.0).map_err(|_| Corrupt::Data)?;
        piece = &piece[read..];
        if status == Status::StreamEnd {
            // The client ended its stream (section 7.2.3.4); what follows is a new one.
            window.reset(false);
        } else if inflated.len() == inflated.capacity() {
            inflated.reserve(inflated.len().min(limit.saturating_add(1) - inflated.len()).max(1));
        } else if piece.is_empty() {
            return Ok(());
        } else if read == 0 && inflated.len() == before.1 {
            return Err(Corrupt::Data);
        }
    }
}

/// This side's messages, deflated.
pub(crate) struct Deflate {
    bits: u8,
    level: u32,
    kept: Option<Box<Compress>>,
}

impl Deflate {
    pub(crate) fn new(agreed: &Agreed, settings: &Compression) -> Self {
        let level = settings.level.clamp(1, 9);
        let kept = || Box::new(compressor(level, agreed.server_bits));
        Self { bits: agreed.server_bits, level, kept: agreed.server_takeover.then(kept) }
    }

    /// What tells the deflated forms of one message apart; `None` where each connection has a form of its own.
    pub(super) fn shared_key(&self) -> Option<(u8, u32)> {
        self.kept.is_none().then_some((self.bits, self.level))
    }

    /// Deflates one message. Without a window of its own, gives `None` when it would not become smaller.
    pub(super) fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if let Some(window) = &mut self.kept {
            return Some(deflate(window, payload));
        }
        let slot = usize::from(self.bits);
        let taken = DEFLATERS.with_borrow_mut(|pool| pool[slot].take_if(|(level, _)| *level == self.level));
        let mut window = taken.map_or_else(|| compressor(self.level, self.bits), |(_, window)| window);
        let deflated = deflate(&mut window, payload);
        window.reset();
        DEFLATERS.with_borrow_mut(|pool| pool[slot] = Some((self.level, window)));
        (deflated.len() < payload.len()).then_some(deflated)
    }
}

fn compressor(level: u32, bits: u8) -> Compress {
    Compress::new_with_window_bits(flate2::Compression::new(level), false, bits)
}

fn deflate(window: &mut Compress, mut payload: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(payload.len() / 2 + 64);
    loop {
        let before = window.total_in();
        let status = window.compress_vec(payload, &mut deflated, FlushCompress::Sync);
        debug_assert!(status.is_ok(), "deflate has no bad input");
        payload = &payload[usize::try_from(window.total_in() - before).unwrap_or(payload.len())..];
        if payload.is_empty() && deflated.len() < deflated.capacity() {
            break;
        }
        deflated.reserve(deflated.capacity());
    }
    if deflated.is_empty() {
        // Nothing was added since the last flush: an empty block says so (section 7.2.3.6).
        deflated.push(0);
    } else if deflated.ends_with(&TAIL) {
        deflated.truncate(deflated.len() - TAIL.len());
    }
    deflated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(offer: &str, settings: &Compression) -> Option<String> {
        negotiate([offer].into_iter(), settings).map(|agreed| agreed.answer)
    }

    #[test]
    fn offers_are_met_or_declined_as_rfc_7692_says() {
        let keep =
            Compression { server_context_takeover: true, client_context_takeover: true, ..Compression::default() };
        let table = [
            ("permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; client_max_window_bits", Some("permessage-deflate")),
            ("permessage-deflate; client_max_window_bits=10", Some("permessage-deflate; client_max_window_bits=10")),
            ("permessage-deflate; client_max_window_bits=8", Some("permessage-deflate; client_max_window_bits=8")),
            ("permessage-deflate; server_max_window_bits=10", Some("permessage-deflate; server_max_window_bits=10")),
            ("permessage-deflate; server_max_window_bits=\"9\"", Some("permessage-deflate; server_max_window_bits=9")),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; server_no_context_takeover", Some("permessage-deflate; server_no_context_takeover")),
            ("permessage-deflate; client_no_context_takeover", Some("permessage-deflate; client_no_context_takeover")),
            ("x-webkit-deflate-frame, permessage-deflate", Some("permessage-deflate")),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=010", None),
            ("permessage-deflate; server_max_window_bits=\"9", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("permessage-deflate; unknown", None),
            ("permessage-bzip2", None),
            ("", None),
        ];
        for (offer, answer) in table {
            assert_eq!(agree(offer, &keep).as_deref(), answer, "{offer}");
        }
    }

    #[test]
    fn windows_are_given_up_and_narrowed_where_the_server_says_so() {
        let settings = Compression { server_max_window_bits: 11, client_max_window_bits: 12, ..Compression::default() };
        let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                      server_max_window_bits=11; client_max_window_bits=12";
        assert_eq!(agree("permessage-deflate; client_max_window_bits", &settings).as_deref(), Some(answer));
    }

    fn whole(inflate: &mut Inflate, payload: &[u8], limit: usize) -> Result<Vec<u8>, Corrupt> {
        let mut inflated = Vec::new();
        inflate.piece(payload, true, &mut inflated, limit).map(|()| inflated)
    }

    fn both_ways(settings: &Compression, offer: &str) {
        let agreed = negotiate([offer].into_iter(), settings).unwrap();
        let mut deflate = Deflate::new(&agreed, settings);
        let mut inflate = Inflate::new(&Agreed {
            client_bits: agreed.server_bits,
            client_takeover: agreed.server_takeover,
            ..agreed
        });
        let long = "哈哈 something that repeats itself, ".repeat(5_000);
        for text in [&long[..], "short but compressible: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &long[..]] {
            let deflated = deflate.message(text.as_bytes()).unwrap();
            assert!(deflated.len() < text.len());
            assert_eq!(whole(&mut inflate, &deflated, 1 << 20).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn what_is_deflated_comes_back_with_and_without_takeover_in_any_window() {
        for takeover in [false, true] {
            let settings = Compression {
                server_context_takeover: takeover,
                client_context_takeover: takeover,
                ..Compression::default()
            };
            both_ways(&settings, "permessage-deflate");
            for bits in 9..=15 {
                both_ways(&settings, &format!("permessage-deflate; server_max_window_bits={bits}"));
            }
        }
    }

    #[test]
    fn empty_messages_in_a_window_that_is_kept_are_empty_blocks() {
        let settings =
            Compression { server_context_takeover: true, client_context_takeover: true, ..Compression::default() };
        let agreed = negotiate(["permessage-deflate"].into_iter(), &settings).unwrap();
        let (mut deflate, mut inflate) = (Deflate::new(&agreed, &settings), Inflate::new(&agreed));
        for text in ["", "", "not empty", "", ""] {
            let deflated = deflate.message(text.as_bytes()).unwrap();
            assert_eq!(whole(&mut inflate, &deflated, 100).unwrap(), text.as_bytes(), "{deflated:x?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_garbage_is_refused() {
        let agreed = negotiate(["permessage-deflate"].into_iter(), &Compression::default()).unwrap();
        let bomb = Deflate::new(&agreed, &Compression::default()).message(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        let mut inflate = Inflate::new(&agreed);
        assert_eq!(whole(&mut inflate, &bomb, 1 << 20), Err(Corrupt::TooBig));
        assert_eq!(whole(&mut inflate, &[0xff; 64], 1 << 20), Err(Corrupt::Data));
        assert_eq!(whole(&mut inflate, &bomb, 10_000_000).unwrap().len(), 10_000_000);
    }

    #[test]
    fn a_message_that_does_not_shrink_is_sent_as_it_is() {
        let settings = Compression::default();
        let agreed = negotiate(["permessage-deflate"].into_iter(), &settings).unwrap();
        let noise: Vec<u8> = (0..20).flat_map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
        assert_eq!(Deflate::new(&agreed, &settings).message(&noise), None);
    }

    #[test]
    fn what_is_too_big_before_it_is_corrupt_is_too_big_however_it_was_cut() {
        let agreed = negotiate(["permessage-deflate"].into_iter(), &Compression::default()).unwrap();
        let mut window = Compress::new_with_window_bits(flate2::Compression::new(6), false, 15);
        let [first, mut second] = [[b'a'; 50], [b'b'; 50]].map(|bytes| {
            let mut deflated = Vec::with_capacity(100);
            window.compress_vec(&bytes, &mut deflated, FlushCompress::Sync).unwrap();
            deflated
        });
        second.extend([0xff; 8]);
        for limit in [60, 99] {
            let mut inflated = Vec::new();
            let mut inflate = Inflate::new(&agreed);
            inflate.piece(&first, false, &mut inflated, limit).unwrap();
            assert_eq!(inflate.piece(&second, false, &mut inflated, limit), Err(Corrupt::TooBig));
            assert_eq!(whole(&mut inflate, &[&first[..], &second].concat(), limit), Err(Corrupt::TooBig));
        }
        let mut inflated = Vec::new();
        let mut inflate = Inflate::new(&agreed);
        inflate.piece(&first, false, &mut inflated, 100).unwrap();
        assert_eq!(inflate.piece(&second, false, &mut inflated, 100), Err(Corrupt::Data));
    }

    #[test]
    fn an_empty_message_and_a_stream_that_the_client_ends_are_inflated() {
        let agreed = negotiate(["permessage-deflate"].into_iter(), &Compression::default()).unwrap();
        let mut inflate = Inflate::new(&agreed);
        for nothing in [&[0][..], &[]] {
            assert_eq!(whole(&mut inflate, nothing, 10).unwrap(), b"");
        }
        // "Hello" in a final block: RFC 7692, section 7.2.3.4. Without the block behind it, it is whole as well.
        let ended = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        for hello in [&ended[..], &ended[..7]] {
            assert_eq!(whole(&mut inflate, hello, 10).unwrap(), b"Hello");
        }
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused_wherever_it_was_cut() {
        let agreed = negotiate(["permessage-deflate"].into_iter(), &Compression::default()).unwrap();
        let words = "something that repeats itself, and something else, ".repeat(20);
        for level in [0, 1, 9] {
            let deflated = deflate(&mut compressor(level, 15), words.as_bytes());
            let mut inflate = Inflate::new(&agreed);
            // The first byte of a block that is not compressed is an empty message, too.
            for length in 2..deflated.len() {
                assert_eq!(whole(&mut inflate, &deflated[..length], 1 << 20), Err(Corrupt::Data), "{level}: {length}");
            }
            assert_eq!(whole(&mut inflate, &deflated, 1 << 20).unwrap(), words.as_bytes());
        }
    }

    #[test]
    fn of_what_was_inflated_before_no_more_is_kept_than_a_message_may_point_to() {
        let keep = Compression { client_context_takeover: true, ..Compression::default() };
        let agreed = negotiate(["permessage-deflate; client_max_window_bits=9"].into_iter(), &keep).unwrap();
        let mut inflate = Inflate::new(&agreed);
        for (length, kept) in [(5, 5), (300, 305), (10, 315), (300, 512), (10_000, 512), (1, 512)] {
            inflate.keep(&vec![b'x'; length]);
            assert_eq!(inflate.before.len(), kept);
            assert!(inflate.before.capacity() <= 512);
        }
    }
}
