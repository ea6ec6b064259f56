//! What waits to be written to one client: bounded, control frames first.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
};

use bytes::Bytes;

use crate::{consumer::WriteError, frame::Outgoing};

/// An empty queue leaves its room to the next one that is needed on its thread: room for so many frames at most, of so many
/// queues.
const SPARE_FRAMES: usize = 64;
const SPARES: usize = 1024;

thread_local! {
    static SPARE: RefCell<Vec<VecDeque<Outgoing>>> = const { RefCell::new(Vec::new()) };
}

/// The frames that wait for one client.
///
/// Messages count against a bound of bytes, each with a little more than it has. Of pings and of pongs only the newest
/// waits, so they need no bound (RFC 6455, section 5.5.3, allows to answer only the latest ping).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Outbox {
    frames: VecDeque<Outgoing>,
    bytes: usize,
    /// Bytes that were taken and are not written, besides the few that may be about to be.
    lent: usize,
    limit: usize,
    keyed: Option<Box<Keyed>>,
    finished: bool,
    ping: bool,
    pong: Option<Bytes>,
}

/// Where those messages are that have a key.
#[derive(Default, Debug)]
struct Keyed {
    /// Their places, counted from the first message that waited beside one with a key.
    places: HashMap<String, u64>,
    /// How many were taken from the front since.
    taken: u64,
}

impl Outbox {
    /// An empty one that takes `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            lent: 0,
            limit,
            keyed: None,
            finished: false,
            ping: false,
            pong: None,
        }
    }

    /// Adds a message. One that is larger than the bound is taken only when nothing waits.
    pub(crate) fn push(&mut self, frame: Outgoing) -> Result<(), WriteError> {
        self.offer(frame).map_err(|_| WriteError::Overflow { waiting: self.bytes + self.lent, limit: self.limit })
    }

    /// The same; what is not taken is given back.
    pub(crate) fn offer(&mut self, frame: Outgoing) -> Result<(), Outgoing> {
        let cost = frame.cost();
        if !self.has_room(cost) {
            return Err(frame);
        }
        if self.frames.capacity() == 0 {
            self.frames = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.bytes += cost;
        self.frames.push_back(frame);
        Ok(())
    }

    /// Puts a message into the place of the one that waits and has the same key, or adds it; how many were replaced.
    pub(crate) fn replace_or_push(&mut self, key: String, frame: Outgoing) -> Result<u64, WriteError> {
        if let Some(older) =
            self.keyed.as_ref().and_then(|keyed| keyed.place(&key)).and_then(|at| self.frames.get_mut(at))
        {
            let bytes = self.bytes - older.cost() + frame.cost();
            if bytes > self.limit && frame.len() > older.len() {
                return Err(WriteError::Overflow { waiting: self.bytes, limit: self.limit });
            }
            (self.bytes, *older) = (bytes, frame);
            return Ok(1);
        }
        self.push(frame)?;
        self.keyed.get_or_insert_default().note(key, self.frames.len());
        Ok(0)
    }

    /// Drops the oldest messages until there is room for one of this cost, and says how many it dropped.
    pub(crate) fn make_room(&mut self, cost: usize) -> usize {
        let mut dropped = 0;
        while !self.has_room(cost)
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.cost();
            dropped += 1;
        }
        self.took(dropped);
        dropped
    }

    /// Whether a message of this cost is taken.
    pub(crate) fn has_room(&self, cost: usize) -> bool {
        let waiting = self.bytes + self.lent;
        waiting == 0 || waiting + cost <= self.limit
    }

    /// So many of the bytes that were taken still count.
    pub(crate) fn lend(&mut self, bytes: usize) {
        self.lent = bytes;
    }

    /// What the messages that wait cost.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ping || self.pong.is_some() || !self.frames.is_empty()
    }

    /// Adds a ping, unless one waits already or nothing follows.
    pub(crate) fn ping(&mut self) {
        self.ping |= !self.finished;
    }

    /// Adds the answer to a ping, in place of one that waits, unless nothing follows.
    pub(crate) fn pong(&mut self, payload: Bytes) {
        if !self.finished {
            self.pong = Some(payload);
        }
    }

    /// Adds the close frame, the last one there is, behind the messages that wait.
    pub(crate) fn close(&mut self, close: crate::Close) {
        self.frames.push_back(Outgoing::Close(close));
    }

    /// How many messages wait.
    pub(crate) fn messages(&self) -> usize {
        self.frames.iter().filter(|frame| frame.message().is_some()).count()
    }

    /// Drops the messages that wait, and says how many they were.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = self.messages();
        self.frames.clear();
        self.keyed = None;
        self.bytes = 0;
        dropped
    }

    /// Nothing follows what waits: the response ends behind it.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether nothing follows what waits.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The next control frame but a close frame: those go first.
    pub(crate) fn pop_control(&mut self) -> Option<Outgoing> {
        self.pong.take().map(Outgoing::Pong).or_else(|| std::mem::take(&mut self.ping).then_some(Outgoing::Ping))
    }

    /// Whether there is a next message, or the close frame, and it has at most so many bytes.
    pub(crate) fn next_is_within(&self, bytes: usize) -> bool {
        self.frames.front().is_some_and(|next| next.len() <= bytes)
    }

    /// The next message, or the close frame.
    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        let frame = self.frames.pop_front()?;
        self.bytes -= counted(&frame);
        self.took(1);
        Some(frame)
    }

    /// Takes what [`pop`](Self::pop) would as long as each has at most so many bytes, and `take` wants more.
    pub(crate) fn take_within(&mut self, bytes: usize, mut take: impl FnMut(&Outgoing) -> bool) {
        let mut taken = 0;
        for frame in self.frames.iter().take_while(|frame| frame.len() <= bytes) {
            self.bytes -= counted(frame);
            taken += 1;
            if !take(frame) {
                break;
            }
        }
        self.frames.drain(..taken);
        self.took(taken);
    }

    /// So many were taken from the front.
    fn took(&mut self, frames: usize) {
        if self.frames.is_empty() {
            self.keyed = None;
            leave_room(std::mem::take(&mut self.frames));
        } else if let Some(keyed) = &mut self.keyed {
            keyed.taken += frames as u64;
        }
    }
}

/// What a frame that waits counts against the bound.
fn counted(frame: &Outgoing) -> usize {
    if let Outgoing::Close(_) = frame { 0 } else { frame.cost() }
}

impl Keyed {
    /// Which of those that wait has this key.
    fn place(&self, key: &str) -> Option<usize> {
        usize::try_from(self.places.get(key)?.checked_sub(self.taken)?).ok()
    }

    /// The last of so many that wait has this key.
    fn note(&mut self, key: String, waiting: usize) {
        if self.places.len() > 2 * waiting {
            self.places.retain(|_, at| *at >= self.taken);
        }
        self.places.insert(key, self.taken + waiting as u64 - 1);
    }
}

/// Keeps the room of an empty queue for the next one.
fn leave_room(frames: VecDeque<Outgoing>) {
    if (1..=SPARE_FRAMES).contains(&frames.capacity()) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARES {
                spare.push(frames);
            }
        });
    }
}

/// Gives back what so many connections have no use for.
pub(super) fn trim_spares(connections: usize) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() > connections {
            spare.truncate(connections);
            spare.shrink_to_fit();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Close, Message};

    /// A message of so many times this cost.
    fn message(times: usize) -> Outgoing {
        let frame = |bytes: usize| Outgoing::Message(Message::Binary(vec![0; bytes].into()));
        frame(times * COST - frame(0).cost())
    }

    const COST: usize = 100;

    #[test]
    fn empty_messages_have_a_bound_too() {
        let mut outbox = Outbox::new(1_000);
        let empty = || Outgoing::Message(Message::from(""));
        let count = std::iter::from_fn(|| outbox.push(empty()).ok()).take(1_000).count();
        assert_eq!(count, 1_000 / empty().cost());
        while outbox.pop().is_some() {}
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_message_over_the_bound_is_refused_unless_it_is_the_only_one() {
        let mut outbox = Outbox::new(10 * COST);
        outbox.push(message(11)).unwrap();
        assert_eq!(outbox.push(message(1)), Err(WriteError::Overflow { waiting: 11 * COST, limit: 10 * COST }));
        assert!(outbox.pop().is_some());
        outbox.push(message(4)).unwrap();
        outbox.push(message(6)).unwrap();
        assert!(outbox.push(message(1)).is_err());
    }

    #[test]
    fn room_is_made_by_dropping_the_oldest() {
        let mut outbox = Outbox::new(10 * COST);
        for bytes in [4, 3, 2] {
            outbox.push(message(bytes)).unwrap();
        }
        assert_eq!(outbox.make_room(COST), 0);
        assert_eq!(outbox.make_room(5 * COST), 1);
        outbox.push(message(5)).unwrap();
        assert_eq!(outbox.make_room(100 * COST), 3);
        outbox.push(message(100)).unwrap();
        assert_eq!(outbox.pop(), Some(message(100)));
    }

    #[test]
    fn those_that_are_dropped_together_are_counted() {
        let mut outbox = Outbox::new(10 * COST);
        outbox.push(message(3)).unwrap();
        outbox.push(message(4)).unwrap();
        outbox.close(Close::new(1000, ""));
        assert_eq!(outbox.clear(), 2);
        assert_eq!((outbox.pop(), outbox.bytes()), (None, 0));
    }

    #[test]
    fn a_message_takes_the_place_of_the_one_with_its_key_as_long_as_that_waits() {
        let mut outbox = Outbox::new(10 * COST);
        let keyed = |outbox: &mut Outbox, key: &str, bytes| outbox.replace_or_push(key.to_owned(), message(bytes));
        assert_eq!(keyed(&mut outbox, "a", 1), Ok(0));
        assert_eq!(keyed(&mut outbox, "b", 2), Ok(0));
        assert_eq!(keyed(&mut outbox, "a", 3), Ok(1));
        assert_eq!(outbox.bytes(), 5 * COST);
        assert_eq!(outbox.pop(), Some(message(3)));
        assert_eq!(keyed(&mut outbox, "a", 4), Ok(0));
        assert_eq!(keyed(&mut outbox, "b", 6), Ok(1));
        assert_eq!(keyed(&mut outbox, "b", 7), Err(WriteError::Overflow { waiting: 10 * COST, limit: 10 * COST }));
        assert_eq!([outbox.pop(), outbox.pop(), outbox.pop()], [Some(message(6)), Some(message(4)), None]);
    }

    #[test]
    fn room_is_kept_for_those_who_are_there() {
        let spares = || SPARE.with_borrow(Vec::len);
        trim_spares(0);
        let mut crowd: Vec<_> = (0..10).map(|_| Outbox::new(10 * COST)).collect();
        crowd.iter_mut().for_each(|outbox| outbox.push(message(1)).unwrap());
        crowd.iter_mut().for_each(|outbox| drop(outbox.pop()));
        assert_eq!(spares(), 10);
        trim_spares(11);
        assert_eq!(spares(), 10);
        trim_spares(3);
        assert_eq!(spares(), 3);
    }

    #[test]
    fn keys_of_messages_that_wait_no_more_are_forgotten() {
        let mut outbox = Outbox::new(10 * COST);
        for n in 0..1_000 {
            outbox.replace_or_push(n.to_string(), message(1)).unwrap();
            if n % 10 > 0 {
                outbox.pop();
            }
            outbox.make_room(2 * COST);
        }
        let keys = outbox.keyed.map_or(0, |keyed| keyed.places.len());
        assert!(keys <= 21, "{keys}");
    }

    #[test]
    fn a_close_frame_follows_messages_and_only_the_newest_pong_waits() {
        let mut outbox = Outbox::new(10 * COST);
        outbox.push(message(1)).unwrap();
        outbox.pong(Bytes::from_static(b"old"));
        outbox.pong(Bytes::from_static(b"new"));
        outbox.ping();
        outbox.close(Close::new(1000, ""));
        assert_eq!(outbox.pop_control(), Some(Outgoing::Pong(Bytes::from_static(b"new"))));
        assert_eq!(outbox.pop_control(), Some(Outgoing::Ping));
        assert_eq!(outbox.pop_control(), None);
        assert_eq!(outbox.pop(), Some(message(1)));
        assert_eq!(outbox.pop(), Some(Outgoing::Close(Close::new(1000, ""))));
        assert_eq!(outbox.pop(), None);
    }
}
