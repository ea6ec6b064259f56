//! A client that need not keep the rules: bytes out, frames in.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::within;

/// The first byte of a frame: `FIN` and an opcode.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A TCP connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer to a request.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A handshake for `path` with further header lines, each with its end of line.
pub(crate) fn handshake(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A masked frame: `first` is the byte of flags and opcode.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut frame = header(first, payload.len() as u64);
    frame.extend(masked(payload));
    frame
}

/// A payload as it is under the mask.
pub(crate) fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The header of a masked frame with a payload of `length` bytes.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(0x80 | length as u8),
        126..=0xffff => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend(MASK);
    header
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(within(TcpStream::connect(address)).await)
    }

    /// A connection whose client can hold few bytes that it does not read.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        Self::over(within(socket.connect(address)).await)
    }

    fn over(stream: std::io::Result<TcpStream>) -> Self {
        let stream = stream.expect("the server listens");
        stream.set_nodelay(true).expect("an option that every system has");
        Self { stream, buffer: Vec::new() }
    }

    /// A WebSocket that was accepted.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        Self::connect(address).await.upgrade(path).await
    }

    /// Makes the connection a WebSocket.
    pub(crate) async fn upgrade(mut self, path: &str) -> Self {
        self.write(handshake(path, "")).await;
        assert_eq!(self.response().await.status, 101);
        self
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.expect("the connection is open");
    }

    /// Writes, unless the connection has ended.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Says that nothing more will be written.
    pub(crate) async fn hang_up(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads up to the end, whatever it is.
    pub(crate) async fn rest(&mut self) {
        let _ = self.stream.read_to_end(&mut self.buffer).await;
    }

    /// What was read and not taken.
    pub(crate) fn read(&self) -> &[u8] {
        &self.buffer
    }

    /// The next bytes, which stay where they are.
    pub(crate) async fn peek(&mut self, length: usize) -> &[u8] {
        assert!(self.fill(length).await, "the connection is open");
        &self.buffer[..length]
    }

    /// Reads until there are `length` bytes; `false` when the connection ends before.
    async fn fill(&mut self, length: usize) -> bool {
        while self.buffer.len() < length {
            if within(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    }

    pub(crate) async fn response(&mut self) -> Response {
        self.try_response().await.expect("the connection ended without an answer")
    }

    /// The response; `None` when the connection ends without one, as one does that was idle for too long.
    pub(crate) async fn try_response(&mut self) -> Option<Response> {
        let mut response = self.try_head().await?;
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        assert!(self.fill(length).await, "the connection ended within an answer");
        response.body = String::from_utf8(self.buffer.drain(..length).collect()).expect("a body of text");
        Some(response)
    }

    /// The answer to a `HEAD`: its length is that of a body that does not come.
    pub(crate) async fn head(&mut self) -> Response {
        self.try_head().await.expect("the connection ended without an answer")
    }

    async fn try_head(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill(self.buffer.len() + 1).await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(Response { status, head, body: String::new() })
    }

    /// The next part of a body that is sent in parts (RFC 9112, section 7.1); `None` at its end, or the connection's.
    pub(crate) async fn part(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            if !self.fill(self.buffer.len() + 1).await {
                return None;
            }
        };
        let size = String::from_utf8(self.buffer[..line].to_vec()).expect("a size is text");
        let size = usize::from_str_radix(&size, 16).expect("a size is hexadecimal");
        if !self.fill(line + 2 + size + 2).await {
            return None;
        }
        let part = self.buffer[line + 2..][..size].to_vec();
        self.buffer.drain(..line + 2 + size + 2);
        (size > 0).then_some(part)
    }

    /// The first byte and the payload of the next frame; `None` at the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if !self.fill(2).await {
            return None;
        }
        let short = self.buffer[1];
        let (start, length) = match short {
            126 if self.fill(4).await => (4, usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]]))),
            127 if self.fill(10).await => {
                let length: [u8; 8] = self.buffer[2..10].try_into().expect("eight bytes");
                (10, usize::try_from(u64::from_be_bytes(length)).expect("a length that fits"))
            }
            _ => (2, usize::from(short)),
        };
        if !self.fill(start + length).await {
            return None;
        }
        let frame: Vec<u8> = self.buffer.drain(..start + length).collect();
        Some((frame[0], frame[start..].to_vec()))
    }

    /// The next frame, which is a whole text.
    pub(crate) async fn text(&mut self) -> String {
        let (first, payload) = self.frame().await.expect("the connection is open");
        assert_eq!(first, FIN | TEXT, "{payload:?}");
        String::from_utf8(payload).expect("a text is UTF-8")
    }

    /// The code (1005 for none) and reason of the close frame that is next.
    pub(crate) async fn close(&mut self) -> (u16, String) {
        let (first, payload) = self.frame().await.expect("a close frame comes before the end");
        assert_eq!(first, FIN | CLOSE, "{}", String::from_utf8_lossy(&payload));
        match &payload[..] {
            [] => (1005, String::new()),
            [high, low, reason @ ..] => {
                let reason = String::from_utf8(reason.to_vec()).expect("a reason is UTF-8");
                (u16::from_be_bytes([*high, *low]), reason)
            }
            [_] => panic!("half a code"),
        }
    }
}
