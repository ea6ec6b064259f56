//! Logging in and out while something fails: the layer, the store, the backend.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use channels::{
    ChannelLayer, ChannelName, Envelope, GroupName, GroupReport, InMemoryChannelLayer, Layer, LayerError, Middleware,
    SendError,
    auth::AuthMiddlewareStack,
    layer::{Audience, Hub, LayerFuture},
    middleware::Sessions,
    testing::WebsocketCommunicator,
};

use super::{Doorman, Users};
use crate::{store::Store, support::DEADLINE};

/// The layer in memory; its groups can be neither joined nor left while it is told so.
#[derive(Clone, Default)]
struct Broken {
    inner: Arc<InMemoryChannelLayer>,
    joins: Arc<AtomicBool>,
    leaves: Arc<AtomicBool>,
}

impl Broken {
    fn check(&self, broken: &AtomicBool) -> Result<(), LayerError> {
        if broken.load(Ordering::SeqCst) {
            Err(LayerError::Broker { broker: "it".to_owned(), source: "out of order".into() })
        } else {
            Ok(())
        }
    }
}

impl ChannelLayer for Broken {
    fn hub(&self) -> &Hub {
        self.inner.hub()
    }

    fn send<'a>(&'a self, channel: &'a ChannelName, event: Arc<Envelope>) -> LayerFuture<'a, Result<(), SendError>> {
        self.inner.send(channel, event)
    }

    fn receive<'a>(&'a self, channel: &'a ChannelName) -> LayerFuture<'a, Result<Arc<Envelope>, LayerError>> {
        self.inner.receive(channel)
    }

    fn new_channel(&self) -> LayerFuture<'_, Result<ChannelName, LayerError>> {
        self.inner.new_channel()
    }

    fn group_add<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        Box::pin(async move {
            self.check(&self.joins)?;
            self.inner.group_add(group, channel).await
        })
    }

    fn group_discard<'a>(
        &'a self,
        group: &'a GroupName,
        channel: &'a ChannelName,
    ) -> LayerFuture<'a, Result<(), LayerError>> {
        Box::pin(async move {
            self.check(&self.leaves)?;
            self.inner.group_discard(group, channel).await
        })
    }

    fn group_send(&self, audience: Audience, event: Arc<Envelope>) -> LayerFuture<'_, Result<GroupReport, LayerError>> {
        self.inner.group_send(audience, event)
    }

    fn group_channels<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<Vec<ChannelName>, LayerError>> {
        self.inner.group_channels(group)
    }

    fn group_size<'a>(&'a self, group: &'a GroupName) -> LayerFuture<'a, Result<usize, LayerError>> {
        self.inner.group_size(group)
    }

    fn flush(&self) -> LayerFuture<'_, Result<(), LayerError>> {
        self.inner.flush()
    }
}

/// A socket of ann's, and what it depends on.
struct Case {
    layer: Broken,
    store: Store,
    socket: WebsocketCommunicator,
}

impl Case {
    async fn new() -> Self {
        let (layer, store, users) = (Broken::default(), Store::default(), Users::default());
        let doorman = users.clone();
        let stack = AuthMiddlewareStack::new(Sessions::new(store.sessions()), users);
        let mut socket = WebsocketCommunicator::new(stack.wrap(move || Doorman(doorman.clone())), "/?login=ann")
            .layers(Layer::new(layer.clone()))
            .timeout(DEADLINE);
        assert!(socket.connect().await.unwrap().accepted);
        Self { layer, store, socket }
    }

    async fn asks(&mut self, command: &str) -> String {
        self.socket.send_to(command).await.unwrap();
        self.socket.receive_text_from().await.unwrap()
    }

    /// Whose the connection is, whose the session, and which groups it is in.
    async fn is(&mut self, user: &str, session: &str, groups: &[&str]) {
        assert_eq!(self.asks("who").await, user);
        assert_eq!(self.asks("now").await, session);
        let groups: Vec<_> = groups.iter().map(|name| format!("channels.user.{name}")).collect();
        assert_eq!(self.asks("groups").await, format!("{groups:?}"));
    }
}

const BOB: &str = "bob@example.org";
const BOBS: &str = "bob_40example_2eorg";

#[channels::actix_web::test]
async fn a_login_that_cannot_join_the_users_group_changes_nothing() {
    let mut case = Case::new().await;
    let sessions = case.store.keys();
    case.layer.joins.store(true, Ordering::SeqCst);
    assert_eq!(case.asks("login bob@example.org").await, "broker `it` failed: out of order");
    case.is("ann", "ann", &["ann"]).await;
    assert_eq!(case.store.keys(), sessions);
}

#[channels::actix_web::test]
async fn a_login_that_cannot_be_saved_changes_nothing_and_is_not_saved_later() {
    let mut case = Case::new().await;
    assert_eq!(case.asks("put cart").await, "put");
    case.store.is_broken(true);
    assert!(case.asks("login bob@example.org").await.contains("out of order"));
    case.store.is_broken(false);
    case.is("ann", "ann", &["ann"]).await;
    assert_eq!(case.asks("keys").await, "_auth_user_hash _auth_user_id cart");
    case.socket.disconnect(1000).await.unwrap();
    let saved = case.store.all();
    assert!(saved.len() == 1 && saved[0]["_auth_user_id"] == r#""ann""# && saved[0]["cart"] == "1", "{saved:?}");
}

#[channels::actix_web::test]
async fn who_is_refused_while_they_log_in_leaves_the_connection_to_nobody() {
    let mut case = Case::new().await;
    assert!(case.asks("outdated bob@example.org").await.contains("logged out"));
    case.is("a stranger", "a stranger", &[]).await;
}

#[channels::actix_web::test]
async fn a_login_is_whole_though_the_former_users_group_cannot_be_left() {
    let mut case = Case::new().await;
    case.layer.leaves.store(true, Ordering::SeqCst);
    assert_eq!(case.asks("login bob@example.org").await, "in");
    case.is(BOB, BOB, &["ann", BOBS]).await;
}

#[channels::actix_web::test]
async fn a_token_whose_users_group_cannot_be_joined_changes_nothing() {
    let mut case = Case::new().await;
    case.layer.joins.store(true, Ordering::SeqCst);
    assert_eq!(case.asks("token bob@example.org:").await, "broker `it` failed: out of order");
    case.is("ann", "ann", &["ann"]).await;
}

#[channels::actix_web::test]
async fn a_logout_ends_the_session_though_the_users_group_cannot_be_left() {
    let mut case = Case::new().await;
    case.layer.leaves.store(true, Ordering::SeqCst);
    assert_eq!(case.asks("logout").await, "broker `it` failed: out of order");
    case.is("a stranger", "a stranger", &["ann"]).await;
    assert_eq!(case.store.keys(), [""; 0]);
}

#[channels::actix_web::test]
async fn a_stranger_who_logs_out_still_has_to_log_in_in_time() {
    let users = Users::default();
    let doorman = users.clone();
    let stack = AuthMiddlewareStack::new(Sessions::new(Store::default().sessions()), users);
    let mut socket =
        WebsocketCommunicator::new(stack.wrap(move || Doorman(doorman.clone())), "/?expect=300").timeout(DEADLINE);
    assert!(socket.connect().await.unwrap().accepted);
    socket.send_to("logout").await.unwrap();
    assert_eq!(socket.receive_text_from().await.unwrap(), "out");
    assert_eq!(socket.closed().await.unwrap().code.get(), 4501);
}
