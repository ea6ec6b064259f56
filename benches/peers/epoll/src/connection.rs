//! One connection: what was read and not understood yet, what is to be written and was not taken yet.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::handshake::Request;
use crate::{frame, handshake};

/// Where what a connection says goes to.
pub(crate) enum Place {
    /// Its handshake is not there yet.
    Outside,
    /// To the members of a room.
    Room(String),
    /// Back.
    Echo,
}

/// What a connection asks for.
pub(crate) enum Heard<'a> {
    /// Nothing yet, but it has its [`Place`] now, and was answered.
    Joined,
    /// That this is said.
    Text(&'a [u8]),
    /// To be answered with these bytes.
    Answer(Vec<u8>),
    /// To be forgotten.
    End,
}

pub(crate) struct Connection {
    socket: TcpStream,
    pub(crate) place: Place,
    pub(crate) input: Vec<u8>,
    pub(crate) unsent: Vec<u8>,
    pub(crate) dirty: bool,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, place: Place::Outside, input: Vec::new(), unsent: Vec::new(), dirty: false }
    }

    /// How much could be read; the end of the stream is an error.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.socket.read(into) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            read => read,
        }
    }

    /// The first thing in `bytes` and how many of them it takes.
    pub(crate) fn hear<'a>(&mut self, bytes: &'a mut [u8]) -> Option<(Heard<'a>, usize)> {
        if let Place::Outside = self.place {
            return match handshake::parse(bytes) {
                Request::Partial => None,
                Request::Refused => Some((Heard::End, bytes.len())),
                Request::Accepted { place, length, answer } => {
                    self.place = place;
                    let written = self.write(answer.as_bytes());
                    Some((if written.is_ok() { Heard::Joined } else { Heard::End }, length))
                }
            };
        }
        let (opcode, payload, length) = frame::parse(bytes)?;
        let heard = match opcode {
            frame::TEXT => Heard::Text(payload),
            frame::PING => Heard::Answer(frame::pong(payload)),
            frame::CLOSE => {
                let _ = self.write(&frame::close(payload));
                Heard::End
            }
            _ => Heard::Answer(Vec::new()),
        };
        Some((heard, length))
    }

    /// Writes at once what the socket takes of it, unless something else waits.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.unsent.is_empty() { write(&mut self.socket, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let written = write(&mut self.socket, &self.unsent)?;
        self.unsent.drain(..written);
        Ok(())
    }
}

fn write(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
