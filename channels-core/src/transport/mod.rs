//! What a session asks of any connection.

pub(crate) mod batch;
pub(crate) mod channel;
pub(crate) mod event_stream;
pub(crate) mod framed;
pub(crate) mod http;
pub(crate) mod websocket;

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::dev::Payload;
use bytes::BytesMut;
use futures_util::Stream as _;
use tokio::io::{AsyncRead, ReadBuf};

use crate::frame::Incoming;

/// Bytes that one read takes at most.
const READ: usize = 64 * 1024;

thread_local! {
    /// Where reads of all connections of the thread land first, so that an idle one holds no buffer.
    static LANDING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// The incoming half of a connection. The outgoing half is the session's outbox, which whoever writes to the client
/// empties.
pub(crate) trait Transport {
    /// The next thing the client did. After [`Incoming::Failed`] it only reports a [`Incoming::Gone`], and reports that
    /// for ever.
    fn poll_incoming(&mut self, task: &mut Context<'_>) -> Poll<Incoming>;

    /// The consumer is given the message that was read last.
    fn given(&mut self) {}

    /// Whether it may be read while a hook runs. What is read then is lost if the hook fails.
    fn reads_ahead(&self) -> bool {
        true
    }
}

/// Where the bytes of a client come from.
pub(crate) trait Inflow {
    /// Appends what has arrived to `buffer`, and says how many bytes that is; 0 at the end, whatever it is.
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize>;
}

/// Reads the bytes of a client from the body of its request.
impl Inflow for Payload {
    fn poll_read(&mut self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        loop {
            match ready!(Pin::new(&mut *self).poll_next(task)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    buffer.extend_from_slice(&bytes);
                    return Poll::Ready(bytes.len());
                }
                Some(Err(_)) | None => return Poll::Ready(0),
            }
        }
    }
}

/// Reads the bytes of a client from its socket, as [`Inflow::poll_read`] does, but for the error.
pub(crate) fn poll_socket(
    socket: &mut (impl AsyncRead + Unpin),
    task: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    LANDING.with_borrow_mut(|landing| {
        let mut landed = ReadBuf::new(landing);
        let read = ready!(Pin::new(socket).poll_read(task, &mut landed));
        buffer.extend_from_slice(landed.filled());
        Poll::Ready(read.map(|()| landed.filled().len()))
    })
}
