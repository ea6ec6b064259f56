//! What the servers do with a message: how it is put, and where it is found in what they answer.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use memchr::memmem;
use serde_json::{Value, json};

use crate::client::Manners;
use crate::frame;
use crate::payload::{PREFIX, Payloads, Stamp};

/// What an application does with a text that a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contract {
    /// The `chatroom` example: `{"text":…}` in, `{"type":"message","text":…,…}` to every member of the room, and other
    /// types of messages at any time.
    Chatroom,
    /// Text in, the same text to every member of the room, the sender among them. Nothing else.
    Room,
    /// As [`Room`](Self::Room), in the framing of Socket.IO: `42["message","…"]` both ways.
    SocketIo,
    /// The `echo` example: a text comes back, perhaps with `哈哈` behind it; bytes come back as they are.
    Echo,
}

impl Contract {
    /// The path of a server that does not say otherwise.
    pub(crate) fn usual_path(self) -> &'static str {
        match self {
            Self::Chatroom => "/ws/{room}/?name={member}",
            Self::Room => "/ws/{room}/",
            Self::SocketIo => "/socket.io/?EIO=4&transport=websocket&room={room}",
            Self::Echo => "/ws/",
        }
    }

    /// The path where a message comes straight back, of a server that does not say otherwise.
    pub(crate) fn usual_echo(self) -> Option<&'static str> {
        match self {
            Self::Chatroom => None,
            Self::Room => Some("/echo/"),
            Self::SocketIo => Some("/socket.io/?EIO=4&transport=websocket"),
            Self::Echo => Some("/ws/"),
        }
    }

    /// Whether it has rooms.
    pub(crate) fn has_rooms(self) -> bool {
        self != Self::Echo
    }

    /// What its protocol asks of a connection besides messages.
    pub(crate) fn manners(self) -> Option<&'static Manners> {
        // Engine.IO 4 and Socket.IO 5: a connection joins the main namespace, and answers the server's pings.
        static SOCKET_IO: Manners = Manners { hello: b"40", ping: b"2", pong: b"3" };
        (self == Self::SocketIo).then_some(&SOCKET_IO)
    }
}

/// What an event of Socket.IO begins with, if its name is `message` and its first argument a string.
const SAID: &[u8] = br#"42["message",""#;

/// Puts and finds payloads as one contract wants them.
pub(crate) struct Wire {
    contract: Contract,
    payloads: Payloads,
    finder: memmem::Finder<'static>,
    message: Vec<u8>,
}

impl Wire {
    /// For payloads of `size` bytes.
    pub(crate) fn new(contract: Contract, size: usize) -> Self {
        Self { contract, payloads: Payloads::new(size), finder: memmem::Finder::new(PREFIX), message: Vec::new() }
    }

    /// The size of each payload.
    pub(crate) fn size(&self) -> usize {
        self.payloads.size()
    }

    /// The message that carries `stamp`; a text, unless `binary` is wanted of it.
    pub(crate) fn put(&mut self, stamp: Stamp) -> &[u8] {
        let payload = self.payloads.write(stamp);
        let (before, after): (&[u8], &[u8]) = match self.contract {
            Contract::Room | Contract::Echo => return payload,
            Contract::Chatroom => (br#"{"text":""#, br#""}"#),
            Contract::SocketIo => (SAID, br#""]"#),
        };
        self.message.clear();
        self.message.extend_from_slice(before);
        self.message.extend_from_slice(payload);
        self.message.extend_from_slice(after);
        &self.message
    }

    /// The stamp in a server's message, or `None` if the message is none of ours and the contract allows for that.
    pub(crate) fn find(&self, message: &[u8]) -> Result<Option<Stamp>> {
        let start = match self.contract {
            Contract::Chatroom => match self.finder.find(message) {
                Some(start) => start,
                None => return Ok(None),
            },
            // Packets of other types are about the connection.
            Contract::SocketIo if !message.starts_with(SAID) => return Ok(None),
            Contract::SocketIo => SAID.len(),
            Contract::Room | Contract::Echo => 0,
        };
        let end = message.len().min(start + self.size());
        let (payload, rest) = (&message[start..end], &message[end..]);
        let stamp = self.payloads.read(payload).with_context(|| format!("not what was sent: {}", shown(message)))?;
        let whole = match self.contract {
            Contract::Chatroom => rest.first() == Some(&b'"'),
            Contract::Room => rest.is_empty(),
            Contract::SocketIo => rest == br#""]"#,
            Contract::Echo => rest.is_empty() || rest == "哈哈".as_bytes(),
        };
        ensure!(whole, "more than what was sent: {}", shown(message));
        Ok(Some(stamp))
    }

    /// Looks closely at a message that [`find`](Self::find) has found a stamp in; too dear for each of them.
    pub(crate) fn verify(&mut self, message: &[u8], stamp: Stamp) -> Result<()> {
        if self.contract != Contract::Chatroom {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(message).context("a chatroom's message is not JSON")?;
        let text = std::str::from_utf8(self.payloads.write(stamp))?;
        let kept = value["type"] == "message" && value["text"] == json!(text);
        if !(kept && value["from"].is_object() && value.get("at").is_some()) {
            bail!(r#"not {{"type":"message","from":{{…}},"text":…,"at":…}}: {}"#, shown(message));
        }
        Ok(())
    }
}

/// The kind of frame for payloads.
pub(crate) fn opcode(binary: bool) -> u8 {
    if binary { frame::BINARY } else { frame::TEXT }
}

fn shown(message: &[u8]) -> String {
    const LONGEST: usize = 240;
    let text = String::from_utf8_lossy(&message[..message.len().min(LONGEST)]).into_owned();
    if message.len() > LONGEST { format!("{text}… ({} bytes)", message.len()) } else { text }
}
