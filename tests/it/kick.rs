//! Who is put out while they come in does not get in.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix_session::Session;
use channels::{
    InMemoryChannelLayer, Layer, Server,
    actix_web::web,
    auth::{self, AuthMiddleware, AuthMiddlewareStack, Credentials, UserBackend},
    middleware::Sessions,
    prelude::*,
    testing::WebsocketCommunicator,
};

use crate::{
    store::Store,
    support::{Served, serve},
    visitor::Visitor,
};

/// Who may come in, by id. A token is an id.
#[derive(Clone, Default)]
struct Users {
    known: Arc<Mutex<HashSet<String>>>,
    /// Where whoever shows a token is put out, right behind it.
    bouncer: Option<Layer>,
    /// Consumers whose `connect` has run.
    connected: Arc<AtomicUsize>,
}

impl Users {
    fn of(names: &[&str]) -> Self {
        let users = Self::default();
        users.known.lock().unwrap().extend(names.iter().map(|name| (*name).to_owned()));
        users
    }

    /// As an application does it; nobody is reached.
    async fn put_out(&self, layer: &Layer, id: &str) {
        self.known.lock().unwrap().remove(id);
        assert_eq!(auth::disconnect_user(layer, id).await.unwrap().delivered, 0, "no connection of {id} is known yet");
    }
}

impl UserBackend for Users {
    type User = String;

    fn id(&self, user: &String) -> String {
        user.clone()
    }

    async fn get_user(&self, id: &str) -> Result<Option<String>> {
        Ok(self.known.lock().unwrap().get(id).cloned())
    }

    async fn verify_token(&self, token: &str) -> Result<Option<Credentials<String>>> {
        let user = self.get_user(token).await?;
        if let (Some(layer), Some(id)) = (&self.bouncer, &user) {
            self.put_out(layer, id).await;
        }
        Ok(user.map(Credentials::new))
    }
}

/// The same with tokens that are good for one time.
#[derive(Clone, Default)]
struct Tickets(Users, Arc<Mutex<HashSet<String>>>);

impl UserBackend for Tickets {
    type User = String;

    fn id(&self, user: &String) -> String {
        user.clone()
    }

    async fn get_user(&self, id: &str) -> Result<Option<String>> {
        self.0.get_user(id).await
    }

    async fn verify_token(&self, token: &str) -> Result<Option<Credentials<String>>> {
        if !self.1.lock().unwrap().insert(token.to_owned()) {
            return Ok(None);
        }
        self.0.verify_token(token).await
    }

    async fn still_holds(&self, _: &str, user: &String) -> Result<bool> {
        Ok(self.get_user(user).await?.is_some())
    }
}

/// What happens behind the back of a handshake: in front of the consumer, when it is known who it belongs to.
struct Meanwhile<F>(F);

impl<F: AsyncFn() + Send + Sync + 'static> Middleware for Meanwhile<F> {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        assert_eq!(scope.user_id(), Some("ann"));
        (self.0)().await;
        Ok(scope)
    }
}

/// Does as it is told with users.
struct Door(Users);

#[consumer]
impl Consumer for Door {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.0.connected.fetch_add(1, Ordering::SeqCst);
        if let Some(id) = cx.scope().query("login") {
            self.0.put_out(cx.layer(), &id).await;
            let refused = auth::login(cx, id).await.unwrap_err();
            cx.accept()?;
            cx.send(refused.to_string())?;
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(token): Text) -> Result<()> {
        let taken = auth::authenticate::<String>(cx, &token).await?;
        cx.send(format!("{taken} {:?} {:?}", cx.scope().user_id(), cx.groups()))
    }
}

fn layer() -> Layer {
    Layer::new(InMemoryChannelLayer::default())
}

/// Ann with a session, her socket, and what is done while it is opened: how it is refused, and whether `connect` ran.
async fn ann_comes_in(
    meanwhile: impl AsyncFn(&Store, &Users, &Layer) + Clone + Send + Sync + 'static,
) -> (Option<u16>, usize) {
    let (store, users, layer) = (Store::default(), Users::of(&["ann"]), layer());
    let sessions = store.sessions();
    let stack = AuthMiddlewareStack::new(Sessions::new(sessions.clone()), users.clone());
    let happens = {
        let (store, users, layer) = (store.clone(), users.clone(), layer.clone());
        Meanwhile(async move || meanwhile(&store, &users, &layer).await)
    };
    let door = users.clone();
    let app = (stack, happens).wrap(URLRouter::new([path("ws/", move || Door(door.clone()))]).unwrap());
    let connected = users.connected.clone();
    let app = ProtocolTypeRouter::new().websocket(app).http(move |config| {
        let users = users.clone();
        let login = move |session: Session| {
            let users = users.clone();
            async move { auth::view::login(&session, &users, &"ann".to_owned()).map_or("failed", |()| "in") }
        };
        config.service(web::scope("/page").wrap(sessions()).route("/login", web::get().to(login)));
    });
    let served: Served = serve(Server::new(app).layers(layer).workers(1));
    let mut visitor = Visitor::default();
    assert_eq!(visitor.get(served.address, "/page/login").await.body, "in");
    let refused = visitor.socket(&served, "/ws/").await.err().map(|status| status.as_u16());
    (refused, connected.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_logout_between_the_look_up_and_connect_refuses_the_handshake() {
    let logs_out = async |store: &Store, _: &Users, layer: &Layer| {
        store.expire();
        assert_eq!(auth::disconnect_user(layer, "ann").await.unwrap().delivered, 0);
    };
    let is_banned = async |_: &Store, users: &Users, layer: &Layer| users.put_out(layer, "ann").await;
    assert_eq!(ann_comes_in(logs_out).await, (Some(403), 0));
    assert_eq!(ann_comes_in(is_banned).await, (Some(403), 0));
    assert_eq!(ann_comes_in(async |store: &Store, _, _| store.is_broken(true)).await, (Some(500), 0));
    assert_eq!(ann_comes_in(async |_, _, _| ()).await, (None, 1));
}

async fn by_token(backend: impl UserBackend<User = String>, token: &str, layer: &Layer) -> u16 {
    let stack = (AuthMiddleware::new(backend), auth::require_auth::<String>());
    let app = stack.wrap(|| Door(Users::default()));
    let client = WebsocketCommunicator::new(app, "/").header(("Authorization", format!("Bearer {token}")));
    let mut client = client.layers(layer.clone());
    client.connect().await.unwrap().status.as_u16()
}

#[channels::test]
async fn who_is_put_out_right_behind_their_token_is_refused() {
    let layer = layer();
    let users = Users::of(&["ann", "bob", "eve"]);
    assert_eq!(by_token(users.clone(), "eve", &layer).await, 101);
    let bounced = Users { bouncer: Some(layer.clone()), ..users };
    assert_eq!(by_token(bounced.clone(), "ann", &layer).await, 403);
    let tickets = Tickets(bounced, Arc::default());
    assert_eq!(by_token(tickets, "bob", &layer).await, 403);
}

#[channels::test]
async fn a_token_may_be_good_for_one_time() {
    let (layer, tickets) = (layer(), Tickets(Users::of(&["ann"]), Arc::default()));
    assert_eq!(by_token(tickets.clone(), "ann", &layer).await, 101);
    assert_eq!(by_token(tickets, "ann", &layer).await, 401);
}

#[channels::test]
async fn who_is_put_out_while_their_first_message_is_checked_stays_who_they_were() {
    let layer = layer();
    let users = Users { bouncer: Some(layer.clone()), ..Users::of(&["ann", "bob"]) };
    let open = |users: Users, backend: Users| {
        let app = AuthMiddleware::new(backend).wrap(move || Door(users.clone()));
        WebsocketCommunicator::new(app, "/").layers(layer.clone())
    };
    let mut stranger = open(users.clone(), users.clone());
    stranger.connect().await.unwrap();
    stranger.send_to("ann").await.unwrap();
    assert_eq!(stranger.receive_text_from().await.unwrap(), "false None []");

    // Whoever is somebody already stays it, in their own group and no other.
    let calm = Users { bouncer: None, ..users.clone() };
    let mut bob = open(calm.clone(), calm.clone());
    bob.connect().await.unwrap();
    bob.send_to("bob").await.unwrap();
    let bobs = r#"Some("bob") ["channels.user.bob"]"#;
    assert_eq!(bob.receive_text_from().await.unwrap(), format!("true {bobs}"));
    bob.send_to("nobody").await.unwrap();
    assert_eq!(bob.receive_text_from().await.unwrap(), format!("false {bobs}"));
}

#[channels::test]
async fn a_login_of_somebody_who_was_put_out_says_so() {
    let layer = layer();
    let users = Users::of(&["ann"]);
    let door = users.clone();
    let sessions = Store::default().sessions();
    let app = AuthMiddlewareStack::new(Sessions::new(sessions), users).wrap(move || Door(door.clone()));
    let mut client = WebsocketCommunicator::new(app, "/?login=ann").layers(layer);
    client.connect().await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "user `ann` was logged out while they logged in");
    client.send_to("nobody").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "false None []");
}
