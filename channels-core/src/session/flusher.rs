//! Writes what waits for the connections of a thread, once for each however much has come together.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use tokio::task::yield_now;

use super::Port;

/// For how long the thread takes in what comes before it writes, as long as more comes: what comes together leaves together.
const GATHERING: Duration = Duration::from_millis(1);

/// The connections of a thread for which something was sent since they were last written to.
///
/// Sending to a member of a group costs a place in this list instead of a wake of its task. The flusher is a task of the
/// thread, queued behind those that are ready when the first connection comes on its list; what they send leaves with it.
#[derive(Clone, Default)]
pub(crate) struct Flusher(Rc<List>);

#[derive(Default)]
struct List {
    ports: RefCell<Vec<Rc<Port>>>,
    /// The room of a list that was written, for the next one.
    spare: RefCell<Vec<Rc<Port>>>,
    /// Events that were delivered so far.
    events: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Flusher {
    /// Starts the task of this thread. It ends with the last clone of what is returned.
    pub(crate) fn start() -> Self {
        let flusher = Self::default();
        let list = Rc::downgrade(&flusher.0);
        // A walk over a crowd is one turn: its writes must not run out of the budget of a task.
        actix_rt::spawn(tokio::task::unconstrained(flush_when_woken(list)));
        flusher
    }

    /// Counts an event that was delivered to a connection: there may be more for it.
    pub(super) fn count(&self) {
        self.0.events.update(|events| events.wrapping_add(1));
    }

    pub(super) fn add(&self, port: Rc<Port>) {
        self.0.ports.borrow_mut().push(port);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }

    /// Gives back the room that so many connections have no use for.
    pub(super) fn trim(&self, connections: usize) {
        for ports in [&self.0.ports, &self.0.spare] {
            ports.borrow_mut().shrink_to(connections);
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

async fn flush_when_woken(list: Weak<List>) {
    let mut seen = 0;
    while let Some(events) = some_listed(&list).await {
        let began = (events != seen).then(Instant::now);
        seen = events;
        while began.is_some_and(|began| began.elapsed() < GATHERING) {
            // Goes on when the thread has looked for input again, which costs one `epoll_wait` that does not wait, and those
            // are served that have some.
            yield_now().await;
            match list.upgrade().map(|list| list.events.get()) {
                Some(more) if more != seen => seen = more,
                _ => break,
            }
        }
        let Some(list) = list.upgrade() else { return };
        let mut turn = list.ports.replace(list.spare.take());
        for port in turn.drain(..) {
            port.flush_listed();
        }
        list.spare.replace(turn);
    }
}

/// Waits until there are connections on the list, and tells how many events were delivered; `None` when the list is gone.
async fn some_listed(list: &Weak<List>) -> Option<u64> {
    poll_fn(|task| {
        let Some(list) = list.upgrade() else { return Poll::Ready(None) };
        list.waker.replace(Some(task.waker().clone()));
        let listed = !list.ports.borrow().is_empty();
        if listed { Poll::Ready(Some(list.events.get())) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_has_left_leaves_no_room_behind() {
        let flusher = Flusher::default();
        flusher.0.ports.borrow_mut().reserve(10_000);
        flusher.0.spare.borrow_mut().reserve(10_000);
        let room = || flusher.0.ports.borrow().capacity() + flusher.0.spare.borrow().capacity();
        flusher.trim(10_000);
        assert!(room() >= 20_000, "there is use for it: {}", room());
        flusher.trim(3);
        assert!(room() < 20, "{}", room());
    }
}
