//! Many members in two processes, and many messages from both.

use channels::{
    ChannelLayer, Layer,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer},
    prelude::*,
    testing::WebsocketCommunicator,
};

use super::{
    server::{prefix, shared},
    until_ready,
};
use crate::support::DEADLINE;

/// Members of each process, and messages from each. The size that is promised takes three minutes for the three layers:
/// `CHANNELS_TEST_CROWD=500,5000 cargo test --all-features --test it redis::crowd -- --test-threads 1`.
fn size() -> (usize, usize) {
    let Ok(size) = std::env::var("CHANNELS_TEST_CROWD") else { return (50, 200) };
    let (members, messages) = size.split_once(',').expect("CHANNELS_TEST_CROWD=members,messages");
    (members.parse().expect("a number of members"), messages.parse().expect("a number of messages"))
}

#[derive(Serialize, Deserialize, Event)]
#[event("count")]
struct Count {
    sender: usize,
    n: usize,
}

struct Member;

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("room").await?;
        Ok(())
    }

    #[handler]
    fn count(event: &Count) -> Result<Message> {
        Ok(format!("{} {}", event.sender, event.n).into())
    }
}

/// Every member gets every message once, and those of one sender in order.
async fn all_get_all<L: ChannelLayer, E: std::fmt::Debug>(make: fn(RedisOptions) -> Result<L, E>) {
    let (members_each, messages) = size();
    let options = RedisOptions::from(shared()[0].as_str()).prefix(prefix()).capacity(2 * messages);
    let layers = [(); 2].map(|()| Layer::new(make(options.clone()).unwrap()));
    let mut members = Vec::new();
    for layer in &layers {
        until_ready(layer, true).await;
        for _ in 0..members_each {
            let mut client = WebsocketCommunicator::new(|| Member, "/").layers(layer.clone()).timeout(DEADLINE);
            assert!(client.connect().await.unwrap().accepted);
            members.push(client);
        }
    }
    let send = |sender: usize| {
        let layer = layers[sender].clone();
        async move {
            for n in 0..messages {
                let report = layer.group_send("room", Count { sender, n }).report().await.unwrap();
                assert_eq!(report.full, 0);
            }
        }
    };
    tokio::join!(send(0), send(1));
    for member in &mut members {
        let mut next = [0, 0];
        for _ in 0..2 * messages {
            let text = member.receive_text_from().await.unwrap();
            let (sender, n) = text.split_once(' ').unwrap();
            let (sender, n): (usize, usize) = (sender.parse().unwrap(), n.parse().unwrap());
            assert_eq!(n, next[sender], "of sender {sender}");
            next[sender] += 1;
        }
        assert_eq!(next, [messages; 2]);
    }
    for layer in &layers {
        assert_eq!(layer.dropped().full, 0);
    }
}

#[channels::actix_web::test]
async fn every_member_of_our_own_layer_gets_every_message_once_in_order() {
    all_get_all(RedisLayer::new).await;
}

#[channels::actix_web::test]
async fn every_member_of_the_core_layer_gets_every_message_once_in_order() {
    all_get_all(RedisChannelLayer::new).await;
}

#[channels::actix_web::test]
async fn every_member_of_the_pubsub_layer_gets_every_message_once_in_order() {
    all_get_all(RedisPubSubChannelLayer::new).await;
}
