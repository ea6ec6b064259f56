//! Connections are channels, and members of groups.

use super::{Make, member::Client, numbered, ready, small};
use crate::{GroupReport, SendError, layer::Limits};

/// A connection is reached by its channel's name from its own process and from another, and no other connection is.
pub async fn an_event_reaches_one_connection_by_its_channel_name(make: Make) {
    let subject = ready(&make, small()).await;
    let (mut first, mut second) = (Client::new(&subject.near).await, Client::new(&subject.near).await);
    subject.far.send(&first.channel, numbered(1)).await.expect("it can");
    assert_eq!(first.told().await, "1");
    subject.near.send(&second.channel, numbered(2)).await.expect("it can");
    assert_eq!(second.told().await, "2");
    assert!(first.socket.receive_nothing().await && second.socket.receive_nothing().await);
}

/// A group message comes to each member once, in every process, until it leaves.
pub async fn connections_of_all_processes_get_what_is_sent_to_their_group_once(make: Make) {
    let subject = ready(&make, Limits::default()).await;
    let mut clients = Vec::new();
    for layer in [&subject.near, &subject.near, &subject.far, &subject.far] {
        let mut client = Client::new(layer).await;
        client.does("join room").await;
        clients.push(client);
    }
    for (n, layer) in [&subject.near, &subject.far].into_iter().enumerate() {
        layer.group_send("room", numbered(n)).await.expect("it can");
        for client in &mut clients {
            assert_eq!(client.told().await, n.to_string());
        }
    }
    clients[1].does("leave room").await;
    clients[2].does("leave room").await;
    subject.near.group_send("room", numbered(2)).await.expect("it can");
    for at in [0, 3] {
        assert_eq!(clients[at].told().await, "2");
    }
    for client in &mut clients {
        assert!(client.socket.receive_nothing().await);
    }
}

/// Whether to the group or to the channel: what one sends to a connection comes in that order.
pub async fn one_senders_events_keep_their_order_by_whichever_way_they_come(make: Make) {
    let subject = ready(&make, Limits { capacity: 1_000, ..Limits::default() }).await;
    let mut member = Client::new(&subject.near).await;
    member.does("join room").await;
    for sender in [&subject.near, &subject.far] {
        // A process gets its own without a broker, unless that is all there is.
        let is_direct = std::ptr::eq(sender, &subject.near) && !subject.broadcasts;
        let has_one_order = is_direct || !subject.is_apart;
        for n in 0..90 {
            match n % 3 {
                0 if has_one_order => sender.send(&member.channel, numbered(n)).await.expect("there is room"),
                _ => sender.group_send("room", numbered(n)).await.expect("it can"),
            }
        }
        for n in 0..90 {
            assert_eq!(member.told().await, n.to_string());
        }
    }
}

/// A connection has a capacity of its own; what it has no room for is an error to one sender and a number to the group's.
pub async fn a_connection_that_is_busy_holds_as_much_as_a_channel(make: Make) {
    let subject = ready(&make, small()).await;
    if subject.broadcasts {
        return;
    }
    let (mut busy, mut idle) = (Client::new(&subject.near).await, Client::new(&subject.near).await);
    busy.does("join room").await;
    idle.does("join room").await;
    busy.hold().await;
    for n in 0..4 {
        let (delivered, full) = if n < 3 { (2, 0) } else { (1, 1) };
        let report = subject.near.group_send("room", numbered(n)).report().await.expect("it can");
        assert_eq!(report, GroupReport { delivered, full, ..GroupReport::default() });
        assert_eq!(idle.told().await, n.to_string());
    }
    let error = subject.near.send(&busy.channel, numbered(4)).await.expect_err("it is full");
    assert!(matches!(error, SendError::ChannelFull { capacity: 3, .. }), "{error}");
    assert_eq!(subject.near.dropped().full, 2);
    busy.let_go().await;
    for n in 0..3 {
        assert_eq!(busy.told().await, n.to_string());
    }
}

/// A connection's end takes it out of its groups; to send to it is no error.
pub async fn who_has_ended_is_in_no_group_and_is_no_error_to_send_to(make: Make) {
    let subject = ready(&make, small()).await;
    let (mut ends, mut stays) = (Client::new(&subject.near).await, Client::new(&subject.near).await);
    ends.does("join room").await;
    stays.does("join room").await;
    let channel = ends.channel.clone();
    ends.socket.disconnect(1000).await.expect("it ends");
    assert_eq!(subject.near.group_size("room").await.expect("it can tell"), 1);
    subject.far.send(&channel, numbered(1)).await.expect("it is no error");
    subject.far.group_send("room", numbered(2)).await.expect("it can");
    assert_eq!(stays.told().await, "2");
}
