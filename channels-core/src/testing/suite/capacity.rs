//! A channel holds so much and no more, and nothing for ever.

use std::time::Duration;

use tokio::time::sleep;

use super::{Make, next, numbered, ready, small, waiting, within};
use crate::{
    GroupReport, SendError,
    layer::{CapacityPattern, Limits},
};

/// `send` says that a channel is full; when something is taken there is room again.
pub async fn a_full_channel_refuses_what_is_sent_until_there_is_room(make: Make) {
    let subject = ready(&make, small()).await;
    if subject.broadcasts || !subject.is_ordered {
        return; // over several hosts each has its share
    }
    for n in 0..3 {
        subject.far.send("test-channel-1", numbered(n)).await.expect("there is room");
    }
    let error = subject.far.send("test-channel-1", numbered(3)).await.expect_err("it is full");
    assert_eq!(error.to_string(), "channel \"test-channel-1\" is full (3 messages)");
    assert!(matches!(error, SendError::ChannelFull { capacity: 3, .. }));
    assert_eq!(subject.far.dropped().full, 1);
    assert_eq!(next(&subject.near, "test-channel-1").await, 0);
    subject.far.send("test-channel-1", numbered(4)).await.expect("there is room again");
    for n in [1, 2, 4] {
        assert_eq!(next(&subject.near, "test-channel-1").await, n);
    }
}

/// A group send never fails because a member is full.
pub async fn a_full_member_is_no_error_but_a_number_in_the_report(make: Make) {
    let subject = ready(&make, small()).await;
    if subject.broadcasts || !subject.is_ordered {
        return;
    }
    for channel in ["slow", "quick"] {
        subject.far.group_add("test-group", channel).await.expect("it can");
    }
    for n in 0..5 {
        let (delivered, full) = if n < 3 { (2, 0) } else { (1, 1) };
        let report = subject.near.group_send("test-group", numbered(n)).report().await.expect("it can");
        assert_eq!(report, GroupReport { delivered, full, ..GroupReport::default() });
        assert_eq!(next(&subject.near, "quick").await, n);
    }
    assert_eq!(subject.near.dropped().full, 2);
    assert_eq!(waiting(&subject.near, &subject.near, "slow").await, [0, 1, 2]);
}

/// Capacities by pattern: a glob for the whole name, a regular expression from its start.
pub async fn the_first_pattern_that_fits_says_how_much_a_channel_holds(make: Make) {
    let glob = |text: &str| text.parse::<CapacityPattern>().expect("it is one");
    let regex = CapacityPattern::regex("numbers[.][0-9]+$").expect("it is one");
    let channel_capacity = vec![(glob("mail.urgent"), 3), (glob("mail.*"), 1), (regex, 2)];
    let subject = ready(&make, Limits { capacity: 4, channel_capacity, ..Limits::default() }).await;
    if subject.broadcasts || !subject.is_ordered {
        return;
    }
    for (channel, capacity) in
        [("mail.urgent", 3), ("mail.slow", 1), ("mail", 4), ("numbers.7", 2), ("my.numbers.7", 4)]
    {
        for n in 0..capacity {
            subject.near.send(channel, numbered(n)).await.expect("there is room");
        }
        let error = subject.near.send(channel, numbered(capacity)).await.expect_err("it is full");
        assert_eq!(error.to_string(), format!("channel \"{channel}\" is full ({capacity} messages)"));
    }
}

/// What nobody took in time is gone, and makes room.
pub async fn an_event_that_nobody_takes_in_time_is_gone(make: Make) {
    let subject = ready(&make, Limits { capacity: 1, expiry: Duration::from_secs(1), ..Limits::default() }).await;
    if subject.broadcasts || !subject.is_ordered {
        return;
    }
    subject.far.send("test-channel-1", numbered(1)).await.expect("there is room");
    within(async {
        while subject.far.send("test-channel-1", numbered(2)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(next(&subject.near, "test-channel-1").await, 2);
}
