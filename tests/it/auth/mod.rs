//! Who a connection belongs to.

mod failing;
mod tokens;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use actix_session::Session;
use channels::{
    InMemoryChannelLayer, Layer, Server,
    actix_web::{http::StatusCode, web},
    auth::{self, AuthMiddleware, AuthMiddlewareStack, Credentials, UserBackend, require_auth},
    event::CloseConnection,
    middleware::Sessions,
    prelude::*,
    testing::WebsocketCommunicator,
};

use crate::{
    logs,
    store::Store,
    support::{Served, Socket, serve},
    visitor::Visitor,
};

#[derive(Clone)]
struct User {
    id: String,
    password: String,
}

/// Users by their id. `ann:300` is a token of ann's that holds for 300 ms, `ann:` one that holds for good.
#[derive(Clone)]
struct Users(Arc<Mutex<HashMap<String, User>>>);

impl Default for Users {
    fn default() -> Self {
        let user = |id: &str| (id.to_owned(), User { id: id.to_owned(), password: "old".to_owned() });
        Self(Arc::new(Mutex::new([user("ann"), user("bob@example.org")].into())))
    }
}

impl UserBackend for Users {
    type User = User;

    fn id(&self, user: &User) -> String {
        user.id.clone()
    }

    async fn get_user(&self, id: &str) -> Result<Option<User>> {
        if id == "trouble" {
            return Err(channels::Error::msg("no database"));
        }
        Ok(self.0.lock().unwrap().get(id).cloned())
    }

    async fn verify_token(&self, token: &str) -> Result<Option<Credentials<User>>> {
        let Some((id, holds)) = token.split_once(':') else { return Ok(None) };
        let Some(user) = self.get_user(id).await? else { return Ok(None) };
        let credentials = Credentials::new(user);
        Ok(Some(match holds.parse() {
            Ok(millis) => credentials.until(SystemTime::now() + Duration::from_millis(millis)),
            Err(_) => credentials,
        }))
    }

    fn session_auth_hash(&self, user: &User) -> Option<String> {
        Some(format!("mac of {}", user.password))
    }
}

/// Tells its client who it is, and does as it is told.
struct Doorman(Users);

#[consumer]
impl Consumer for Doorman {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if let Some(id) = cx.scope().query("login") {
            let user = self.0.get_user(&id).await?.unwrap();
            auth::login(cx, user).await?;
        }
        if let Some(millis) = cx.scope().query("expect") {
            auth::expect_login(cx, Duration::from_millis(millis.parse()?));
        }
        match cx.scope().subprotocols().first().cloned() {
            Some(offered) => cx.accept_with(Accept::new().subprotocol(offered))?,
            None => cx.accept()?,
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(command): Text) -> Result<()> {
        let answer = match command.split_once(' ').unwrap_or((&command, "")) {
            ("who", _) => name(cx.scope().user::<User>()),
            ("now", _) => name(auth::get_user::<User>(cx.scope()).await?.as_ref()),
            ("offered", _) => {
                let headers = cx.scope().headers().get_all("Sec-WebSocket-Protocol").collect::<Vec<_>>().join(",");
                format!("{:?} {headers}", cx.scope().subprotocols())
            }
            ("token", token) => told(auth::authenticate::<User>(cx, token).await),
            ("login", id) => {
                let user = self.0.get_user(id).await?.unwrap();
                told(auth::login(cx, user).await.map(|()| "in"))
            }
            // Somebody whose password is changed while they log in.
            ("outdated", id) => {
                let user = User { id: id.to_owned(), password: "older".to_owned() };
                told(auth::login(cx, user).await.map(|()| "in"))
            }
            ("logout", _) => told(auth::logout(cx).await.map(|()| "out")),
            ("keys", _) => cx.scope().session()?.keys().join(" "),
            ("put", key) => cx.scope().session()?.insert(key, 1).map(|()| "put".to_owned())?,
            ("groups", _) => format!("{:?}", cx.groups().iter().map(|group| group.as_str()).collect::<Vec<_>>()),
            ("fail", _) => return Err(channels::Error::msg("as it was told")),
            other => format!("{other:?}?"),
        };
        cx.send(answer)?;
        Ok(())
    }
}

fn told(result: Result<impl ToString>) -> String {
    result.map_or_else(|error| error.to_string(), |done| done.to_string())
}

fn name(user: Option<&User>) -> String {
    user.map_or_else(|| "a stranger".to_owned(), |user| user.id.clone())
}

struct House {
    served: Served,
    layer: Layer,
    users: Users,
    store: Store,
}

impl House {
    fn new() -> Self {
        let (store, users) = (Store::default(), Users::default());
        let layer = Layer::from(InMemoryChannelLayer::default());
        let sessions = store.sessions();
        let doorman = {
            let users = users.clone();
            move || Doorman(users.clone())
        };
        let routes = [path("ws/", doorman.clone()), path("private/", require_auth::<User>().wrap(doorman))];
        let stack = AuthMiddlewareStack::new(Sessions::new(sessions.clone()), users.clone());
        let app = ProtocolTypeRouter::new().websocket(stack.wrap(URLRouter::new(routes).unwrap()));
        let (backend, to_end) = (users.clone(), layer.clone());
        let app = app.http(move |config| {
            let (users, layer) = (backend.clone(), to_end.clone());
            let who = users.clone();
            let login = move |session: Session, id: web::Path<String>| {
                let users = users.clone();
                async move {
                    let user = users.get_user(&id).await.unwrap().unwrap();
                    auth::view::login(&session, &users, &user).unwrap();
                    "in"
                }
            };
            let backend = who.clone();
            let login_for_a_while = move |session: Session, id: web::Path<String>| {
                let users = backend.clone();
                async move {
                    let user = users.get_user(&id).await.unwrap().unwrap();
                    let expires = SystemTime::now() + Duration::from_secs(2);
                    auth::view::login_until(&session, &users, &user, expires).unwrap();
                    "in"
                }
            };
            let logout = move |session: Session| {
                let layer = layer.clone();
                async move {
                    let id = auth::view::logout(&session).unwrap_or_default();
                    auth::disconnect_user(&layer, &id).await.unwrap().delivered.to_string()
                }
            };
            let whoami = move |session: Session| {
                let users = who.clone();
                async move { name(auth::view::get_user(&session, &users).await.unwrap().as_ref()) }
            };
            let pages = web::scope("/page")
                .wrap(sessions())
                .route("/login/{id}", web::get().to(login))
                .route("/login-for-a-while/{id}", web::get().to(login_for_a_while))
                .route("/logout", web::get().to(logout))
                .route("/who", web::get().to(whoami));
            config.service(pages);
        });
        let served = serve(Server::new(app).layers(layer.clone()).workers(2));
        Self { served, layer, users, store }
    }

    async fn page(&self, visitor: &mut Visitor, path: &str) -> String {
        visitor.get(self.served.address, path).await.body
    }

    async fn socket(&self, visitor: &mut Visitor) -> Socket {
        visitor.socket(&self.served, "/ws/").await.unwrap()
    }

    async fn socket_with(&self, headers: &[(&'static str, &str)]) -> Result<Socket, StatusCode> {
        let answer = Visitor::default().socket_with(&self.served, "/private/", headers).await;
        answer.map_err(|status| StatusCode::from_u16(status.as_u16()).unwrap())
    }
}

async fn asked(socket: &mut Socket, command: &str) -> String {
    socket.send(command).await;
    socket.text().await
}

#[tokio::test]
async fn who_logged_in_on_a_page_is_known_to_a_consumer() {
    let house = House::new();
    let mut visitor = Visitor::default();
    let mut before = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut before, "who").await, "a stranger");
    house.page(&mut visitor, "/page/login/ann").await;
    let mut socket = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut socket, "who").await, "ann");
    assert_eq!(asked(&mut socket, "now").await, "ann");
    assert_eq!(asked(&mut socket, "groups").await, r#"["channels.user.ann"]"#);
    assert_eq!(asked(&mut before, "who").await, "a stranger", "each connection is somebody of its own");
}

#[tokio::test]
async fn who_logs_in_while_the_handshake_is_open_is_logged_in_on_the_pages() {
    let house = House::new();
    let mut visitor = Visitor::default();
    let mut socket = visitor.socket(&house.served, "/ws/?login=ann").await.unwrap();
    assert_eq!(asked(&mut socket, "who").await, "ann");
    assert_eq!(house.page(&mut visitor, "/page/who").await, "ann");
}

#[tokio::test]
async fn another_user_gets_a_new_session_and_nothing_of_the_old_one() {
    let house = House::new();
    let mut visitor = Visitor::default();
    house.page(&mut visitor, "/page/login/ann").await;
    let before = house.store.keys();
    let mut socket = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut socket, "put cart").await, "put");
    assert_eq!(asked(&mut socket, "login ann").await, "in");
    assert_eq!(asked(&mut socket, "keys").await, "_auth_user_hash _auth_user_id cart");
    let again = house.store.keys();
    assert!(again.len() == 1 && again != before, "a login moves the session to a new key");
    assert_eq!(asked(&mut socket, "login bob@example.org").await, "in");
    assert_eq!(asked(&mut socket, "keys").await, "_auth_user_hash _auth_user_id");
    assert!(house.store.keys().len() == 1 && house.store.keys() != again);
    assert_eq!(asked(&mut socket, "who").await, "bob@example.org");
    assert_eq!(asked(&mut socket, "groups").await, r#"["channels.user.bob_40example_2eorg"]"#);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_is_harmless_for_strangers() {
    let house = House::new();
    let mut visitor = Visitor::default();
    house.page(&mut visitor, "/page/login/ann").await;
    let mut socket = house.socket(&mut visitor).await;
    for _ in 0..2 {
        assert_eq!(asked(&mut socket, "logout").await, "out");
        assert_eq!(asked(&mut socket, "who").await, "a stranger");
        assert_eq!(asked(&mut socket, "groups").await, "[]");
    }
    assert_eq!(house.store.keys(), [""; 0]);
    assert_eq!(house.page(&mut visitor, "/page/who").await, "a stranger");
}

#[tokio::test]
async fn a_logout_on_a_page_closes_the_sockets_of_this_user_and_no_others() {
    let house = House::new();
    let (mut ann, mut bob) = (Visitor::default(), Visitor::default());
    house.page(&mut ann, "/page/login/ann").await;
    house.page(&mut bob, "/page/login/bob@example.org").await;
    let mut anns = [house.socket(&mut ann).await, house.socket(&mut ann).await];
    let mut bobs = house.socket(&mut bob).await;
    assert_eq!(house.page(&mut ann, "/page/logout").await, "2");
    for socket in &mut anns {
        assert_eq!(socket.closed().await, (4503, "logged out".to_owned()));
    }
    assert_eq!(asked(&mut bobs, "who").await, "bob@example.org");
    assert_eq!(ann.socket(&house.served, "/private/").await.err().map(|status| status.as_u16()), Some(401));
}

#[tokio::test]
async fn a_kick_does_not_wait_behind_a_consumer_that_is_busy() {
    struct Busy;
    #[consumer]
    impl Consumer for Busy {
        async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
            cx.send("busy")?;
            std::future::pending().await
        }
    }
    let layer = Layer::from(InMemoryChannelLayer::default().capacity(1));
    let stack = AuthMiddleware::new(Users::default()).wrap(|| Busy);
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", stack)]).unwrap());
    let served = serve(Server::new(app).layers(layer.clone()).workers(1));
    let bearer = [("authorization", "Bearer ann:")];
    let mut socket = Visitor::default().socket_with(&served, "/ws/", &bearer).await.unwrap();
    socket.send("x").await;
    assert_eq!(socket.text().await, "busy");
    for _ in 0..3 {
        layer.group_send("channels.user.ann", channels::event!({"type": "x"})).await.unwrap();
    }
    auth::disconnect_user(&layer, "ann").await.unwrap();
    assert_eq!(socket.closed().await, (4503, "logged out".to_owned()));
}

#[tokio::test]
async fn an_event_as_another_language_writes_it_closes_connections_too() {
    let house = House::new();
    let mut visitor = Visitor::default();
    house.page(&mut visitor, "/page/login/ann").await;
    let mut socket = house.socket(&mut visitor).await;
    let broken = channels::event!({"type": "channels.close", "code": "many"});
    house.layer.group_send("channels.user.ann", broken).await.unwrap();
    assert_eq!(asked(&mut socket, "who").await, "ann");
    let event = channels::event!({"type": "channels.close", "code": 4000});
    house.layer.group_send("channels.user.ann", event).await.unwrap();
    assert_eq!(socket.closed().await, (4000, String::new()));
    assert_eq!(CloseConnection::new(4503, "x").code, 4503);
}

#[tokio::test]
async fn a_login_for_a_while_ends_its_sockets_and_is_a_strangers_then() {
    let house = House::new();
    let mut visitor = Visitor::default();
    house.page(&mut visitor, "/page/login-for-a-while/ann").await;
    let mut socket = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut socket, "who").await, "ann");
    assert_eq!(socket.closed().await.0, 4501);
    assert_eq!(house.page(&mut visitor, "/page/who").await, "a stranger");
    let mut socket = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut socket, "who").await, "a stranger");
}

#[tokio::test]
async fn a_session_from_before_a_new_password_or_of_a_user_who_is_gone_is_a_strangers() {
    let house = House::new();
    let mut visitor = Visitor::default();
    house.page(&mut visitor, "/page/login/ann").await;
    let mut socket = house.socket(&mut visitor).await;
    house.users.0.lock().unwrap().get_mut("ann").unwrap().password = "new".to_owned();
    assert_eq!(asked(&mut socket, "now").await, "a stranger");
    assert_eq!(asked(&mut socket, "who").await, "ann", "who it was when they came in");
    let mut other = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut other, "who").await, "a stranger");
    house.page(&mut visitor, "/page/login/ann").await;
    house.users.0.lock().unwrap().remove("ann");
    let mut other = house.socket(&mut visitor).await;
    assert_eq!(asked(&mut other, "who").await, "a stranger");
}

#[test]
fn what_needs_a_middleware_says_which_and_where_it_goes() {
    logs::keep();
    channels::run(async {
        // No `AuthMiddleware`.
        let make = || Doorman(Users::default());
        let mut client = WebsocketCommunicator::new(make, "/");
        client.connect().await.unwrap();
        client.send_to("login ann").await.unwrap();
        let said = client.receive_text_from().await.unwrap();
        assert!(said.starts_with("the scope knows no users of type `it::auth::User`: put the middleware"), "{said}");
        assert!(said.contains("AuthMiddlewareStack::new(sessions, backend).wrap(URLRouter::new(…)?)"), "{said}");

        // No `Sessions`.
        let mut client = WebsocketCommunicator::new(AuthMiddleware::new(Users::default()).wrap(make), "/");
        client.connect().await.unwrap();
        client.send_to("login ann").await.unwrap();
        let said = client.receive_text_from().await.unwrap();
        assert!(
            said.starts_with("the scope has no session: put the middleware `Sessions` around the routes"),
            "{said}"
        );

        // One for other users than those who are to be let in.
        let other = require_auth::<String>().wrap(make);
        let mut client = WebsocketCommunicator::new(AuthMiddleware::new(Users::default()).wrap(other), "/other-users/");
        assert_eq!(client.connect().await.unwrap().status, 500);
        logs::wait_for(&["ERROR nobody can be let in", "`alloc::string::String` (but of type", "/other-users/"]).await;

        // Neither, where somebody must be logged in: nobody is let in, and the log says it once.
        let mut private = ProtocolTypeRouter::new();
        private = private.websocket(require_auth::<User>().wrap(make));
        for _ in 0..2 {
            let mut client = WebsocketCommunicator::new(private.clone(), "/no-middleware/");
            assert_eq!(client.connect().await.unwrap().status, 401);
        }
        let said = logs::with(&["nobody was let in so far", "put the middleware `AuthMiddleware`", "/no-middleware/"]);
        assert_eq!(said.len(), 1, "{said:?}");
    });
}

#[channels::test]
async fn strangers_are_401_behind_a_middleware_of_ones_own_too() {
    struct RemoteUser;

    impl Middleware for RemoteUser {
        async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
            if let Some(name) = scope.header("X-Remote-User").map(str::to_owned) {
                let user = User { id: name.clone(), password: String::new() };
                scope.set_user(name, user).map_err(|_| Deny::forbidden())?;
            }
            Ok(scope)
        }
    }

    let app = || (RemoteUser, require_auth::<User>()).wrap(|| Doorman(Users::default()));
    let answer = WebsocketCommunicator::new(app(), "/").connect().await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers.get("WWW-Authenticate")), (401, Some("Bearer")));
    let mut client = WebsocketCommunicator::new(app(), "/").header(("X-Remote-User", "dora"));
    assert!(client.connect().await.unwrap().accepted);
    client.send_to("who").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "dora");
}

#[channels::test]
async fn a_test_or_a_middleware_says_who_a_connection_belongs_to() {
    let layer = Layer::from(InMemoryChannelLayer::default());
    let private = || require_auth::<User>().wrap(|| Doorman(Users::default()));
    let mut client = WebsocketCommunicator::new(private(), "/").layers(layer.clone());
    let carl = User { id: "carl".to_owned(), password: String::new() };
    client.scope_mut().set_user("carl", carl.clone()).unwrap();
    assert!(client.connect().await.unwrap().accepted);
    client.send_to("who").await.unwrap();
    assert_eq!(client.receive_text_from().await.unwrap(), "carl");
    assert_eq!(auth::disconnect_user(&layer, "carl").await.unwrap().delivered, 1);
    assert_eq!(client.closed().await.unwrap().code.get(), 4503);

    // Inside of the middleware that knows users, he is asked for there.
    let stack = (AuthMiddleware::new(Users::default()), SetsUser(carl));
    let mut client = WebsocketCommunicator::new(stack.wrap(private()), "/");
    assert!(client.connect().await.unwrap().accepted);
    for (command, answer) in [("who", "carl"), ("now", "a stranger"), ("token ann:", "true"), ("who", "ann")] {
        client.send_to(command).await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), answer);
    }
    let error = Scope::websocket("/").set_user("x".repeat(86), ()).unwrap_err();
    assert!(error.to_string().contains("99"), "{error}");
}

struct SetsUser(User);

impl Middleware for SetsUser {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        scope.set_user(&self.0.id, self.0.clone()).unwrap();
        Ok(scope)
    }
}

#[test]
fn a_stack_is_passed_like_its_members_one_by_one() {
    use std::sync::Mutex;
    struct Logs(&'static str, Arc<Mutex<Vec<String>>>);
    impl Middleware for Logs {
        async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
            self.1.lock().unwrap().push(format!("before {}", self.0));
            if scope.query("stop").as_deref() == Some(self.0) { Err(Deny::forbidden()) } else { Ok(scope) }
        }
        async fn after(&self, _: &mut Scope, close: &Close) {
            self.1.lock().unwrap().push(format!("after {} {}", self.0, close.code));
        }
    }
    channels::run(async {
        let log = Arc::new(Mutex::new(Vec::new()));
        let stack = || {
            let [a, b, c] = ["a", "b", "c"].map(|name| Logs(name, log.clone()));
            (a, b, c).wrap(|| Doorman(Users::default()))
        };
        let mut client = WebsocketCommunicator::new(stack(), "/");
        assert!(client.connect().await.unwrap().accepted);
        client.disconnect(1000).await.unwrap();
        let passed = std::mem::take(&mut *log.lock().unwrap());
        assert_eq!(passed, ["before a", "before b", "before c", "after c 1000", "after b 1000", "after a 1000"]);
        assert!(!WebsocketCommunicator::new(stack(), "/?stop=b").connect().await.unwrap().accepted);
        assert_eq!(*log.lock().unwrap(), ["before a", "before b"]);
    });
}
