//! Pings, and what their silence means: a pure decision.

use std::time::Duration;

use tokio::time::Instant;

/// What is due on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// The client did not answer in time.
    Close,
}

/// Decides by when the client was last heard, and when the ping was sent that it has not answered.
pub(super) fn due(
    now: Instant,
    heard: Instant,
    pinged: Option<Instant>,
    every: Option<Duration>,
    within: Duration,
) -> Due {
    let Some(every) = every else { return Due::Nothing };
    match pinged {
        Some(at) if now.duration_since(at) >= within => Due::Close,
        Some(_) => Due::Nothing,
        None if now.duration_since(heard) >= every => Due::Ping,
        None => Due::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_client_is_pinged_and_a_silent_one_closed() {
        let second = Duration::from_secs;
        let start = Instant::now();
        let due = |now: u64, pinged: Option<u64>| {
            let pinged = pinged.map(|at| start + second(at));
            due(start + second(now), start, pinged, Some(second(20)), second(30))
        };
        assert_eq!(due(19, None), Due::Nothing);
        assert_eq!(due(20, None), Due::Ping);
        assert_eq!(due(49, Some(20)), Due::Nothing);
        assert_eq!(due(50, Some(20)), Due::Close);
    }

    #[test]
    fn without_an_interval_nothing_is_ever_due() {
        let now = Instant::now();
        assert_eq!(due(now + Duration::from_secs(9_999), now, None, None, Duration::ZERO), Due::Nothing);
    }
}
