//! Another node takes the place of a master that is killed.

use std::time::{Duration, Instant};

use channels::{
    ChannelLayer, Layer, event,
    layer::redis::{Host, RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
    testing::WebsocketCommunicator,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    server::{RedisServer, Sentinel, SixNodes, Trio, wait_until},
    supervision::{Load, member, told},
    until_ready,
};

/// Delivery resumes within this time of the master's end.
const RESUMES: Duration = Duration::from_secs(10);

/// The part of it that is ours. On a busy machine Sentinels and nodes find each other silent, and take longer than theirs to agree on
/// another master.
const OURS: Duration = Duration::from_secs(5);

/// More messages than the load sends while one process has found the new master and another has not: what a full mailbox refuses
/// is lost by another rule than what a lost broker does, and nobody is told.
const CAPACITY: usize = 100_000;

/// What a member is told next that is no news of the broker.
async fn next_number(client: &mut WebsocketCommunicator) -> String {
    loop {
        let text = told(client).await;
        if text != "lost" && text != "back" {
            return text;
        }
    }
}

/// Sends until the broker takes it; how often it did not.
async fn send(layer: &Layer, n: u64) -> u64 {
    let mut errors = 0;
    while let Err(error) = layer.group_send("room", event!({"type": "numbered", "n": n})).await {
        tracing::debug!(%error, "not yet");
        errors += 1;
        sleep(Duration::from_millis(50)).await;
    }
    errors
}

/// Sends numbers until everybody has got the same one; how often the broker did not take one. Before the nodes agree, a member's
/// process may lose the broker once more, and with it what was sent at that moment: it is told so.
async fn reaches_all(layer: &Layer, members: &mut [WebsocketCommunicator], n: &mut u64) -> u64 {
    let mut errors = 0;
    'next: loop {
        *n += 1;
        errors += send(layer, *n).await;
        for member in &mut *members {
            loop {
                match told(member).await {
                    text if text == n.to_string() => break,
                    text if text == "back" => continue 'next,
                    _ => {}
                }
            }
        }
        return errors;
    }
}

/// Takes the master away from members of two processes.
async fn resumes<L: ChannelLayer, E: std::fmt::Debug>(
    options: RedisOptions,
    make: fn(RedisOptions) -> Result<L, E>,
    knows_all: bool,
    kill: impl FnOnce(),
    has_chosen: impl Fn() -> bool + Send + 'static,
) {
    let options = options.timeout(Duration::from_secs(1)).capacity(CAPACITY);
    let options = options.on_disconnect("broker.lost").on_reconnect("broker.back");
    let (near, far) = (Layer::new(make(options.clone()).unwrap()), Layer::new(make(options).unwrap()));
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    let mut members = [member(&near).await, member(&near).await, member(&far).await];
    assert_eq!(send(&far, 1).await, 0);
    for member in &mut members {
        assert_eq!(next_number(member).await, "1");
    }

    let load = [Load::on(&near), Load::on(&far)];
    kill();
    let killed = Instant::now();
    let mut errors = 1;
    far.group_send("room", event!({"type": "numbered", "n": 2})).await.unwrap_err();
    for member in &mut members {
        assert_eq!(told(member).await, "lost", "what is lost is signalled");
    }
    let chosen = spawn_blocking(move || wait_until("no other master is chosen", has_chosen)).await;
    let chosen = chosen.map(|()| killed.elapsed()).unwrap();
    for member in &mut members {
        while told(member).await != "back" {}
    }
    let mut n = 3;
    errors += reaches_all(&far, &mut members, &mut n).await;
    let resumed = killed.elapsed();
    assert!(resumed < RESUMES.max(chosen + OURS), "after {resumed:?}; another was chosen after {chosen:?}");
    let mut near_errors = reaches_all(&near, &mut members, &mut n).await;
    let sizes = if knows_all { [3, 3] } else { [2, 1] };
    assert_eq!([near.group_size("room").await.unwrap(), far.group_size("room").await.unwrap()], sizes);
    let [of_near, of_far] = load;
    let ((_, of_near), (_, of_far)) = (of_near.stop().await, of_far.stop().await);
    (near_errors, errors) = (near_errors + of_near, errors + of_far);
    assert_eq!(far.dropped().lost, errors, "and counted by its sender");
    assert_eq!(near.dropped().lost, near_errors);
    assert_eq!((near.dropped().full, far.dropped().full), (0, 0));
    for member in members {
        member.disconnect(1000).await.unwrap();
    }
}

async fn resumes_with_sentinels<L: ChannelLayer, E: std::fmt::Debug>(
    make: fn(RedisOptions) -> Result<L, E>,
    knows_all: bool,
) {
    let mut trio = Trio::start();
    let host = Host::sentinel(trio.sentinels.iter().map(|sentinel| ("127.0.0.1", sentinel.port)), "main");
    let has_chosen = trio.has_chosen();
    resumes(RedisOptions::from(host), make, knows_all, || trio.master.kill(), has_chosen).await;
}

#[channels::actix_web::test]
async fn our_own_layer_goes_on_with_the_master_that_the_sentinels_choose() {
    resumes_with_sentinels(RedisLayer::new, true).await;
}

#[channels::actix_web::test]
async fn the_core_layer_goes_on_with_the_master_that_the_sentinels_choose() {
    resumes_with_sentinels(RedisChannelLayer::new, true).await;
}

#[channels::actix_web::test]
async fn the_pubsub_layer_goes_on_with_the_master_that_the_sentinels_choose() {
    resumes_with_sentinels(RedisPubSubChannelLayer::new, false).await;
}

/// A process may learn by one of its connections that another node is the master, while the old one answers the others still.
async fn moves_as_a_whole<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>) {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let sentinel = Sentinel::of(&old);
    let options = RedisOptions::from(Host::sentinel([("127.0.0.1", sentinel.port)], "main"));
    let options = options.on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = Layer::new(make(options).unwrap());
    until_ready(&layer, true).await;
    let mut client = member(&layer).await;
    let reader = tokio::spawn({
        let layer = layer.clone();
        async move { layer.receive("work").await }
    });
    sentinel.names(&new);
    old.end_connections_that_wait_for_nothing();
    let told = async {
        while told(&mut client).await != "back" {
            send(&layer, 1).await;
        }
    };
    tokio::join!(send(&layer, 1), told);
    reaches_all(&layer, std::slice::from_mut(&mut client), &mut 1).await;
    assert_eq!(layer.group_size("room").await.unwrap(), 1);
    layer.send("work", event!({"type": "work"})).await.unwrap();
    assert_eq!(crate::support::within(reader).await.unwrap().unwrap().name(), "work");
    old.is_left();
}

#[channels::actix_web::test]
async fn our_own_layer_moves_to_another_master_as_a_whole() {
    moves_as_a_whole(RedisLayer::new).await;
}

#[channels::actix_web::test]
async fn the_core_layer_moves_to_another_master_as_a_whole() {
    moves_as_a_whole(RedisChannelLayer::new).await;
}

#[channels::actix_web::test]
async fn the_pubsub_layer_moves_to_another_master_as_a_whole() {
    moves_as_a_whole(RedisPubSubChannelLayer::new).await;
}

#[channels::actix_web::test]
async fn a_cluster_goes_on_without_the_master_that_has_the_group() {
    let mut cluster = SixNodes::start();
    let options = RedisOptions::from(cluster.url());
    let (key, has_chosen) = ("asgi:{room}:members", cluster.has_chosen("asgi:{room}:members"));
    resumes(options, RedisLayer::new, true, || cluster.kill_master_of(key), has_chosen).await;
}

#[channels::actix_web::test]
async fn a_group_goes_on_when_its_slot_moves() {
    let cluster = SixNodes::start();
    let options = RedisOptions::from(cluster.url()).lease(Duration::from_millis(600));
    let options = options.on_disconnect("broker.lost").on_reconnect("broker.back");
    let layer = || Layer::new(RedisLayer::new(options.clone()).unwrap());
    let (near, far) = (layer(), layer());
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    let mut members = [member(&near).await, member(&far).await];
    cluster.move_slot_of("asgi:{room}:members");
    for member in &mut members {
        while told(member).await != "back" {}
    }
    reaches_all(&near, &mut members, &mut 0).await;
    crate::support::within(async {
        while far.group_size("room").await.unwrap() != 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cluster_has_groups_and_named_channels_on_all_its_masters() {
    let cluster = SixNodes::start();
    let layer = || Layer::new(RedisLayer::new(cluster.url()).unwrap());
    let (near, far) = (layer(), layer());
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    // Groups and named channels in slots of all three masters.
    for n in 0..30 {
        let (group, named) = (format!("room-{n}"), format!("work-{n}"));
        let (mine, theirs) = (near.new_channel().await.unwrap(), far.new_channel().await.unwrap());
        near.group_add(group.as_str(), &mine).await.unwrap();
        far.group_add(group.as_str(), &theirs).await.unwrap();
        assert_eq!(near.group_size(group.as_str()).await.unwrap(), 2);
        let report = near.group_send(group.as_str(), event!({"type": "numbered", "n": n})).report().await.unwrap();
        assert_eq!((report.delivered, report.processes), (1, 1));
        near.send(&theirs, event!({"type": "direct"})).await.unwrap();
        near.send(named.as_str(), event!({"type": "work"})).await.unwrap();
        let got = [&near, &far];
        for (layer, channel) in got.into_iter().zip([&mine, &theirs]) {
            let event = crate::support::within(layer.receive(channel)).await.unwrap();
            assert_eq!(event.decode::<channels::RawEvent>().unwrap()["n"], n);
        }
        assert_eq!(crate::support::within(far.receive(&theirs)).await.unwrap().name(), "direct");
        assert_eq!(crate::support::within(far.receive(named.as_str())).await.unwrap().name(), "work");
        far.group_discard(group.as_str(), &theirs).await.unwrap();
        assert_eq!(far.group_channels(group.as_str()).await.unwrap(), [mine]);
    }
    near.flush().await.unwrap();
    assert_eq!(far.group_size("room-1").await.unwrap(), 0);
}
