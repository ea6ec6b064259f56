//! A socket that a session reads and writes by itself.

#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::{Port, flusher::Flusher, outbox::Outbox};
use crate::{
    server::Socket,
    transport::{
        poll_socket,
        websocket::{Encoder, frames_in},
    },
};

/// Frames and bytes that one write takes up, at most but for the last frame.
const FRAMES: usize = 64;
const WRITE: usize = 64 * 1024;
/// Of what is taken so much does not count against what may wait: one write, and as much in its last frame.
const ABOUT_TO_GO: usize = 2 * WRITE;
/// Messages of at most so many bytes are copied together, up to so many bytes: cheaper than a buffer and a slice each.
const SMALL: usize = 2 * 1024;
const BLOCK: usize = 16 * 1024;

thread_local! {
    /// Where small frames are put together, and written from.
    static TOGETHER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(BLOCK + SMALL + 16));
}

/// The socket of a connection, and what is about to be written to it.
#[repr(C)]
pub(crate) struct Wire {
    flusher: Flusher,
    /// Whether it is on the flusher's list.
    listed: Cell<bool>,
    blocked: Cell<bool>,
    /// Whether the client took something since somebody asked.
    moved: Cell<bool>,
    /// The system has given up a client that takes no bytes.
    timed_out: Cell<bool>,
    stream: RefCell<Option<Socket>>,
    sending: RefCell<Sending>,
    waker: RefCell<Waker>,
}

struct Sending {
    encoder: Encoder,
    /// Frames that were taken from the outbox, each by itself or several together; first of all what is begun.
    frames: VecDeque<Bytes>,
    begun: Begun,
}

/// What nothing may go before, because the client has some of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begun {
    Nothing,
    Message,
    /// The answer to the handshake, or a control frame.
    Other,
}

/// How far a flush came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flushed {
    /// All is written.
    All,
    /// The client does not take more now.
    Blocked,
    /// All is written, and nothing will follow.
    Finished,
    /// The connection is gone.
    Lost,
}

impl Wire {
    /// `head`, the answer to the handshake, is written before the first frame.
    pub(crate) fn new(stream: Socket, head: Bytes, encoder: Encoder, flusher: Flusher) -> Self {
        Self {
            flusher,
            listed: Cell::new(false),
            blocked: Cell::new(false),
            moved: Cell::new(false),
            timed_out: Cell::new(false),
            stream: RefCell::new(Some(stream)),
            sending: RefCell::new(Sending { encoder, frames: VecDeque::from([head]), begun: Begun::Other }),
            waker: RefCell::new(Waker::noop().clone()),
        }
    }

    /// Appends what has arrived to `buffer`, and says how many bytes that is; 0 at the end.
    pub(super) fn poll_read(&self, task: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<usize> {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Ready(0) };
        poll_socket(stream, task, buffer).map(|read| {
            read.unwrap_or_else(|error| {
                self.lose(&error);
                0
            })
        })
    }

    /// Writes what waits, as far as the client takes it; `progress` is called when it took something. The session's task
    /// is woken when it takes more.
    pub(super) fn flush(&self, outbox: &mut Outbox, progress: impl Fn()) -> Flushed {
        let flushed = self.write(outbox, || {
            self.moved.set(true);
            progress();
        });
        self.blocked.set(flushed == Flushed::Blocked);
        outbox.lend(self.bytes().saturating_sub(ABOUT_TO_GO));
        flushed
    }

    fn write(&self, outbox: &mut Outbox, progress: impl Fn()) -> Flushed {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Flushed::Lost };
        let waker = self.waker.borrow();
        let mut sending = self.sending.borrow_mut();
        loop {
            let task = &mut Context::from_waker(&waker);
            let written = if sending.frames.is_empty() && outbox.next_is_within(SMALL) {
                TOGETHER.with_borrow_mut(|block| sending.poll_write_together(stream, task, outbox, block))
            } else {
                sending.take_from(outbox);
                if sending.frames.is_empty() {
                    // TLS holds what the client did not take; the other kinds hold nothing.
                    return match Pin::new(stream).poll_flush(task) {
                        Poll::Pending => Flushed::Blocked,
                        Poll::Ready(Ok(())) if outbox.is_finished() => Flushed::Finished,
                        Poll::Ready(Ok(())) => Flushed::All,
                        Poll::Ready(Err(error)) => self.lose(&error),
                    };
                }
                sending.poll_write(stream, task)
            };
            match written {
                Poll::Pending => return Flushed::Blocked,
                Poll::Ready(Ok(written)) if written > 0 => progress(),
                Poll::Ready(Ok(_)) => return Flushed::Lost,
                Poll::Ready(Err(error)) => return self.lose(&error),
            }
        }
    }

    fn lose(&self, error: &io::Error) -> Flushed {
        self.timed_out.set(error.kind() == io::ErrorKind::TimedOut);
        Flushed::Lost
    }

    /// Whether the connection was lost because its client took no bytes for too long.
    pub(super) fn has_timed_out(&self) -> bool {
        self.timed_out.get()
    }

    /// The session runs as this task.
    pub(super) fn set_task(&self, task: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.will_wake(task.waker()) {
            waker.clone_from(task.waker());
        }
    }

    /// Sees to it that the connection is written to in this turn of its thread.
    pub(super) fn list(&self, port: &Rc<Port>) {
        if !self.listed.replace(true) {
            self.flusher.add(port.clone());
        }
    }

    /// An event was delivered: others may come with it.
    pub(super) fn expect_more(&self) {
        self.flusher.count();
    }

    pub(super) fn unlist(&self) {
        self.listed.set(false);
    }

    /// Whether the client took less than there was, when it was last written to.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Whether the client took something since this was asked.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.take()
    }

    /// Bytes that were taken from the outbox and are not written.
    pub(super) fn bytes(&self) -> usize {
        self.sending.borrow().frames.iter().map(Bytes::len).sum()
    }

    /// Ends this side's half of the connection.
    pub(super) fn shut_down(&self) {
        if let Some(stream) = &mut *self.stream.borrow_mut() {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Ends this side's half of the connection, and then the connection.
    pub(super) fn hang_up(&self) {
        self.shut_down();
        self.stream.take();
    }

    /// Messages that were taken from the outbox and are not written, or not all of them is.
    pub(super) fn messages(&self) -> usize {
        self.sending.borrow().messages()
    }

    /// Drops the connection and what was to be written to it, and says how many messages that were.
    pub(super) fn abandon(&self) -> usize {
        self.stream.take();
        self.blocked.set(false);
        let mut sending = self.sending.borrow_mut();
        let lost = sending.messages();
        sending.frames.clear();
        sending.begun = Begun::Nothing;
        lost
    }
}

impl Sending {
    /// Takes frames up to what one write may carry. Control frames pass those that are not begun.
    fn take_from(&mut self, outbox: &mut Outbox) {
        while let Some(control) = outbox.pop_control() {
            let frame = self.encoder.encode(&control);
            self.frames.insert(usize::from(self.begun != Begun::Nothing), frame);
        }
        let mut bytes: usize = self.frames.iter().map(Bytes::len).sum();
        while self.frames.len() < FRAMES
            && bytes < WRITE
            && let Some(first) = outbox.pop()
        {
            let frame = self.encoder.encode(&first);
            bytes += frame.len();
            self.frames.push_back(frame);
        }
    }

    /// Writes the small frames that are next as one block; what the client does not take of it is kept.
    fn poll_write_together(
        &mut self,
        stream: &mut Socket,
        task: &mut Context<'_>,
        outbox: &mut Outbox,
        block: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        block.clear();
        while let Some(control) = outbox.pop_control() {
            self.encoder.append(&control, block);
        }
        outbox.take_within(SMALL, |next| {
            self.encoder.append(next, block);
            block.len() < BLOCK
        });
        let written = Pin::new(stream).poll_write(task, block);
        let taken = if let Poll::Ready(Ok(taken)) = written { taken } else { 0 };
        if taken < block.len() {
            self.frames.push_back(Bytes::copy_from_slice(block));
            self.advance(taken);
        }
        written
    }

    /// Writes the frames that were taken.
    fn poll_write(&mut self, stream: &mut Socket, task: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); FRAMES];
        let mut taken = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
            taken += 1;
        }
        let written = Pin::new(stream).poll_write_vectored(task, &slices[..taken]);
        if let Poll::Ready(Ok(written)) = written {
            self.advance(written);
        }
        written
    }

    /// So many bytes are written. Of frames that were put together, the one that is begun is by itself from now on: control
    /// frames pass the others.
    fn advance(&mut self, mut written: usize) {
        while let Some(frames) = self.frames.front_mut() {
            if written >= frames.len() {
                written -= frames.len();
                self.frames.pop_front();
                self.begun = Begun::Nothing;
                continue;
            }
            if self.begun != Begun::Nothing || written == 0 {
                return frames.advance(written);
            }
            let mut next = 0;
            let mut ends = frames_in(frames).map(|(length, is_message)| {
                next += length;
                (next, is_message, length)
            });
            let (end, is_message, length) =
                ends.find(|(end, ..)| *end > written).expect("less is written than there is");
            drop(ends);
            if end - length == written {
                return frames.advance(written);
            }
            self.begun = if is_message { Begun::Message } else { Begun::Other };
            let rest = frames.split_to(end).split_off(written);
            if frames.is_empty() {
                self.frames.pop_front();
            }
            return self.frames.push_front(rest);
        }
    }

    fn messages(&self) -> usize {
        let whole = self.frames.iter().skip(usize::from(self.begun != Begun::Nothing));
        let whole = whole.flat_map(|frames| frames_in(frames)).filter(|(_, is_message)| *is_message).count();
        whole + usize::from(self.begun == Begun::Message)
    }
}
