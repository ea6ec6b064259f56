//! The states of a connection: a table, tested without a socket.

use crate::consumer::WriteError;

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The handshake is not answered: nothing can be sent.
    Connecting,
    /// Messages flow.
    Open,
    /// This side sent its close frame and waits for the other's.
    Closing,
    /// Nothing will be sent any more.
    Closed,
}

/// What happens to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The consumer accepts the handshake.
    Accept,
    /// The consumer sends a message.
    Send,
    /// The consumer, or the framework, closes.
    Close,
    /// The client's close frame arrives.
    PeerClosed,
    /// The connection is gone.
    Gone,
}

impl Phase {
    /// The phase after `step`.
    pub(crate) fn after(self, step: Step) -> Result<Self, WriteError> {
        match (self, step) {
            (Self::Connecting, Step::Accept) => Ok(Self::Open),
            (Self::Connecting, Step::Send) => Err(WriteError::NotAccepted),
            (Self::Open, Step::Accept) => Err(WriteError::AlreadyAccepted),
            (Self::Open, Step::Send) => Ok(Self::Open),
            (Self::Open, Step::Close) => Ok(Self::Closing),
            (Self::Closing, Step::PeerClosed) | (_, Step::Gone) => Ok(Self::Closed),
            (Self::Connecting | Self::Open, Step::PeerClosed) | (Self::Connecting, Step::Close) => Ok(Self::Closed),
            (Self::Closing | Self::Closed, Step::Close) | (Self::Closed, Step::PeerClosed) => Ok(self),
            (Self::Closing | Self::Closed, Step::Accept | Step::Send) => Err(WriteError::Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase::*, Step::*, *};

    #[test]
    fn the_whole_table() {
        let table = [
            (Connecting, Accept, Ok(Open)),
            (Connecting, Send, Err(WriteError::NotAccepted)),
            (Connecting, Close, Ok(Closed)),
            (Connecting, PeerClosed, Ok(Closed)),
            (Connecting, Gone, Ok(Closed)),
            (Open, Accept, Err(WriteError::AlreadyAccepted)),
            (Open, Send, Ok(Open)),
            (Open, Close, Ok(Closing)),
            (Open, PeerClosed, Ok(Closed)),
            (Open, Gone, Ok(Closed)),
            (Closing, Accept, Err(WriteError::Closed)),
            (Closing, Send, Err(WriteError::Closed)),
            (Closing, Close, Ok(Closing)),
            (Closing, PeerClosed, Ok(Closed)),
            (Closing, Gone, Ok(Closed)),
            (Closed, Accept, Err(WriteError::Closed)),
            (Closed, Send, Err(WriteError::Closed)),
            (Closed, Close, Ok(Closed)),
            (Closed, PeerClosed, Ok(Closed)),
            (Closed, Gone, Ok(Closed)),
        ];
        for (phase, step, after) in table {
            assert_eq!(phase.after(step), after, "{phase:?} {step:?}");
        }
    }
}
