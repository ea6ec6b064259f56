//! What was sent and is not acknowledged.

use std::collections::VecDeque;

use crate::Message;

/// An empty queue keeps room for this many messages at most.
const ROOM: usize = 8;

/// The messages that a client may ask for again, numbered from 1.
#[derive(Default, Debug)]
pub(super) struct Kept {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The number of the last message there was.
    last: u64,
    /// Up to this number the client has the messages, or is known to miss them.
    settled: u64,
}

impl Kept {
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What they cost.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.cost();
        self.last += 1;
        self.messages.push_back(message);
    }

    /// Forgets all up to this number.
    pub(super) fn acknowledge(&mut self, number: u64) {
        self.settled = self.settled.max(number.min(self.last));
        while self.forgotten() < number && self.forget_oldest() {}
        if self.messages.is_empty() && self.messages.capacity() > ROOM {
            self.messages = VecDeque::new();
        }
    }

    /// Forgets the oldest until at most so many bytes are left.
    pub(super) fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes && self.forget_oldest() {}
    }

    /// The number of the last message that is not kept any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.last - self.messages.len() as u64
    }

    /// How many messages a client that has them up to this number cannot have any more, but for those that were counted
    /// before.
    pub(super) fn missed(&mut self, number: u64) -> u64 {
        let before = self.settled.max(number);
        self.settled = before.max(self.forgotten());
        self.settled - before
    }

    /// The messages behind this number, which is not forgotten.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Message> {
        let skipped = usize::try_from(number.saturating_sub(self.forgotten())).unwrap_or(usize::MAX);
        self.messages.iter().skip(skipped)
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(oldest) = self.messages.pop_front() else { return false };
        self.bytes -= oldest.cost();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(kept: &Kept, after: u64) -> Vec<&str> {
        kept.after(after).filter_map(Message::as_text).collect()
    }

    #[test]
    fn what_is_not_acknowledged_can_be_had_again() {
        let mut kept = Kept::default();
        for text in ["a", "b", "c"] {
            kept.push(text.into());
        }
        assert_eq!(texts(&kept, 0), ["a", "b", "c"]);
        kept.acknowledge(2);
        kept.acknowledge(1);
        assert_eq!((kept.forgotten(), texts(&kept, 2), texts(&kept, 3)), (2, vec!["c"], vec![]));
        kept.acknowledge(9);
        assert_eq!((kept.forgotten(), kept.last(), kept.bytes()), (3, 3, 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut kept = Kept::default();
        for text in ["aa", "bb", "cc"] {
            kept.push(text.into());
        }
        let each = Message::from("aa").cost();
        kept.shrink(2 * each - 1);
        assert_eq!((kept.forgotten(), texts(&kept, 2)), (2, vec!["cc"]));
        kept.shrink(0);
        assert_eq!((kept.forgotten(), kept.last()), (3, 3));
    }

    #[test]
    fn what_is_missed_is_counted_once() {
        let mut kept = Kept::default();
        for text in ["a", "b", "c", "d", "e"] {
            kept.push(text.into());
        }
        kept.acknowledge(1);
        kept.shrink(2 * Message::from("a").cost());
        assert_eq!(kept.missed(0), 2);
        assert_eq!(kept.missed(0), 0);
        kept.shrink(0);
        assert_eq!(kept.missed(4), 1, "it has all but the last");
        assert_eq!((kept.missed(4), kept.missed(5)), (0, 0));
    }

    #[test]
    fn empty_messages_take_up_room_too() {
        let mut kept = Kept::default();
        for _ in 0..1_000 {
            kept.push("".into());
            kept.shrink(1_000);
        }
        assert_eq!(1_000 - kept.forgotten(), 1_000 / Message::from("").cost() as u64);
    }
}
