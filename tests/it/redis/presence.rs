//! Who is here, when processes die and brokers go away. What every layer promises is in the suite.

use std::{
    thread,
    time::{Duration, Instant},
};

use channels::{
    Layer,
    layer::redis::{Host, RedisLayer, RedisOptions},
    testing::{StubBroker, WebsocketCommunicator},
};
use tokio::{sync::oneshot, task::spawn_blocking};

use super::{
    node::Node,
    server::{RedisServer, SixNodes, Trio, wait_until},
    until_ready,
};
use crate::{
    presence::{guest, listed, somebody, told},
    support::within,
};

/// Long enough for a busy machine not to take the living for dead.
const LEASE: Duration = Duration::from_secs(1);

async fn ready(options: RedisOptions) -> Layer {
    let layer = Layer::new(RedisLayer::new(options).unwrap());
    until_ready(&layer, true).await;
    layer
}

async fn stubbed(broker: &StubBroker) -> Layer {
    ready(RedisOptions::drivers([broker.driver()]).lease(LEASE)).await
}

/// A process of its own, as far as its broker can tell, in which these are present. It ends as by `kill -9`: nobody in it does
/// anything any more.
struct Mortal {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Mortal {
    fn start(broker: &StubBroker, present: &'static [&'static str]) -> Self {
        let (end, ended) = oneshot::channel();
        let broker = broker.clone();
        let thread = thread::spawn(move || {
            let remains = channels::run(async move {
                let layer = stubbed(&broker).await;
                let mut guests = Vec::new();
                for query in present {
                    guests.push(guest(&layer, query).await);
                }
                let _ = ended.await;
                (layer, guests)
            });
            drop(remains);
        });
        Self { end, thread }
    }

    fn die(self) {
        drop(self.end);
        self.thread.join().unwrap();
    }
}

/// Waits until this is who is present.
async fn becomes(layer: &Layer, expected: &[(String, Vec<String>)]) {
    within(async {
        while listed(layer).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Nobody comes or goes for a while.
async fn told_nothing(watchers: &mut [WebsocketCommunicator]) {
    for watcher in watchers {
        if !watcher.receive_nothing().await {
            panic!("told {}", told(watcher).await);
        }
    }
}

#[channels::actix_web::test]
async fn the_end_of_a_process_is_told_once_in_each_of_those_that_remain() {
    let broker = StubBroker::default();
    let (near, far) = (stubbed(&broker).await, stubbed(&broker).await);
    let mut watchers = [guest(&near, "").await, guest(&near, "").await, guest(&far, "").await];
    let _ada = guest(&near, "who=ada&kind=phone").await;
    let dies = Mortal::start(&broker, &["who=ada&kind=tablet", "who=bob&kind=phone"]);
    for watcher in &mut watchers {
        for expected in [r#"[["+ada"],0]"#, "[[],1]", r#"[["+bob"],0]"#] {
            assert_eq!(told(watcher).await, expected);
        }
    }
    dies.die();
    for watcher in &mut watchers {
        assert_eq!(told(watcher).await, r#"[["-bob"],1]"#, "and one device less of Ada's");
    }
    for layer in [&near, &far, &stubbed(&broker).await] {
        assert_eq!(listed(layer).await, [somebody("ada", &["phone"])]);
    }
    // Several leases later nothing else has happened: the living are alive.
    tokio::time::sleep(2 * LEASE).await;
    told_nothing(&mut watchers).await;
}

#[channels::actix_web::test]
async fn what_a_process_did_not_hear_it_finds_out_and_tells_once() {
    let broker = StubBroker::default();
    let (near, far) = (stubbed(&broker).await, stubbed(&broker).await);
    let mut watchers = [guest(&near, "").await];
    let ada = guest(&far, "who=ada&kind=phone").await;
    assert_eq!(told(&mut watchers[0]).await, r#"[["+ada"],0]"#);
    broker.mute(true);
    ada.disconnect(1000).await.unwrap();
    let _bob = guest(&far, "who=bob&kind=phone").await;
    let _cleo = guest(&far, "who=cleo&kind=phone").await;
    broker.mute(false);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (changes, _): (Vec<String>, usize) = serde_json::from_str(&told(&mut watchers[0]).await).unwrap();
        seen.extend(changes);
    }
    seen.sort();
    assert_eq!(seen, ["+bob", "+cleo", "-ada"]);
    tokio::time::sleep(LEASE).await;
    told_nothing(&mut watchers).await;
}

#[channels::actix_web::test]
async fn a_process_that_dies_with_the_broker_is_gone_a_lease_after_its_return_and_nobody_else_is() {
    let broker = StubBroker::default();
    let (near, far) = (stubbed(&broker).await, stubbed(&broker).await);
    let mut watchers = [guest(&near, "").await, guest(&far, "").await];
    let _ada = guest(&near, "who=ada&kind=phone").await;
    let _bob = guest(&far, "who=bob&kind=phone").await;
    let dies = Mortal::start(&broker, &["who=cleo&kind=phone"]);
    for watcher in &mut watchers {
        for expected in [r#"[["+ada"],0]"#, r#"[["+bob"],0]"#, r#"[["+cleo"],0]"#] {
            assert_eq!(told(watcher).await, expected);
        }
    }
    broker.stop(); // with all that it knew
    dies.die();
    broker.start();
    for watcher in &mut watchers {
        assert_eq!(told(watcher).await, r#"[["-cleo"],0]"#);
    }
    for layer in [&near, &far, &stubbed(&broker).await] {
        assert_eq!(listed(layer).await, [somebody("ada", &["phone"]), somebody("bob", &["phone"])]);
    }
    told_nothing(&mut watchers).await;
}

#[channels::actix_web::test]
async fn a_join_is_published_once_however_many_are_present() {
    let broker = StubBroker::default();
    let (near, far) = (stubbed(&broker).await, stubbed(&broker).await);
    let mut present = Vec::new();
    for size in [1, 10, 50] {
        while present.len() < size {
            let layer = if present.len() % 2 == 0 { &near } else { &far };
            present.push(guest(layer, &format!("who=p{}&kind=phone", present.len())).await);
        }
        let (layer, before) = (Layer::clone(&near), broker.published());
        let late = guest(&layer, "who=late&kind=phone").await;
        // Probes are published every 10 s; this takes less.
        assert!(broker.published() - before <= 2, "{size}");
        late.disconnect(1000).await.unwrap();
    }
}

/// What the child does: two connections are present, and wait for their end.
#[channels::actix_web::test]
#[ignore = "the child of the next test"]
async fn a_node_that_will_be_killed() {
    let layer = ready(RedisOptions::from(Node::broker()).lease(Duration::from_secs(2))).await;
    let _here = (guest(&layer, "who=ada&kind=tablet").await, guest(&layer, "who=bob&kind=phone").await);
    std::future::pending::<()>().await;
}

#[channels::actix_web::test]
async fn who_was_in_a_process_that_is_killed_is_gone_with_its_lease() {
    let server = RedisServer::start();
    let (near, far) = (ready(server.url().into()).await, ready(server.url().into()).await);
    let mut watchers = [guest(&near, "").await, guest(&far, "").await];
    let _ada = guest(&near, "who=ada&kind=phone").await;
    let node = Node::start("redis::presence::a_node_that_will_be_killed", &server);
    for watcher in &mut watchers {
        for expected in [r#"[["+ada"],0]"#, "[[],1]", r#"[["+bob"],0]"#] {
            assert_eq!(told(watcher).await, expected);
        }
    }
    node.kill();
    let killed = Instant::now();
    let elsewhere = ready(server.url().into()).await;
    becomes(&elsewhere, &[somebody("ada", &["phone"])]).await;
    assert!(killed.elapsed() < Duration::from_secs(3), "the lease is two seconds, not {:?}", killed.elapsed());
}

#[channels::actix_web::test]
async fn members_are_told_of_a_killed_process_when_its_lease_ends() {
    let server = RedisServer::start();
    let lease = Duration::from_secs(2);
    let options = || RedisOptions::from(server.url()).lease(lease);
    let (near, far) = (ready(options()).await, ready(options()).await);
    let mut watchers = [guest(&near, "").await, guest(&far, "").await];
    let node = Node::start("redis::presence::a_node_that_will_be_killed", &server);
    for watcher in &mut watchers {
        assert_eq!([told(watcher).await, told(watcher).await], [r#"[["+ada"],0]"#, r#"[["+bob"],0]"#]);
    }
    node.kill();
    let killed = Instant::now();
    for watcher in &mut watchers {
        let (mut went, _): (Vec<String>, usize) = serde_json::from_str(&told(watcher).await).unwrap();
        went.sort();
        assert_eq!(went, ["-ada", "-bob"], "both at once");
    }
    assert!(killed.elapsed() < lease + Duration::from_secs(1), "after {:?}", killed.elapsed());
    assert!(listed(&near).await.is_empty() && listed(&far).await.is_empty());
    told_nothing(&mut watchers).await;
}

/// Two processes with Ada on two devices and Bob, and one who only watches in each.
async fn met(near: &Layer, far: &Layer) -> ([WebsocketCommunicator; 2], [WebsocketCommunicator; 3]) {
    let mut watchers = [guest(near, "").await, guest(far, "").await];
    let present = [
        guest(near, "who=ada&kind=phone").await,
        guest(far, "who=ada&kind=tablet").await,
        guest(far, "who=bob&kind=phone").await,
    ];
    for watcher in &mut watchers {
        for expected in [r#"[["+ada"],0]"#, "[[],1]", r#"[["+bob"],0]"#] {
            assert_eq!(told(watcher).await, expected);
        }
    }
    (watchers, present)
}

#[channels::actix_web::test]
async fn presence_is_right_without_doubles_after_a_broker_was_killed_and_restarted() {
    let mut server = RedisServer::start();
    let options = || RedisOptions::from(server.url()).timeout(Duration::from_secs(1));
    let (near, far) = (ready(options()).await, ready(options()).await);
    let (mut watchers, [phone, tablet, bob]) = met(&near, &far).await;
    let everybody = [somebody("ada", &["phone", "tablet"]), somebody("bob", &["phone"])];
    for _ in 0..2 {
        server.kill();
        for layer in [&near, &far] {
            until_ready(layer, false).await;
            assert_eq!(listed(layer).await, everybody, "what was known is known");
        }
        server.restart();
        for layer in [&near, &far] {
            until_ready(layer, true).await;
        }
        let outside = ready(RedisOptions::from(server.url())).await;
        becomes(&outside, &everybody).await;
        for layer in [&near, &far] {
            assert_eq!(listed(layer).await, everybody);
        }
        told_nothing(&mut watchers).await;
    }

    // Who leaves while the broker is away has left: here at once, elsewhere when it is back.
    server.kill();
    until_ready(&far, false).await;
    bob.disconnect(1000).await.unwrap();
    assert_eq!(told(&mut watchers[1]).await, r#"[["-bob"],0]"#);
    tablet.disconnect(1000).await.unwrap();
    assert_eq!(told(&mut watchers[1]).await, "[[],1]");
    assert_eq!(listed(&far).await, [somebody("ada", &["phone"])]);
    server.restart();
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    let _cleo = guest(&far, "who=cleo&kind=phone").await;
    assert_eq!(told(&mut watchers[1]).await, r#"[["+cleo"],0]"#);
    assert_eq!(told(&mut watchers[0]).await, r#"[["+cleo"],0]"#);
    let outside = ready(RedisOptions::from(server.url())).await;
    becomes(&outside, &[somebody("ada", &["phone"]), somebody("cleo", &["phone"])]).await;
    phone.disconnect(1000).await.unwrap();
}

async fn survives_a_failover(
    options: RedisOptions,
    kill: impl FnOnce(),
    has_chosen: impl Fn() -> bool + Send + 'static,
) {
    let options = options.timeout(Duration::from_secs(1)).lease(Duration::from_secs(15));
    let (near, far) = (ready(options.clone()).await, ready(options.clone()).await);
    let (mut watchers, _present) = met(&near, &far).await;
    kill();
    until_ready(&near, false).await;
    // On a busy machine it takes more than one vote.
    spawn_blocking(move || wait_until("no other master is chosen", has_chosen)).await.unwrap();
    until_ready(&near, true).await;
    until_ready(&far, true).await;
    let everybody = [somebody("ada", &["phone", "tablet"]), somebody("bob", &["phone"])];
    let outside = ready(options).await;
    for layer in [&near, &far, &outside] {
        becomes(layer, &everybody).await;
    }
    told_nothing(&mut watchers).await;
    let _cleo = guest(&near, "who=cleo&kind=phone").await;
    for watcher in &mut watchers {
        assert_eq!(told(watcher).await, r#"[["+cleo"],0]"#);
    }
}

#[channels::actix_web::test]
async fn presence_goes_on_with_the_master_that_the_sentinels_choose() {
    let mut trio = Trio::start();
    let host = Host::sentinel(trio.sentinels.iter().map(|sentinel| ("127.0.0.1", sentinel.port)), "main");
    let has_chosen = trio.has_chosen();
    let kill = || {
        trio.master.is_replicated("written", 2);
        trio.master.kill();
    };
    survives_a_failover(RedisOptions::from(host), kill, has_chosen).await;
}

#[channels::actix_web::test]
async fn presence_in_a_cluster_goes_on_without_the_master_that_has_the_group() {
    let mut cluster = SixNodes::start();
    let options = RedisOptions::from(cluster.url());
    let (key, has_chosen) = ("asgi:{room}:members", cluster.has_chosen("asgi:{room}:members"));
    let kill = || {
        let master = cluster.master_of(key);
        master.is_replicated("{room}", 1);
        master.kill();
    };
    survives_a_failover(options, kill, has_chosen).await;
}
