//! The client: thousands of WebSocket connections on one thread, so cheap that the server is what is measured.
//!
//! Non-blocking sockets, one edge-triggered poll, one read for each readiness. Frames are parsed where they were read; all
//! answers that one read caused leave in one write.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::frame::{self, Frame};
use crate::patience::Patience;

/// Connections that come, or leave, at the same time: enough to keep a server busy, few enough for its backlog and for the
/// noise that members make when they join.
const AT_ONCE: usize = 32;

/// More than a burst of messages for one connection, so that one read is enough.
const READ: usize = 64 * 1024;

/// The key of RFC 6455's own example, and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a connect that does not block says on Linux; the standard library has no stable name for it.
const EINPROGRESS: i32 = 115;

/// One message for one connection.
pub(crate) struct Received<'a> {
    /// The connection, counted in the order of joining.
    pub(crate) by: usize,
    /// What arrived.
    pub(crate) payload: &'a [u8],
    /// When it was read.
    pub(crate) at: Instant,
    /// What the same connection says to that.
    pub(crate) reply: Outgoing<'a>,
}

/// The way out of one connection.
pub(crate) struct Outgoing<'a>(&'a mut Vec<u8>);

impl Outgoing<'_> {
    /// Sends a message, of text or of bytes, once the read that caused it is done with.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        frame::write(self.0, opcode, payload);
    }
}

/// What a protocol within WebSocket asks of a connection besides messages; each is a text.
pub(crate) struct Manners {
    /// Said first.
    pub(crate) hello: &'static [u8],
    /// To be answered with `pong`.
    pub(crate) ping: &'static [u8],
    /// The answer.
    pub(crate) pong: &'static [u8],
}

/// All connections to one server.
pub(crate) struct Swarm {
    address: SocketAddr,
    source: Ipv4Addr,
    manners: Option<&'static Manners>,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    connections: Vec<Connection>,
    held_up: Duration,
}

impl Swarm {
    /// No connections yet.
    pub(crate) fn new(address: SocketAddr, manners: Option<&'static Manners>) -> Result<Self> {
        Ok(Self {
            address,
            source: Ipv4Addr::LOCALHOST,
            manners,
            poll: Poll::new().context("cannot poll")?,
            events: Events::with_capacity(256),
            scratch: vec![0; READ],
            connections: Vec::new(),
            held_up: Duration::ZERO,
        })
    }

    /// Connects to this server from now on.
    pub(crate) fn go_to(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Connects from this address from now on. Each has some 28,000 ports, and keeps those of the last minute.
    pub(crate) fn come_from(&mut self, source: Ipv4Addr) {
        self.source = source;
    }

    /// Connects to each path and returns when every handshake is answered. What arrives meanwhile goes to `receive`.
    pub(crate) fn join(
        &mut self,
        paths: impl IntoIterator<Item = String>,
        patience: &Patience,
        mut receive: impl FnMut(Received<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut phase = patience.phase("every handshake to be answered");
        let mut paths = paths.into_iter().peekable();
        let mut open = self.count(State::Open);
        while paths.peek().is_some() || open < self.connections.len() {
            while self.connections.len() - open < AT_ONCE {
                let Some(path) = paths.next() else { break };
                self.start(path)?;
            }
            self.turn(Duration::from_millis(20), &mut receive)?;
            // Handshakes are answered nearly in order, so few connections are looked at.
            while self.connections.get(open).is_some_and(|connection| connection.state == State::Open) {
                open += 1;
            }
            phase.check(open as u64, || format!("{open} are, of {} asked so far", self.connections.len()))?;
        }
        Ok(())
    }

    /// Says goodbye on every connection and returns when the server has closed them all. They leave as they came: so many
    /// at a time.
    pub(crate) fn leave(&mut self, patience: &Patience) -> Result<()> {
        let mut phase = patience.phase("the server to close every connection that said goodbye");
        let mut leaving = 0;
        loop {
            let gone = self.count(State::Gone);
            let left = self.connections.len() - gone;
            if left == 0 {
                self.connections.clear();
                return Ok(());
            }
            while leaving < self.connections.len() && leaving < gone + AT_ONCE {
                let connection = &mut self.connections[leaving];
                connection.state = State::Closing;
                frame::write(&mut connection.unsent, frame::CLOSE, &1000u16.to_be_bytes());
                connection.flush().with_context(|| format!("connection {leaving} cannot say goodbye"))?;
                leaving += 1;
            }
            phase.check(left as u64, || format!("{left} are open"))?;
            self.turn(Duration::from_millis(20), |_| Ok(()))?;
        }
    }

    /// Sends one message from one connection.
    pub(crate) fn send(&mut self, from: usize, opcode: u8, payload: &[u8]) -> Result<()> {
        let connection = &mut self.connections[from];
        frame::write(&mut connection.unsent, opcode, payload);
        connection.flush().with_context(|| format!("connection {from} cannot write"))
    }

    /// Waits up to `wait` for something to happen, handles it, and returns how many messages arrived.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut receive: impl FnMut(Received<'_>) -> Result<()>,
    ) -> Result<usize> {
        let begun = Instant::now();
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            polled => polled.context("cannot poll")?,
        }
        self.held_up = self.held_up.max(begun.elapsed().saturating_sub(wait));
        let mut messages = 0;
        for event in &self.events {
            let by = event.token().0;
            let connection = &mut self.connections[by];
            messages += connection
                .ready(by, event, &mut self.scratch, &mut receive)
                .with_context(|| format!("connection {by} ({})", connection.path))?;
        }
        Ok(messages)
    }

    /// The longest that the machine let this program wait beyond the end of a turn, since this was last asked.
    pub(crate) fn held_up(&mut self) -> Duration {
        mem::take(&mut self.held_up)
    }

    /// Lets a moment pass, and forgets what arrives meanwhile.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.turn(Duration::from_millis(50), |_| Ok(())).map(drop)
    }

    /// Handles what arrives until nothing has for a quarter of a second.
    pub(crate) fn quiet(
        &mut self,
        patience: &Patience,
        mut receive: impl FnMut(Received<'_>) -> Result<()>,
    ) -> Result<()> {
        const QUIET: Duration = Duration::from_millis(250);
        let mut phase = patience.phase("the server to have nothing more to say");
        let mut messages = 0;
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            let arrived = self.turn(Duration::from_millis(20), &mut receive)?;
            if arrived > 0 {
                messages += arrived;
                last = Instant::now();
            }
            // Silence is progress here: only the whole phase is bounded.
            phase.check(messages as u64, || format!("{messages} messages so far"))?;
        }
        Ok(())
    }

    fn start(&mut self, path: String) -> Result<()> {
        let mut socket = connect(self.source, self.address).context("cannot open a socket")?;
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let unsent = request(&path, self.address);
        self.connections.push(Connection {
            path,
            manners: self.manners,
            socket: Some(socket),
            state: State::Connecting,
            unsent: unsent.into_bytes(),
            rest: Vec::new(),
            messages: 0,
        });
        Ok(())
    }

    fn count(&self, state: State) -> usize {
        self.connections.iter().filter(|connection| connection.state == state).count()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The socket is not connected yet.
    Connecting,
    /// The request is sent, or about to be.
    Asking,
    /// Messages may come and go.
    Open,
    /// We said goodbye.
    Closing,
    /// The server closed the socket.
    Gone,
}

struct Connection {
    path: String,
    manners: Option<&'static Manners>,
    socket: Option<TcpStream>,
    state: State,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    /// The beginning of a frame (or of the handshake's answer) whose end has not been read.
    rest: Vec<u8>,
    messages: u64,
}

impl Connection {
    fn ready(
        &mut self,
        by: usize,
        event: &Event,
        scratch: &mut [u8],
        receive: &mut impl FnMut(Received<'_>) -> Result<()>,
    ) -> Result<usize> {
        if self.state == State::Connecting && !self.connected(event)? {
            return Ok(0);
        }
        if event.is_writable() && !self.unsent.is_empty() {
            self.flush()?;
        }
        let mut messages = 0;
        while let Some(socket) = self.socket.as_mut().filter(|_| event.is_readable()) {
            match socket.read(scratch) {
                Ok(0) => self.ended("closed its socket")?,
                Ok(read) => {
                    messages += self.read(by, &scratch[..read], receive)?;
                    if !self.unsent.is_empty() {
                        self.flush()?;
                    }
                    // A short read has emptied the socket; the next arrival makes a new event. Only the end of the
                    // stream, if the event brought it along, is still to be read.
                    if read < scratch.len() && !event.is_read_closed() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended("reset its socket")?,
                Err(error) => return Err(error).context("cannot read"),
            }
        }
        Ok(messages)
    }

    fn connected(&mut self, event: &Event) -> Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        if let Some(error) = socket.take_error()? {
            return Err(error).context("cannot connect");
        }
        if !event.is_writable() || socket.peer_addr().is_err() {
            return Ok(false);
        }
        socket.set_nodelay(true)?;
        self.state = State::Asking;
        Ok(true)
    }

    fn ended(&mut self, how: &str) -> Result<()> {
        self.socket = None;
        match self.state {
            State::Closing => self.state = State::Gone,
            State::Asking => bail!("the server {how} instead of answering the handshake"),
            _ => bail!("the server {how} without a goodbye, after {} messages", self.messages),
        }
        Ok(())
    }

    fn read(&mut self, by: usize, bytes: &[u8], receive: &mut impl FnMut(Received<'_>) -> Result<()>) -> Result<usize> {
        let at = Instant::now();
        let mut rest = mem::take(&mut self.rest);
        // What is left of the last read comes first; mostly nothing is.
        let pending = if rest.is_empty() {
            bytes
        } else {
            rest.extend_from_slice(bytes);
            &rest
        };
        let mut used = 0;
        if self.state == State::Asking {
            let Some(end) = answered(pending)? else {
                self.rest = pending.to_vec();
                return Ok(0);
            };
            self.state = State::Open;
            used = end;
            if let Some(manners) = self.manners {
                frame::write(&mut self.unsent, frame::TEXT, manners.hello);
            }
        }
        let mut messages = 0;
        while let Some((Frame { opcode, payload }, length)) = frame::parse(&pending[used..])? {
            used += length;
            match opcode {
                frame::TEXT if self.manners.is_some_and(|manners| payload == manners.ping) => {
                    let pong = self.manners.map_or(&b""[..], |manners| manners.pong);
                    frame::write(&mut self.unsent, frame::TEXT, pong);
                }
                frame::TEXT | frame::BINARY => {
                    messages += 1;
                    receive(Received { by, payload, at, reply: Outgoing(&mut self.unsent) })?;
                }
                frame::PING => frame::write(&mut self.unsent, frame::PONG, payload),
                frame::CLOSE if self.state != State::Closing => bail!(
                    "the server said goodbye after {} messages: {}",
                    self.messages + messages as u64,
                    goodbye(payload)
                ),
                _ => {}
            }
        }
        self.messages += messages as u64;
        if used < pending.len() {
            self.rest = pending[used..].to_vec();
        }
        Ok(messages)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(socket) = self.socket.as_mut().filter(|_| self.state != State::Connecting) else { return Ok(()) };
        let mut written = 0;
        while written < self.unsent.len() {
            match socket.write(&self.unsent[written..]) {
                Ok(wrote) => written += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The server's end of it is read, with its reason.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    written = self.unsent.len();
                }
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..written);
        Ok(())
    }
}

/// The handshake's request.
pub(crate) fn request(path: &str, host: SocketAddr) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// Begins to connect.
fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    if source != Ipv4Addr::LOCALHOST {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Where the answer to the handshake ends, if it is all there and a yes.
fn answered(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("101"), "the handshake was answered with {status}");
    let accepted = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT);
    ensure!(accepted, "the handshake was answered without the right Sec-WebSocket-Accept");
    Ok(Some(end + 4))
}

fn goodbye(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason)),
        None => "no code".to_owned(),
    }
}
