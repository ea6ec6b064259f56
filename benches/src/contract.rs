//! What the servers do with a message: how it is put, and where it is found in what they answer.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use memchr::memmem;
use serde_json::{Value, json};

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
    /// The `echo` example: a text comes back, perhaps with `哈哈` behind it; bytes come back as they are.
    Echo,
}

impl Contract {
    /// The path of a server that does not say otherwise.
    pub(crate) fn usual_path(self) -> &'static str {
        match self {
            Self::Chatroom => "/ws/{room}/?name={member}",
            Self::Room => "/ws/{room}/",
            Self::Echo => "/ws/",
        }
    }

    /// Whether it has rooms.
    pub(crate) fn has_rooms(self) -> bool {
        self != Self::Echo
    }
}

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
        match self.contract {
            Contract::Room | Contract::Echo => payload,
            Contract::Chatroom => {
                self.message.clear();
                self.message.extend_from_slice(br#"{"text":""#);
                self.message.extend_from_slice(payload);
                self.message.extend_from_slice(br#""}"#);
                &self.message
            }
        }
    }

    /// The stamp in a server's message, or `None` if the message is none of ours and the contract allows for that.
    pub(crate) fn find(&self, message: &[u8]) -> Result<Option<Stamp>> {
        let start = match self.contract {
            Contract::Chatroom => match self.finder.find(message) {
                Some(start) => start,
                None => return Ok(None),
            },
            Contract::Room | Contract::Echo => 0,
        };
        let end = message.len().min(start + self.size());
        let (payload, rest) = (&message[start..end], &message[end..]);
        let stamp = self.payloads.read(payload).with_context(|| format!("not what was sent: {}", shown(message)))?;
        let whole = match self.contract {
            Contract::Chatroom => rest.first() == Some(&b'"'),
            Contract::Room => rest.is_empty(),
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
