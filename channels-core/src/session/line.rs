//! A session's inputs: what the client sends and what the layer delivers, one at a time.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::http::StatusCode;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    panic::Panic,
    port::{Cut, Port},
    roster::Entry,
    state::Phase,
    stats::{Hook, Timer},
};
use crate::{Close, Deny, Message, after::after, event::Envelope, frame::Incoming, transport::Transport};

/// A client that broke a rule is read from for this long at most, so that the close frame which tells it so is not lost
/// to a reset of the connection.
const LINGER_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Bytes that a client may keep its thread busy with before the others have their turn. Each thing that it sends counts as so many
/// more than it has.
const TURN: usize = 64 * 1024;
const EACH: usize = 512;

/// What a session handles next.
pub(super) enum Input {
    Message(Message),
    Event(Arc<Envelope>),
    End,
}

/// How a hook came to its end.
pub(super) enum Ran<T> {
    Done(T),
    Panicked(Panic),
    /// Cancelled: the connection ended and the hook did not.
    Cut,
}

pub(crate) struct Line {
    transport: Box<dyn Transport>,
    port: Rc<Port>,
    /// The one input that is read while it cannot be handled. It lets pings, and the end, be seen before the next one.
    ahead: Option<Input>,
    /// Bytes that were read in this turn.
    spent: usize,
    event_next: bool,
    failed: bool,
    _listed: Option<Entry>,
}

impl Line {
    pub(crate) fn new(transport: Box<dyn Transport>, port: Rc<Port>) -> Self {
        Self { transport, port, ahead: None, spent: 0, event_next: false, failed: false, _listed: None }
    }

    /// The same, on the roster of its thread for as long as it lives.
    pub(crate) fn listed(mut self, entry: Entry) -> Self {
        self._listed = Some(entry);
        self
    }

    /// The next input. Messages and events take turns when both wait.
    pub(super) fn next(&mut self) -> impl Future<Output = Input> {
        poll_fn(|task| self.poll_input(task))
    }

    fn poll_input(&mut self, task: &mut Context<'_>) -> Poll<Input> {
        self.port.register_session(task.waker());
        if self.port.is_ending() {
            return Poll::Ready(Input::End);
        }
        self.event_next = !self.event_next;
        if self.event_next
            && let Some(event) = self.port.take_event()
        {
            return Poll::Ready(Input::Event(event));
        }
        if let Poll::Ready(input) = self.poll_transport(task) {
            if let Input::Message(_) = input {
                self.transport.given();
            }
            return Poll::Ready(input);
        }
        if self.port.is_ending() {
            return Poll::Ready(Input::End);
        }
        if let Some(event) = self.port.take_event() {
            return Poll::Ready(Input::Event(event));
        }
        self.spent = 0;
        Poll::Pending
    }

    /// Lets the others of the thread have their turn when this client has had it.
    pub(super) fn pause(&mut self) -> impl Future<Output = ()> {
        poll_fn(|task| {
            if self.spent < TURN {
                return Poll::Ready(());
            }
            self.spent = 0;
            task.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// What the transport brings next, unless it has to wait for what the client does not take.
    fn poll_transport(&mut self, task: &mut Context<'_>) -> Poll<Input> {
        if !self.port.takes_input() {
            self.read_ahead(task);
            return Poll::Pending;
        }
        if let Some(input) = self.ahead.take() {
            return Poll::Ready(input);
        }
        self.port.set_reading(true);
        self.poll_read(task)
    }

    /// Reads one input that is handled later, so that the control frames before it are dealt with now.
    fn read_ahead(&mut self, task: &mut Context<'_>) {
        if self.ahead.is_none()
            && self.transport.reads_ahead()
            && let Poll::Ready(input) = self.poll_read(task)
        {
            self.ahead = Some(input);
        }
        self.port.set_reading(self.ahead.is_none());
    }

    /// Reads the next input; control frames are dealt with on the way.
    fn poll_read(&mut self, task: &mut Context<'_>) -> Poll<Input> {
        while self.port.phase() != Phase::Closed {
            if self.spent >= TURN {
                task.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(incoming) = self.transport.poll_incoming(task) else { break };
            self.spent += incoming.len() + EACH;
            self.port.heard();
            match incoming {
                Incoming::Message(message) if self.port.phase() != Phase::Closing => {
                    return Poll::Ready(Input::Message(message));
                }
                Incoming::Event(event) => return Poll::Ready(Input::Event(event)),
                Incoming::Message(_) | Incoming::Pong => {}
                Incoming::Ping(payload) => self.port.pong(payload),
                Incoming::Close(close) => self.port.peer_closed(close),
                Incoming::Failed(close) => {
                    self.failed = true;
                    self.port.close(close);
                }
                Incoming::Gone if self.port.phase() == Phase::Closing => self.port.peer_closed(None),
                Incoming::Gone => self.port.gone("the connection was lost"),
            }
        }
        Poll::Pending
    }

    /// Runs a hook, and meanwhile reads at most one message ahead. When the connection ends the hook may go on for the
    /// configured time and is cancelled then.
    pub(super) fn run<T>(
        &mut self,
        kind: Hook,
        mut hook: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Ran<T>> {
        let timer = Timer::start();
        let mut grace = None;
        poll_fn(move |task| {
            let ran = match self.poll_hook(hook.as_mut(), task) {
                Poll::Ready(done) => done,
                Poll::Pending => ready!(self.poll_cut(&mut grace, task)),
            };
            self.port.stats.took(kind, &timer);
            Poll::Ready(ran)
        })
    }

    /// Cancels the hook that runs when the connection has ended, at once or when its time is over.
    fn poll_cut<T>(&self, grace: &mut Option<Pin<Box<Sleep>>>, task: &mut Context<'_>) -> Poll<Ran<T>> {
        let Some(ending) = self.port.ending() else { return Poll::Pending };
        if ending.cut.get() != Cut::Now {
            let deadline = after(ending.at, self.port.config.hook_grace);
            ready!(grace.get_or_insert_with(|| Box::pin(sleep_until(deadline))).as_mut().poll(task));
        }
        Poll::Ready(Ran::Cut)
    }

    /// Runs the last hook: the connection has ended, only the hook's own time bounds it.
    pub(super) async fn run_last<T>(&mut self, mut hook: Pin<&mut impl Future<Output = T>>, bound: Duration) -> Ran<T> {
        let timer = Timer::start();
        let mut bound = pin!(sleep_until(after(Instant::now(), bound)));
        let ran = poll_fn(|task| match self.poll_hook(hook.as_mut(), task) {
            Poll::Pending => bound.as_mut().poll(task).map(|()| Ran::Cut),
            done => done,
        });
        let ran = ran.await;
        self.port.stats.took(Hook::Disconnect, &timer);
        ran
    }

    fn poll_hook<T>(&mut self, hook: Pin<&mut impl Future<Output = T>>, task: &mut Context<'_>) -> Poll<Ran<T>> {
        self.port.register_session(task.waker());
        match Panic::catch(|| hook.poll(task)) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ran::Done(done)),
            Err(panic) => Poll::Ready(Ran::Panicked(panic)),
            Ok(Poll::Pending) => {
                self.read_ahead(task);
                self.spent = 0;
                Poll::Pending
            }
        }
    }

    /// Answers the handshake if it never was, sends the close frame if it is not sent, waits for the client's, and ends
    /// the response.
    pub(super) async fn hang_up(&mut self, close: Close) {
        self.port.refuse(Deny::new(StatusCode::SERVICE_UNAVAILABLE));
        self.port.close(close);
        let timeout = self.port.config.close_timeout;
        if self.failed && !self.port.is_blocked() {
            self.until_closed(LINGER_AFTER_FAILURE).await;
        } else if self.until_closed(timeout).await && self.port.phase() == Phase::Closing && self.port.shut_down() {
            // What it sends to a closed socket is answered with a reset, which takes with it what it has not read.
            self.until_closed(timeout).await;
        }
        self.port.finish();
    }

    /// Reads what comes, and drops it, until the client has closed, but no longer than this. Whether anything came.
    async fn until_closed(&mut self, patience: Duration) -> bool {
        let mut talks = false;
        let closed = poll_fn(|task| {
            self.port.register_session(task.waker());
            self.ahead = None;
            self.spent = 0;
            let _ = self.poll_read(task);
            talks |= self.spent > 0;
            if self.port.phase() == Phase::Closed { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = tokio::time::timeout(patience, closed).await;
        self.spent = 0;
        talks
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, task::Waker};

    use super::*;
    use crate::{Config, session::nobody};

    /// A client that always has sent more.
    struct Flood(fn() -> Incoming);

    impl Transport for Flood {
        fn poll_incoming(&mut self, _: &mut Context<'_>) -> Poll<Incoming> {
            Poll::Ready((self.0)())
        }
    }

    fn line(incoming: fn() -> Incoming) -> Line {
        Line::new(Box::new(Flood(incoming)), nobody::open_port(Config::default(), nobody::class()))
    }

    #[test]
    fn a_client_that_sends_without_end_lets_the_others_have_their_turn() {
        let task = &mut Context::from_waker(Waker::noop());
        let mut line = line(|| Incoming::Message(Message::from("x".repeat(1024))));
        let handled = Cell::new(0);
        let mut serve = pin!(async {
            loop {
                line.next().await;
                handled.update(|handled| handled + 1);
                line.pause().await;
            }
        });
        for turn in 1..=3 {
            assert!(serve.as_mut().poll(task).is_pending());
            assert_eq!(handled.get(), turn * TURN.div_ceil(1024 + EACH));
        }
    }

    #[test]
    fn so_does_one_that_only_pings() {
        let task = &mut Context::from_waker(Waker::noop());
        let mut line = line(|| Incoming::Ping(Default::default()));
        for _ in 0..3 {
            assert!(pin!(line.next()).poll(task).is_pending());
        }
    }
}
