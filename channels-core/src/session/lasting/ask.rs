//! What requests ask of a session, and what it answers: as data, since it may be another process's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Event,
    transport::batch::{End, Said},
};

/// A request for a session, and who makes it.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Ask {
    /// Which of its thread's sessions.
    pub(super) key: u64,
    pub(super) secret: String,
    pub(super) asker: Asker,
    /// Tells the carrier that asks from the others that the session had.
    pub(super) carrier: u64,
    pub(super) wish: Wish,
}

/// Where a session was made and by whom: a request from elsewhere, or of somebody else, does not reach it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct Asker {
    pub(crate) path: String,
    pub(crate) owner: Option<String>,
}

#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) enum Wish {
    /// The messages behind `after`, when there are some, or after a while none.
    Take {
        /// Whether the carrier is a new one, which takes over from the one there is.
        begins: bool,
        after: u64,
        ack: u64,
        wait: Duration,
    },
    /// Messages for the consumer, the first of which has the number `from`.
    Push { from: u64, messages: Vec<Said>, ack: u64, wait: Duration },
    /// The client closes.
    Close(End),
    /// It does so by its carrier, which may be over: then it did not mean the session.
    CloseCarrier(End),
    /// By its carrier the client broke a rule.
    Fail(End),
    /// The carrier is gone.
    Leave,
}

/// What becomes of a request.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) enum Reply {
    Given(Given),
    /// All messages up to this one are the consumer's.
    Taken(u64),
    Done,
    /// Another carrier has taken over.
    TakenOver,
    /// The request makes no sense.
    Bad(String),
    /// The session is not there, or not this client's, or does not keep what is asked for.
    Gone,
    /// A message is larger than the limit in bytes; the session ends.
    TooBig(usize),
    /// It is longer than the layer carries between processes, in bytes; the session goes on.
    TooLong(usize),
    /// The session's process could not be asked.
    Unreachable,
    /// This server stops, and the session is another one's.
    Stopping,
}

/// Messages for the client.
#[derive(Clone, Serialize, Deserialize, Default, Debug)]
pub(crate) struct Given {
    /// The number of the first.
    pub(crate) from: u64,
    pub(crate) messages: Vec<Said>,
    pub(crate) close: Option<End>,
    /// How many of the client's messages the consumer has.
    pub(crate) taken: u64,
    pub(crate) subprotocol: Option<String>,
}

impl Given {
    /// Less at once: the rest is asked for again.
    pub(super) fn first_half(mut self) -> Self {
        self.messages.truncate(self.messages.len() / 2);
        self.close = None;
        self
    }
}

/// A request on its way to another process.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Asked {
    pub(super) reply_to: Option<String>,
    pub(super) question: Question,
}

/// What a process is asked.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(super) enum Question {
    /// Whether it is there.
    Home,
    /// Whether it has this session: all that is asked of it on the word of a client alone.
    Session {
        key: u64,
        secret: String,
    },
    Wish(Ask),
}

impl Event for Asked {
    const NAME: &'static str = "channels.ask";
}

/// The answer on its way back.
#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Replied {
    pub(super) reply: Reply,
}

impl Event for Replied {
    const NAME: &'static str = "channels.reply";
}
