//! Membership is leased by its process, and a group message is one message of the broker for each.

use std::time::Duration;

use channels::{
    Layer, event,
    layer::redis::{RedisLayer, RedisOptions},
    testing::StubBroker,
};

use super::{node::Node, server::RedisServer, until_ready};
use crate::support::within;

const LEASE: Duration = Duration::from_millis(300);

async fn layer(broker: &StubBroker) -> Layer {
    let options = RedisOptions::drivers([broker.driver()]).lease(LEASE);
    let layer = Layer::new(RedisLayer::new(options).unwrap());
    until_ready(&layer, true).await;
    layer
}

#[tokio::test]
async fn members_of_a_process_that_dies_are_gone_with_its_lease_and_others_stay() {
    let broker = StubBroker::default();
    let (near, far) = (layer(&broker).await, layer(&broker).await);
    let (mine, theirs) = (near.new_channel().await.unwrap(), far.new_channel().await.unwrap());
    near.group_add("room", &mine).await.unwrap();
    far.group_add("room", &theirs).await.unwrap();
    assert_eq!(near.group_size("room").await.unwrap(), 2);

    // It says nothing to the broker: as after `kill -9`.
    drop(far);
    within(async {
        while near.group_size("room").await.unwrap() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // A living process renews its lease: it is a member still when several of them have passed.
    for _ in 0..4 {
        tokio::time::sleep(LEASE).await;
        assert_eq!(near.group_channels("room").await.unwrap(), std::slice::from_ref(&mine));
    }
    let left: Vec<_> = broker.set("asgi:{room}:members").into_iter().map(|(_, name)| name).collect();
    assert_eq!(left, [mine.as_bytes()], "the dead are taken out");
}

#[tokio::test]
async fn a_group_message_is_published_once_however_many_members_there_are() {
    let broker = StubBroker::default();
    let (near, far) = (layer(&broker).await, layer(&broker).await);
    for members in [1, 10, 100] {
        let group = format!("room-{members}");
        let mut mine = near.new_channel().await.unwrap();
        for _ in 0..members {
            for layer in [&far, &near] {
                mine = layer.new_channel().await.unwrap();
                layer.group_add(group.as_str(), &mine).await.unwrap();
            }
        }
        let before = broker.published();
        let report = near.group_send(group.as_str(), event!({"type": "numbered"})).report().await.unwrap();
        assert_eq!((report.delivered, report.processes), (members, 1));
        assert_eq!(broker.published() - before, 1);
        // Nor does it matter that somebody is left out.
        let send = near.group_send(group.as_str(), event!({"type": "numbered"})).except(&mine);
        let report = send.report().await.unwrap();
        assert_eq!((report.delivered, report.processes), (members - 1, 1));
        assert_eq!(broker.published() - before, 2);
    }
}

#[tokio::test]
async fn a_member_that_the_broker_has_lost_is_put_back() {
    let broker = StubBroker::default();
    let near = layer(&broker).await;
    let mine = near.new_channel().await.unwrap();
    near.group_add("room", &mine).await.unwrap();
    broker.driver().leave("asgi:{room}:members", vec![mine.to_string()]).await.unwrap();
    assert_eq!(near.group_size("room").await.unwrap(), 0);
    within(async {
        while near.group_size("room").await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// What the child does: it joins, and waits for its end.
#[tokio::test]
#[ignore = "the child of the next test"]
async fn a_node_that_will_be_killed() {
    let layer = Layer::new(RedisLayer::new(RedisOptions::from(Node::broker()).lease(Duration::from_secs(1))).unwrap());
    let channel = layer.new_channel().await.unwrap();
    layer.group_add("room", &channel).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn members_of_a_process_that_is_killed_are_gone_with_its_lease() {
    let server = RedisServer::start();
    let layer = Layer::new(RedisLayer::new(server.url()).unwrap());
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("room", &mine).await.unwrap();
    let node = Node::start("redis::lease::a_node_that_will_be_killed", &server);
    let becomes = async |size: usize| {
        within(async {
            while layer.group_size("room").await.unwrap() != size {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    becomes(2).await;
    node.kill();
    let killed = std::time::Instant::now();
    becomes(1).await;
    assert!(killed.elapsed() < Duration::from_secs(3), "the lease is a second");
    assert_eq!(layer.group_channels("room").await.unwrap(), [mine]);
}
