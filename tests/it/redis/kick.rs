//! A user's connections are ended wherever they are.

use std::sync::Mutex;

use channels::{
    Layer, Middleware,
    auth::{self, AuthMiddleware, AuthMiddlewareStack, Credentials, UserBackend, disconnect_user},
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions},
    middleware::Sessions,
    prelude::*,
    testing::{StubBroker, WebsocketCommunicator},
};

use super::{
    server::{prefix, shared},
    until_ready,
};
use crate::{store::Store, support::DEADLINE};

static BANNED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Everybody who says a name has it, unless it is banned.
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
        if BANNED.lock().unwrap().iter().any(|name| name == token) {
            return Ok(None);
        }
        Ok(Some(Credentials::new(token.to_owned())))
    }
}

#[derive(Default)]
struct Quiet;

#[consumer]
impl Consumer for Quiet {}

/// Logs in when it is opened, and out when it is told something.
#[derive(Default)]
struct Visit;

#[consumer]
impl Consumer for Visit {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        auth::login(cx, "ann".to_owned()).await
    }

    async fn receive(&mut self, cx: &mut Context, _: Text) -> Result<()> {
        let _ = auth::logout(cx).await;
        cx.send(format!("{:?}", cx.scope().user_id()))
    }
}

#[channels::actix_web::test]
async fn a_logout_ends_the_session_while_the_broker_is_away() {
    let (broker, store) = (StubBroker::default(), Store::default());
    let layer = Layer::new(RedisChannelLayer::new(RedisOptions::drivers([broker.driver()])).unwrap());
    until_ready(&layer, true).await;
    let app = AuthMiddlewareStack::new(Sessions::new(store.sessions()), Everybody).wrap(Visit::default);
    let mut client = WebsocketCommunicator::new(app, "/").layers(layer.clone()).timeout(DEADLINE);
    assert!(client.connect().await.unwrap().accepted);
    assert_eq!(store.keys().len(), 1);
    broker.stop();
    until_ready(&layer, false).await;
    client.send_to("out").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "None");
    assert_eq!(store.keys(), [""; 0]);
}

async fn connected(layer: &Layer, name: &str) -> WebsocketCommunicator {
    let app = AuthMiddleware::new(Everybody).wrap(Quiet::default);
    let mut client = WebsocketCommunicator::new(app, "/")
        .header(("authorization", format!("Bearer {name}")))
        .layers(layer.clone())
        .timeout(DEADLINE);
    assert!(client.connect().await.expect("it is answered").accepted);
    client
}

/// Puts everybody out while they come in, from another process.
struct Meanwhile(Layer);

impl Middleware for Meanwhile {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        BANNED.lock().unwrap().push(scope.user_id().expect("it is known").to_owned());
        let report = disconnect_user(&self.0, scope.user_id().unwrap()).await.expect("the broker is there");
        assert_eq!((report.delivered, report.processes), (0, 0), "nobody is in the group yet");
        Ok(scope)
    }
}

async fn who_is_put_out_elsewhere_while_they_come_in_is_refused(near: Layer, far: Layer) {
    let app = AuthMiddleware::new(Everybody).wrap(Meanwhile(far.clone()).wrap(Quiet::default));
    let name = format!("mallory{}", fastrand::u64(..));
    let mut client = WebsocketCommunicator::new(app, "/")
        .header(("authorization", format!("Bearer {name}")))
        .layers(near)
        .timeout(DEADLINE);
    assert_eq!(client.connect().await.expect("it is answered").status, 403);
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
async fn a_kick_reaches_the_other_process_over_the_own_layer_also_those_who_come_in() {
    let prefix = prefix();
    let layer =
        || Layer::new(RedisLayer::new(RedisOptions::hosts(shared().into_iter().take(1)).prefix(&prefix)).unwrap());
    every_connection_of_a_user_ends_and_no_other(layer(), layer()).await;
    who_is_put_out_elsewhere_while_they_come_in_is_refused(layer(), layer()).await;
}

#[channels::test]
async fn a_kick_reaches_the_other_process_over_channels_rediss_layer_also_those_who_come_in() {
    let prefix = prefix();
    let layer = || {
        Layer::new(RedisChannelLayer::new(RedisOptions::hosts(shared().into_iter().take(1)).prefix(&prefix)).unwrap())
    };
    every_connection_of_a_user_ends_and_no_other(layer(), layer()).await;
    who_is_put_out_elsewhere_while_they_come_in_is_refused(layer(), layer()).await;
}
