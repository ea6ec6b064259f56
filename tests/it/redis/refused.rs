//! A broker that refuses who connects is tried at leisure, and the log says so once.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use channels::{
    ChannelLayer, Layer,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
};

use tokio::task::spawn_blocking;

use super::server::{RedisServer, prefix, wait_until};
use crate::logs;

async fn refuses<L: ChannelLayer, E: std::fmt::Debug>(
    make: fn(RedisOptions) -> Result<L, E>,
    credentials: &str,
    said: &str,
) {
    logs::keep();
    let broker = RedisServer::with(&["--requirepass", "right"]);
    let prefix = prefix();
    let url = format!("redis://{credentials}127.0.0.1:{}", broker.port);
    let _layer = Layer::new(make(RedisOptions::from(url.as_str()).prefix(prefix.as_str())).unwrap());
    let admin = format!("redis://:right@127.0.0.1:{}", broker.port);
    let admin = Mutex::new(redis::Client::open(admin).unwrap().get_connection().unwrap());
    let connections = move || {
        let stats: String = redis::cmd("INFO").arg("stats").query(&mut *admin.lock().unwrap()).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().parse::<usize>().unwrap()
    };
    let (begun, first) = (Instant::now(), connections());
    // Ten tries, and what is said once at the start: a probe, and that this process lives.
    let tried = move || wait_until("it is not tried again", || connections() >= first + 10 + 2);
    spawn_blocking(tried).await.unwrap();
    // The first tries are quick, later ones are about half a second apart: ten take 2.4 s at least.
    let (took, port) = (begun.elapsed(), broker.port.to_string());
    assert!(took > Duration::from_secs(2), "{took:?}: {:#?}", logs::with(&[&port]));
    let warnings = logs::with(&["WARN", said]);
    let own: Vec<_> = warnings.iter().filter(|line| line.contains(&prefix) || line.contains(&port)).collect();
    assert_eq!(own.len(), 1, "{own:#?}");
}

async fn without_a_password_or_with_a_wrong_one<L: ChannelLayer, E: std::fmt::Debug>(
    make: fn(RedisOptions) -> Result<L, E>,
) {
    tokio::join!(
        refuses(make, "", "Authentication required"),
        refuses(make, ":wrong@", "Password authentication failed"),
    );
}

#[tokio::test]
async fn our_own_layer_tries_a_broker_that_refuses_it_at_leisure() {
    without_a_password_or_with_a_wrong_one(RedisLayer::new).await;
}

#[tokio::test]
async fn the_core_layer_tries_a_broker_that_refuses_it_at_leisure() {
    // Without a password it keeps its connection.
    refuses(RedisChannelLayer::new, ":wrong@", "Password authentication failed").await;
}

#[tokio::test]
async fn the_pubsub_layer_tries_a_broker_that_refuses_it_at_leisure() {
    without_a_password_or_with_a_wrong_one(RedisPubSubChannelLayer::new).await;
}

#[tokio::test]
async fn a_broker_that_could_not_be_reached_and_then_refuses_is_logged_for_both() {
    logs::keep();
    let broker = RedisServer::with(&["--requirepass", "right"]);
    broker.freeze(true);
    let url = format!("redis://:wrong@127.0.0.1:{}", broker.port);
    let _layer = Layer::new(RedisLayer::new(RedisOptions::from(url).timeout(Duration::from_millis(100))).unwrap());
    let port = broker.port.to_string();
    logs::wait_for(&["WARN", &port, "cannot be reached"]).await;
    broker.freeze(false);
    logs::wait_for(&["WARN", &port, "Password authentication failed"]).await;
}
