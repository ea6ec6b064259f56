//! How many connections ended with each close code.

use std::ops::AddAssign;

use serde::{Serialize, Serializer};

use crate::{Close, CloseCode, ClosedBy};

/// The codes that are counted by themselves, whoever closed.
const COMMON: [(CloseCode, &str); 4] = [
    (CloseCode::NORMAL, "1000"),
    (CloseCode::GOING_AWAY, "1001"),
    (CloseCode::NO_STATUS, "1005"),
    (CloseCode::ABNORMAL, "1006"),
];

/// Those that are counted by themselves when the server closed.
const OF_SERVER: [(CloseCode, &str); 12] = [
    (CloseCode::PROTOCOL_ERROR, "1002"),
    (CloseCode::UNSUPPORTED_DATA, "1003"),
    (CloseCode::INVALID_PAYLOAD, "1007"),
    (CloseCode::POLICY_VIOLATION, "1008"),
    (CloseCode::MESSAGE_TOO_BIG, "1009"),
    (CloseCode::INTERNAL_ERROR, "1011"),
    (CloseCode::SERVICE_RESTART, "1012"),
    (CloseCode::EXPIRED, "4000"),
    (CloseCode::PING_TIMEOUT, "4408"),
    (CloseCode::TOO_SLOW, "4429"),
    (CloseCode::CREDENTIALS_EXPIRED, "4501"),
    (CloseCode::KICKED, "4503"),
];

const OTHER: usize = COMMON.len() + OF_SERVER.len();

/// How many accepted connections ended with which close code, as `disconnect` was told.
///
/// By themselves are counted 1000, 1001, 1005 and 1006, and of the codes that the server closed with those that have a name
/// in [`CloseCode`]. All others are together: an application's own codes, and whatever else clients say, who cannot add to
/// what is counted here nor make it look like the server's.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::server::ServerStats;
///
/// async fn print(stats: &ServerStats) {
///     for (code, count) in stats.total().await.closes.iter() {
///         println!("{count} connections ended with {code}");
///     }
/// }
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Closes([u64; OTHER + 1]);

impl Closes {
    pub(super) fn count(&mut self, close: &Close) {
        let own = if close.by == ClosedBy::Server { OF_SERVER.as_slice() } else { &[] };
        let place = COMMON.iter().chain(own).position(|(code, _)| *code == close.code);
        self.0[place.unwrap_or(OTHER)] += 1;
    }

    /// Each code, as `1000`, and `other` at the end, with how many connections ended so.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let codes = COMMON.iter().chain(&OF_SERVER).map(|(_, code)| *code);
        codes.chain(["other"]).zip(self.0)
    }
}

impl AddAssign for Closes {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }
}

/// A map of what is not zero.
impl Serialize for Closes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().filter(|(_, count)| *count > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_neither_add_codes_nor_count_as_the_server() {
        let mut closes = Closes::default();
        for code in [1000, 1011, 4007, 4429, 4501] {
            closes.count(&Close::new(code, ""));
            closes.count(&Close::new(code, "").by_client());
        }
        for code in 3000..5000 {
            closes.count(&Close::new(code, "").by_client());
        }
        assert_eq!(
            serde_json::to_value(closes).unwrap(),
            serde_json::json!({"1000": 2, "1011": 1, "4429": 1, "4501": 1, "other": 5 + 2_000})
        );
        assert!(COMMON.iter().chain(&OF_SERVER).all(|(code, name)| code.to_string() == *name));
    }
}
