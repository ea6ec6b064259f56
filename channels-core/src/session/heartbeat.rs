//! What time does to a connection: a pure decision, made every now and then.

use tokio::time::Instant;

use crate::{Close, CloseCode, server::Config};

/// When a connection gave which sign of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    pub(super) opened: Instant,
    /// When anything last came from the client.
    pub(super) heard: Instant,
    /// When the ping was sent that the client has not answered.
    pub(super) pinged: Option<Instant>,
    /// Whether an answer would be read: not while a hook awaits and a message is read ahead already.
    pub(super) reading: bool,
    /// Since when something has waited for the client and nothing been written.
    pub(super) stalled: Option<Instant>,
    /// When a session over several carriers, which has none, ends without one.
    pub(super) away_until: Option<Instant>,
}

/// What is due on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    Ping,
    Close(Close),
    /// Nothing can be written, not even a close frame.
    Cut,
}

pub(super) fn due(now: Instant, signs: Signs, config: &Config) -> Due {
    let since = |then: Instant| now.saturating_duration_since(then);
    if signs.stalled.is_some_and(|then| since(then) >= config.stall_timeout) {
        return Due::Cut;
    }
    if config.max_lifetime.is_some_and(|lifetime| since(signs.opened) >= lifetime) {
        return Due::Close(Close::new(CloseCode::EXPIRED, "the connection has lasted as long as it may"));
    }
    if signs.away_until.is_some_and(|at| now >= at) {
        return Due::Close(Close::new(CloseCode::PING_TIMEOUT, "the client stayed away"));
    }
    match (config.ping_interval, signs.pinged) {
        (Some(_), Some(then)) if signs.reading && since(then) >= config.ping_timeout => {
            Due::Close(Close::new(CloseCode::PING_TIMEOUT, "no answer to a ping"))
        }
        // A write to a client that has gone fails, which no read would tell.
        (Some(every), Some(then)) if !signs.reading && since(then) >= every => Due::Ping,
        (Some(every), None) if since(signs.heard) >= every => Due::Ping,
        _ => Due::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due_after(seconds: u32, signs: impl FnOnce(Instant, &mut Signs), config: &Config) -> Due {
        let start = Instant::now();
        let mut set =
            Signs { opened: start, heard: start, pinged: None, reading: true, stalled: None, away_until: None };
        signs(start, &mut set);
        due(start + seconds * SECOND, set, config)
    }

    fn code(due: Due) -> Option<u16> {
        match due {
            Due::Close(close) => Some(close.code.get()),
            _ => None,
        }
    }

    #[test]
    fn a_quiet_client_is_pinged_and_a_silent_one_closed() {
        let config = Config::default();
        assert_eq!(due_after(19, |_, _| {}, &config), Due::Nothing);
        assert_eq!(due_after(20, |_, _| {}, &config), Due::Ping);
        let pinged = |start: Instant, signs: &mut Signs| signs.pinged = Some(start + 20 * SECOND);
        assert_eq!(due_after(49, pinged, &config), Due::Nothing);
        assert_eq!(code(due_after(50, pinged, &config)), Some(4408));
    }

    #[test]
    fn a_client_whose_answers_nobody_reads_is_pinged_on_and_not_closed() {
        let config = Config::default();
        let unread = |start: Instant, signs: &mut Signs| {
            (signs.pinged, signs.reading) = (Some(start + 20 * SECOND), false);
        };
        assert_eq!(due_after(39, unread, &config), Due::Nothing);
        assert_eq!(due_after(40, unread, &config), Due::Ping);
        assert_eq!(due_after(99, unread, &config), Due::Ping);
    }

    #[test]
    fn without_an_interval_nobody_is_pinged() {
        let config = Config { ping_interval: None, ..Config::default() };
        assert_eq!(due_after(9_999, |_, _| {}, &config), Due::Nothing);
    }

    #[test]
    fn a_client_that_stays_away_for_too_long_is_closed() {
        let config = Config { ping_interval: None, ..Config::default() };
        let away = |start: Instant, signs: &mut Signs| signs.away_until = Some(start + 15 * SECOND);
        assert_eq!(due_after(14, away, &config), Due::Nothing);
        assert_eq!(code(due_after(15, away, &config)), Some(4408));
    }

    #[test]
    fn a_client_that_reads_nothing_is_cut_whatever_else_is_due() {
        let config = Config { max_lifetime: Some(SECOND), ..Config::default() };
        let stalled = |start: Instant, signs: &mut Signs| signs.stalled = Some(start + 5 * SECOND);
        assert_eq!(code(due_after(34, stalled, &config)), Some(4000));
        assert_eq!(due_after(35, stalled, &config), Due::Cut);
    }
}
