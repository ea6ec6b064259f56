//! A user's connections are ended wherever they are.

use channels::{
    Layer, Middleware,
    auth::{AuthMiddleware, Credentials, UserBackend, disconnect_user},
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions},
    prelude::*,
    testing::WebsocketCommunicator,
};

use super::server::{prefix, shared};
use crate::support::DEADLINE;

/// Everybody who says a name has it.
struct Everybody;

impl UserBackend for Everybody {
    type User = String;

    fn id(&self, user: &String) -> String {
        user.clone()
    }

    async fn get_user(&self, id: &str) -> Result<Option<String>> {
        Ok(Some(id.to_owned()))
    }

    async fn verify_token(&self, token: &str) -> Result<Option<Credentials<String>>> {
        Ok(Some(Credentials::new(token.to_owned())))
    }
}

#[derive(Default)]
struct Quiet;

#[consumer]
impl Consumer for Quiet {}

async fn connected(layer: &Layer, name: &str) -> WebsocketCommunicator {
    let app = AuthMiddleware::new(Everybody).wrap(Quiet::default);
    let mut client = WebsocketCommunicator::new(app, "/")
        .header(("authorization", format!("Bearer {name}")))
        .layers(layer.clone())
        .timeout(DEADLINE);
    assert!(client.connect().await.expect("it is answered").accepted);
    client
}

async fn every_connection_of_a_user_ends_and_no_other(near: Layer, far: Layer) {
    let mut anns = [connected(&near, "ann").await, connected(&far, "ann").await];
    let mut bob = connected(&near, "bob").await;
    disconnect_user(&far, "ann").await.expect("the broker is there");
    for ann in &mut anns {
        assert_eq!(ann.closed().await.expect("she is told").code.get(), 4503);
    }
    assert!(bob.receive_nothing().await);
}

#[channels::test]
async fn a_kick_reaches_the_other_process_over_the_own_layer() {
    let prefix = prefix();
    let layer =
        || Layer::new(RedisLayer::new(RedisOptions::hosts(shared().into_iter().take(1)).prefix(&prefix)).unwrap());
    every_connection_of_a_user_ends_and_no_other(layer(), layer()).await;
}

#[channels::test]
async fn a_kick_reaches_the_other_process_over_channels_rediss_layer() {
    let prefix = prefix();
    let layer = || {
        Layer::new(RedisChannelLayer::new(RedisOptions::hosts(shared().into_iter().take(1)).prefix(&prefix)).unwrap())
    };
    every_connection_of_a_user_ends_and_no_other(layer(), layer()).await;
}
