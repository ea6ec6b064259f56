//! A crowd of long pollers in one room.

use std::time::Duration;

use channels::{Config, InMemoryChannelLayer, Layer, Transport::LongPoll, event, prelude::*};
use tokio::task::JoinSet;

use super::client::{Client, Heard, Kind};
use crate::support::{raise_file_limit, serve};

const POLLERS: usize = 1_000;
const BROADCASTS: usize = 100;

struct Member;

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        Ok(())
    }

    #[handler]
    fn count(event: &RawEvent) -> Result<Message> {
        Ok(event["n"].to_string().into())
    }
}

#[tokio::test]
async fn a_thousand_long_pollers_in_one_room_receive_each_of_a_hundred_broadcasts_exactly_once() {
    raise_file_limit();
    let routes = URLRouter::new([path("ws/", || Member).transports([LongPoll])]).unwrap();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let server = Server::new(ProtocolTypeRouter::new().websocket(routes)).layers(layer.clone());
    // Shorter than the patience of these tests, since it takes a while until the last is in; and long enough for a busy machine.
    let config = Config {
        poll_window: Duration::from_secs(15),
        handshake_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let server = serve(server.config(config).workers(2));
    let mut pollers = JoinSet::new();
    for _ in 0..POLLERS {
        let client = Client::open(Kind::Poll, server.address, "/ws/").await;
        pollers.spawn(receive_all(client));
    }
    for n in 0..BROADCASTS {
        let report = layer.group_send("room", event!({"type": "count", "n": n})).report().await.unwrap();
        assert_eq!(report.delivered, POLLERS);
        // The pollers are to poll between broadcasts, too.
        tokio::task::yield_now().await;
    }
    let mut polls = 0;
    while let Some(polled) = pollers.join_next().await {
        polls += polled.expect("each of them, once, in order");
    }
    assert!(polls >= POLLERS, "{polls}");
}

/// How often it had to poll.
async fn receive_all(mut client: Client) -> usize {
    let mut polls = 0;
    for n in 0..BROADCASTS {
        polls += usize::from(!client.has_heard());
        assert_eq!(client.hear().await, Heard::Text(n.to_string()));
    }
    // Nothing more comes.
    client.say("anything").await;
    client.close(1000, "").await;
    assert_eq!(client.hear().await, Heard::Closed(1000, String::new()));
    polls
}
