//! Rooms by a bare epoll loop: the floor. One thread, no runtime, no timers, no limits: about what the kernel must do for
//! a delivery, and nothing beside it. Two ways to write:
//!
//! ```text
//! epoll delivery    one write for each delivery, as soon as it is due
//! epoll readiness   one write for each connection that anything is due to, once all that is readable has been read
//! ```

mod connection;
mod frame;
mod handshake;

use std::collections::HashMap;
use std::{env, io, mem};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::connection::{Connection, Heard, Place};

const LISTENER: Token = Token(usize::MAX);
const READ: usize = 64 * 1024;

struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    rooms: HashMap<String, Vec<usize>>,
    /// Connections with something unsent, if writing waits for the end of the turn.
    dirty: Option<Vec<usize>>,
}

impl Server {
    fn turn(&mut self, events: &mut Events, scratch: &mut [u8]) -> io::Result<()> {
        self.poll.poll(events, None)?;
        for event in &*events {
            if event.token() == LISTENER {
                self.accept()?;
                continue;
            }
            let key = event.token().0;
            // It may have left earlier in this turn.
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let mut alive = !event.is_writable() || connection.flush().is_ok();
            if alive && event.is_readable() {
                alive = self.read(key, scratch);
            }
            if !alive {
                self.remove(key);
            }
        }
        let Some(dirty) = &mut self.dirty else { return Ok(()) };
        for key in mem::take(dirty) {
            let written = self.connections.get_mut(key).map(|connection| {
                connection.dirty = false;
                connection.flush()
            });
            if let Some(Err(_)) = written {
                self.remove(key);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let place = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(place.key()), interest)?;
            place.insert(Connection::new(socket));
        }
    }

    /// Reads what there is, and does what it asks for; whether the connection is still of use.
    fn read(&mut self, key: usize, scratch: &mut [u8]) -> bool {
        loop {
            let Ok(read) = self.connections[key].read(scratch) else { return false };
            let (length, full) = (read, read == scratch.len());
            if length == 0 {
                return true;
            }
            let mut input = mem::take(&mut self.connections[key].input);
            // What is left of the last read comes first; mostly nothing is.
            let whole = input.is_empty();
            if !whole {
                input.extend_from_slice(&scratch[..length]);
            }
            let bytes = if whole { &mut scratch[..length] } else { &mut input[..] };
            let mut used = 0;
            while let Some((heard, length)) = self.connections[key].hear(&mut bytes[used..]) {
                used += length;
                match heard {
                    Heard::Joined => self.join(key),
                    Heard::Text(text) => self.say(key, text),
                    Heard::Answer(answer) => self.deliver(key, &answer),
                    Heard::End => return false,
                }
            }
            self.connections[key].input = bytes[used..].to_vec();
            if !full {
                return true;
            }
        }
    }

    fn join(&mut self, key: usize) {
        if let Place::Room(room) = &self.connections[key].place {
            self.rooms.entry(room.clone()).or_default().push(key);
        }
    }

    fn say(&mut self, key: usize, text: &[u8]) {
        let frame = frame::text(text);
        match &self.connections[key].place {
            Place::Room(room) => {
                let Some(members) = self.rooms.get(room) else { return };
                for member in members {
                    deliver(&mut self.connections[*member], *member, &frame, &mut self.dirty);
                }
            }
            Place::Echo => self.deliver(key, &frame),
            Place::Outside => {}
        }
    }

    fn deliver(&mut self, key: usize, bytes: &[u8]) {
        deliver(&mut self.connections[key], key, bytes, &mut self.dirty);
    }

    fn remove(&mut self, key: usize) {
        // Dropping the socket takes it out of the poll.
        let connection = self.connections.remove(key);
        if let Place::Room(room) = connection.place
            && let Some(members) = self.rooms.get_mut(&room)
        {
            members.retain(|member| *member != key);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

/// Writes now, or at the end of the turn. A socket that fails is noticed when it is read.
fn deliver(connection: &mut Connection, key: usize, bytes: &[u8], dirty: &mut Option<Vec<usize>>) {
    match dirty {
        None => {
            let _ = connection.write(bytes);
        }
        Some(dirty) => {
            connection.unsent.extend_from_slice(bytes);
            if !mem::replace(&mut connection.dirty, true) {
                dirty.push(key);
            }
        }
    }
}

fn main() -> io::Result<()> {
    let dirty = match env::args().nth(1).as_deref() {
        Some("delivery") => None,
        Some("readiness") => Some(Vec::new()),
        _ => return Err(io::Error::other("usage: epoll delivery|readiness")),
    };
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("http://{}/", listener.local_addr()?);
    let mut server = Server { poll, listener, connections: Slab::new(), rooms: HashMap::new(), dirty };
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; READ];
    loop {
        server.turn(&mut events, &mut scratch)?;
    }
}
