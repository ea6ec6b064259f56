//! The handshake: a request becomes a place and an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::connection::Place;

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What becomes of a request.
pub(crate) enum Request {
    /// It is not all there.
    Partial,
    /// It is none that is answered here.
    Refused,
    /// It is for this place, takes so many bytes, and gets this answer.
    Accepted { place: Place, length: usize, answer: String },
}

pub(crate) fn parse(bytes: &[u8]) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Request::Partial,
        Err(_) => return Request::Refused,
    };
    let key = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
    let (Some(place), Some(key)) = (request.path.and_then(place), key) else { return Request::Refused };
    let accept = STANDARD.encode(Sha1::new().chain_update(key.value).chain_update(GUID).finalize());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Request::Accepted { place, length, answer }
}

fn place(path: &str) -> Option<Place> {
    if path == "/echo/" {
        return Some(Place::Echo);
    }
    let room = path.strip_prefix("/ws/")?.strip_suffix('/')?;
    Some(Place::Room(room.to_owned()))
}
