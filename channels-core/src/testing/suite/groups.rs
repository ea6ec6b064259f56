//! What is sent to a group reaches its members.

use super::{Make, member::Client, next, numbered, ready, small, waiting};
use crate::{GroupReport, LayerError, layer::Limits};

/// A group's members get what is sent to it; others, and those who left, do not.
pub async fn what_is_sent_to_a_group_reaches_its_members_and_nobody_else(make: Make) {
    let subject = ready(&make, small()).await;
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(subject.near.new_channel().await.expect("it can make one"));
    }
    for channel in &channels[..3] {
        subject.near.group_add("test-group", channel).await.expect("it can");
    }
    subject.near.group_add("another-group", &channels[3]).await.expect("it can");
    subject.near.group_discard("test-group", &channels[1]).await.expect("it can");
    // channels_redis test_pubsub: discard_before_add
    subject.near.group_discard("test-group", "never-there").await.expect("it is no error");
    subject.near.group_discard("no-group", &channels[0]).await.expect("it is no error");

    let report = subject.near.group_send("test-group", numbered(1)).report().await.expect("it can");
    if !subject.broadcasts {
        assert_eq!(report, GroupReport { delivered: 2, ..GroupReport::default() });
    }
    subject.far.group_send("test-group", numbered(2)).await.expect("it can");
    subject.far.group_send("no-group", numbered(3)).await.expect("an empty group is no error");
    for (at, channel) in channels.iter().enumerate() {
        let expected = if at == 0 || at == 2 { vec![1, 2] } else { Vec::new() };
        let mut came = waiting(&subject.far, &subject.near, channel).await;
        came.sort_unstable(); // they are of two senders
        assert_eq!(came, expected, "member {at}");
    }
}

/// To join twice is to join once, and to leave once is to have left.
pub async fn who_joins_twice_is_a_member_once(make: Make) {
    let subject = ready(&make, small()).await;
    let mine = subject.near.new_channel().await.expect("it can make one");
    for _ in 0..2 {
        subject.near.group_add("room", &mine).await.expect("it can");
    }
    subject.far.group_send("room", numbered(1)).await.expect("it can");
    assert_eq!(next(&subject.near, &mine).await, 1);
    for n in 2..4 {
        subject.near.group_discard("room", &mine).await.expect("it can");
        subject.far.group_send("room", numbered(n)).await.expect("it can");
    }
    assert!(waiting(&subject.far, &subject.near, &mine).await.is_empty());
}

/// When a join is acknowledged the member is reached by all, wherever they send from.
pub async fn nothing_that_is_sent_after_a_join_is_missed(make: Make) {
    let subject = ready(&make, Limits::default()).await;
    for n in 0..20 {
        let mine = subject.near.new_channel().await.expect("it can make one");
        let group = format!("room-{n}");
        subject.near.group_add(group.as_str(), &mine).await.expect("it can");
        subject.far.group_send(group.as_str(), numbered(n)).await.expect("it can");
        assert_eq!(next(&subject.near, &mine).await, n);
        subject.near.group_discard(group.as_str(), &mine).await.expect("it can");
    }
}

/// Who is in a group, and how many, can be asked: from another process too.
pub async fn a_group_tells_its_members(make: Make) {
    let subject = ready(&make, small()).await;
    let mine = subject.near.new_channel().await.expect("it can make one");
    let theirs = subject.far.new_channel().await.expect("it can make one");
    subject.near.group_add("room", &mine).await.expect("it can");
    subject.far.group_add("room", &theirs).await.expect("it can");
    let mut expected = vec![mine.clone()];
    if !subject.broadcasts {
        subject.near.group_add("room", "log").await.expect("it can");
        expected.extend([theirs, "log".try_into().expect("it is a name")]);
    }
    expected.sort();
    for layer in [&subject.near, &subject.far] {
        if subject.broadcasts && layer.get_ref().hub().node() != subject.near.get_ref().hub().node() {
            continue;
        }
        let mut members = layer.group_channels("room").await.expect("it can tell");
        members.sort();
        assert_eq!(members, expected);
        assert_eq!(layer.group_size("room").await.expect("it can tell"), expected.len());
        assert_eq!(layer.group_size("no-room").await.expect("it can tell"), 0);
    }
    subject.near.group_discard("room", &mine).await.expect("it can");
    assert_eq!(subject.near.group_size("room").await.expect("it can tell"), expected.len() - 1);
}

/// A group send reaches several groups, and who is in more than one of them once, and leaves out whom it is told to: in every
/// process.
pub async fn who_is_left_out_gets_nothing_and_who_is_in_two_groups_gets_it_once(make: Make) {
    let subject = ready(&make, Limits::default()).await;
    let mut out = Client::new(&subject.near).await;
    let mut near = Client::new(&subject.near).await;
    let mut both = Client::new(&subject.far).await;
    let mut watcher = Client::new(&subject.far).await;
    for member in [&mut out, &mut near, &mut both] {
        member.does("join room").await;
    }
    for member in [&mut both, &mut watcher] {
        member.does("join watchers").await;
    }
    if subject.broadcasts {
        let refused = subject.near.group_send("room", numbered(1)).to("watchers").await;
        assert!(matches!(refused, Err(LayerError::WholeGroupsOnly)), "{refused:?}");
        return;
    }
    for group in ["room", "watchers"] {
        subject.near.group_add(group, "log").await.expect("it can");
    }
    for (layer, n) in [(&subject.near, 1), (&subject.far, 2)] {
        let send = layer.group_send("room", numbered(n)).to("watchers").except(out.channel.as_str());
        send.await.expect("it can");
        layer.group_send("room", numbered(10 + n)).to("watchers").await.expect("it can");
    }
    for (member, expected) in [
        (&mut out, &[11, 12][..]),
        (&mut near, &[1, 2, 11, 12]),
        (&mut both, &[1, 2, 11, 12]),
        (&mut watcher, &[1, 2, 11, 12]),
    ] {
        let mut came = Vec::new();
        for _ in expected {
            came.push(member.told().await.parse::<usize>().expect("it is a number"));
        }
        came.sort_unstable(); // they are of two senders
        assert_eq!(came, expected);
        assert!(member.socket.receive_nothing().await);
    }
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push(next(&subject.near, "log").await);
    }
    came.sort_unstable();
    assert_eq!(came, [1, 2, 11, 12]);
}
