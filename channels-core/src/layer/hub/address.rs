//! What the part of a channel name behind its `!` says.

use uuid::Uuid;

use super::ChannelName;

/// Where the channel of a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Address {
    /// A connection: `specific.<node>!<thread>.<key>.<nonce>`, all hexadecimal. What goes up to the `!` is the hub's head.
    Session(SeatId),
    /// A queue: any other name.
    Queue,
}

/// A connection's place in a hub. The nonce tells it from an earlier one with the same key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SeatId {
    pub(super) thread: u32,
    pub(super) key: usize,
    pub(super) nonce: u32,
}

impl Address {
    pub(super) fn parse(name: &ChannelName, head: &str) -> Self {
        Self::session(name, head).map_or(Self::Queue, Self::Session)
    }

    fn session(name: &str, head: &str) -> Option<SeatId> {
        let own = name.strip_prefix(head)?;
        let mut parts = own.split('.');
        let mut next = || u64::from_str_radix(parts.next()?, 16).ok();
        let seat =
            SeatId { thread: next()?.try_into().ok()?, key: next()?.try_into().ok()?, nonce: next()?.try_into().ok()? };
        parts.next().is_none().then_some(seat)
    }

    pub(super) fn name(self, head: &str) -> ChannelName {
        let name = match self {
            Self::Session(SeatId { thread, key, nonce }) => {
                format!("{head}{thread:x}.{key:x}.{nonce:08x}")
            }
            Self::Queue => format!("{head}{}", Uuid::new_v4().simple()),
        };
        ChannelName::new(name).expect("head, numbers and digits are at most 99 characters of a channel name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_seat_and_no_other_name_does() {
        let head = "specific.0123456789abcdef0123456789abcdef!";
        let seat = SeatId { thread: u32::MAX, key: 1 << 40, nonce: u32::MAX };
        let name = Address::Session(seat).name(head);
        assert_eq!(Address::parse(&name, head), Address::Session(seat));
        assert_eq!(Address::parse(&name, "specific.ffffffffffffffffffffffffffffffff!"), Address::Queue);
        assert_eq!(Address::parse(&Address::Queue.name(head), head), Address::Queue);
        for other in ["thumbnails", "specific.x!1.2.3", &format!("{name}.1"), &format!("{head}1.2")] {
            assert_eq!(Address::parse(&ChannelName::new(other).unwrap(), head), Address::Queue, "{other}");
        }
    }
}
