//! Who is here is known, and who comes and goes is told.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::{
    Make, Subject,
    member::{Client, GROUP, people},
    ready, small, within,
};
use crate::{
    Layer,
    layer::Limits,
    presence::{META_LIMIT, PresenceError, WHO_LIMIT},
};

/// Whether the layer knows who is present at all. One that does not says so.
async fn knows_presence(subject: &Subject) -> bool {
    match subject.near.presence(GROUP).count().await {
        Ok(count) => {
            assert_eq!(count, 0);
            return true;
        }
        Err(error) => assert!(matches!(error, PresenceError::Unsupported), "{error}"),
    }
    let mut client = Client::new(&subject.near).await;
    client.socket.send_to("present ada phone").await.expect("it is connected");
    assert_eq!(client.told().await, PresenceError::Unsupported.to_string());
    false
}

async fn listed(layer: &Layer) -> String {
    people(&layer.presence(GROUP).list().await.expect("it can tell"))
}

/// Waits until this is who is present: another process hears of it a moment later.
async fn becomes(layer: &Layer, expected: &str) {
    within(async {
        while listed(layer).await != expected {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Who is present, and with what, is known in every process, to members and to others.
pub async fn who_is_present_is_listed_with_metadata_in_every_process(make: Make) {
    let subject = ready(&make, small()).await;
    if !knows_presence(&subject).await {
        return;
    }
    let (mut ada, mut bob) = (Client::new(&subject.near).await, Client::new(&subject.far).await);
    ada.does("present ada phone").await;
    assert_eq!(listed(&subject.far).await, "ada[phone]", "in a process without a member");
    assert_eq!(subject.far.presence(GROUP).count().await.expect("it can tell"), 1);
    bob.does("present bob tablet").await;
    assert_eq!(bob.told().await, "+bob[tablet]1");
    assert_eq!([ada.told().await, ada.told().await], ["+ada[phone]1", "+bob[tablet]1"]);
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.people().await, "ada[phone] bob[tablet]");
    }
    for layer in [&subject.near, &subject.far] {
        assert_eq!(listed(layer).await, "ada[phone] bob[tablet]");
        assert_eq!(layer.presence(GROUP).count().await.expect("it can tell"), 2);
        assert_eq!(layer.presence("elsewhere").count().await.expect("it can tell"), 0);
    }
}

/// Every member is told who comes, changes and goes, once: in every process, and whether present or not.
pub async fn members_are_told_who_comes_and_changes_and_goes(make: Make) {
    let subject = ready(&make, small()).await;
    if !knows_presence(&subject).await {
        return;
    }
    let mut watchers = [Client::new(&subject.near).await, Client::new(&subject.far).await];
    for watcher in &mut watchers {
        watcher.does("join room").await;
    }
    let mut ada = Client::new(&subject.near).await;
    for (does, told) in [
        ("present ada phone", "+ada[phone]1"),
        ("update pocket", "~ada[pocket]1"),
        ("present ada phone", "~ada[phone]1"),
        ("absent", "-ada[phone]0"),
        ("present ada phone", "+ada[phone]1"),
        ("present bob phone", "+bob[phone]1 -ada[phone]0"),
    ] {
        ada.does(does).await;
        assert_eq!(ada.told().await, told, "one hears oneself");
        for watcher in &mut watchers {
            assert_eq!(watcher.told().await, told);
        }
    }
    ada.does("present bob phone").await; // as before
    ada.does("leave room").await;
    let [near, far] = &mut watchers;
    for client in [&mut ada, near, far] {
        assert_eq!(client.told().await, "-bob[phone]0", "who leaves the group is not present in it");
        assert!(client.socket.receive_nothing().await);
    }
}

/// One person on two devices is one person with two entries, which comes once and goes once.
pub async fn a_person_on_two_devices_is_one_with_two_entries(make: Make) {
    let subject = ready(&make, small()).await;
    if !knows_presence(&subject).await {
        return;
    }
    let mut watcher = Client::new(&subject.near).await;
    watcher.does("join room").await;
    let (mut phone, mut tablet) = (Client::new(&subject.near).await, Client::new(&subject.far).await);
    phone.does("present ada phone").await;
    assert_eq!(watcher.told().await, "+ada[phone]1");
    tablet.does("present ada tablet").await;
    assert_eq!(watcher.told().await, "+ada[tablet]2");
    for layer in [&subject.near, &subject.far] {
        assert_eq!(listed(layer).await, "ada[phone,tablet]");
        assert_eq!(layer.presence(GROUP).count().await.expect("it can tell"), 1);
    }
    phone.socket.disconnect(1000).await.expect("it ends");
    assert_eq!(watcher.told().await, "-ada[phone]1", "she is still here");
    tablet.socket.disconnect(1000).await.expect("it ends");
    assert_eq!(watcher.told().await, "-ada[tablet]0");
}

/// However a connection ends, its presence does.
pub async fn presence_ends_with_its_connection_however_that_ends(make: Make) {
    let subject = ready(&make, small()).await;
    if !knows_presence(&subject).await {
        return;
    }
    let mut watcher = Client::new(&subject.far).await;
    watcher.does("join room").await;
    for end in ["disconnect", "fail", "panic", "kick"] {
        let mut ada = Client::new(&subject.near).await;
        ada.does(&format!("present ada {end}")).await;
        assert_eq!(watcher.told().await, format!("+ada[{end}]1"));
        match end {
            "disconnect" => ada.socket.disconnect(1000).await.expect("it ends"),
            "kick" => {
                let kick = crate::event::CloseConnection::new(4503, "kicked");
                subject.far.send(&ada.channel, kick).await.expect("it can");
            }
            other => ada.socket.send_to(other).await.expect("it is connected"),
        }
        assert_eq!(watcher.told().await, format!("-ada[{end}]0"));
        becomes(&subject.far, "").await;
        becomes(&subject.near, "").await;
    }
}

/// Who is in a list, or is told of after it, is everybody.
pub async fn nobody_is_missed_between_a_list_and_what_is_told_after_it(make: Make) {
    const CROWD: usize = 24;
    let subject = ready(&make, Limits::default()).await;
    if !knows_presence(&subject).await {
        return;
    }
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let layer = if n % 2 == 0 { &subject.near } else { &subject.far };
        crowd.push(Client::new(layer).await);
    }
    let comes = async {
        for (n, client) in crowd.iter_mut().enumerate() {
            client.socket.send_to(format!("present p{n:02} x")).await.expect("it is connected");
        }
    };
    let looks = async {
        for layer in [&subject.near, &subject.far, &subject.near, &subject.far] {
            let mut newcomer = Client::new(layer).await;
            newcomer.does("join room").await;
            newcomer.socket.send_to("people").await.expect("it is connected");
            let mut seen = BTreeSet::new();
            // What was told before the list is told first, or is in it.
            while seen.len() < CROWD {
                let told = within(newcomer.told()).await;
                seen.extend(told.split(' ').filter_map(|word| {
                    let word = word.strip_prefix('+').unwrap_or(word);
                    word.strip_prefix('p')?.get(..2)?.parse::<usize>().ok()
                }));
            }
        }
    };
    tokio::join!(comes, looks);
}

/// What is out of bounds is refused, with the bound, and nobody is told of it.
pub async fn presence_out_of_bounds_is_refused_and_says_why(make: Make) {
    let subject = ready(&make, Limits { presence_capacity: 2, ..Limits::default() }).await;
    if !knows_presence(&subject).await {
        return;
    }
    let mut clients = Vec::new();
    for layer in [&subject.near, &subject.far, &subject.far] {
        clients.push(Client::new(layer).await);
    }
    let [ada, bob, late] = clients.as_mut_slice() else { unreachable!("there are three") };
    ada.does("present ada phone").await;
    bob.does("present bob phone").await;
    let long = "x".repeat(META_LIMIT);
    for (does, refusal) in [
        ("present cleo phone".to_owned(), "group \"room\" has 2 connections present, and takes no more".to_owned()),
        (
            format!("present {}", "x".repeat(WHO_LIMIT + 1)),
            "the name of a person has 256 bytes; it has 1 to 255".to_owned(),
        ),
        (format!("present cleo {long}"), format!("metadata has {} bytes; the most is {META_LIMIT}", META_LIMIT + 2)),
        ("update phone".to_owned(), "this connection is not present in group \"room\"".to_owned()),
    ] {
        late.socket.send_to(does.as_str()).await.expect("it is connected");
        assert_eq!(late.told().await, refusal);
        assert_eq!(late.told().await, format!("did {does}"));
    }
    assert_eq!(late.people().await, "ada[phone] bob[phone]");
    assert_eq!(bob.told().await, "+bob[phone]1");
    bob.does("update tablet").await; // there is no room for more, but for who is there
    assert_eq!(late.told().await, "~bob[tablet]1");
    assert_eq!(bob.told().await, "~bob[tablet]1");
    bob.does("absent").await;
    assert_eq!(late.told().await, "-bob[tablet]0");
    late.does("present cleo phone").await;
    becomes(&subject.near, "ada[phone] cleo[phone]").await;
    let error = subject.near.presence("two words").count().await.expect_err("it is no name");
    assert!(matches!(error, PresenceError::Name(_)), "{error}");
}
