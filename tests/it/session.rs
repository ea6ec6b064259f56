//! The session of an HTTP view is the session of a consumer.

use actix_session::{Session, SessionMiddleware, config::PersistentSession, storage::CookieSessionStore};
use channels::{
    Server,
    actix_web::{
        cookie::{Cookie, Key, SameSite, time::Duration},
        web,
    },
    middleware::{SessionError, Sessions},
    prelude::*,
    testing::WebsocketCommunicator,
};

use futures_util::FutureExt;

use crate::{
    store::Store,
    support::{Served, Socket, serve, within},
    visitor::Visitor,
};

/// Does with its session what it is told, and says what came of it.
#[derive(Default)]
struct Clerk;

#[consumer]
impl Consumer for Clerk {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if let Some(value) = cx.scope().query("set") {
            let session = cx.scope().session()?;
            session.insert("k", value)?;
            session.save().await?;
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(command): Text) -> Result<()> {
        let session = cx.scope().session()?.clone();
        let words: Vec<&str> = command.split(' ').collect();
        let done = match words[..] {
            ["get", key] => session.get::<String>(key).map(|value| value.unwrap_or_else(|| "nothing".to_owned())),
            ["set", key, value] => session.insert(key, value).map(|()| "set".to_owned()),
            ["remove", key] => {
                session.remove(key);
                Ok("removed".to_owned())
            }
            ["keys"] => Ok(session.keys().join(" ")),
            ["give-up"] => Ok(match session.save().now_or_never() {
                Some(_) => "saved at once".to_owned(),
                None => "given up".to_owned(),
            }),
            ["save"] => session.save().await.map(|()| "saved".to_owned()),
            ["reload"] => session.reload().await.map(|()| "reloaded".to_owned()),
            ["renew"] => {
                session.renew();
                Ok("renewed".to_owned())
            }
            ["purge"] => {
                session.purge();
                Ok("purged".to_owned())
            }
            _ => Ok("what?".to_owned()),
        };
        cx.send(done.unwrap_or_else(|error| error.to_string()))?;
        Ok(())
    }
}

/// A page that shows a value, one that sets it, one that ends the session; and the socket of a `Clerk`.
fn shop(store: &Store) -> Served {
    let sessions = store.sessions();
    let socket = Sessions::new(sessions.clone()).wrap(URLRouter::new([path("ws/", Clerk::default)]).unwrap());
    let app = ProtocolTypeRouter::new().websocket(socket).http(move |config| {
        let get = |session: Session, key: web::Path<String>| async move {
            session.get::<String>(&key).unwrap().unwrap_or_else(|| "nothing".to_owned())
        };
        let set = |session: Session, pair: web::Path<(String, String)>| async move {
            session.insert(&pair.0, &pair.1).unwrap();
            "set"
        };
        let end = |session: Session| async move {
            session.purge();
            "ended"
        };
        let pages = web::scope("/session")
            .wrap(sessions())
            .route("/get/{key}", web::get().to(get))
            .route("/set/{key}/{value}", web::get().to(set))
            .route("/end", web::get().to(end));
        config.service(pages);
    });
    serve(Server::new(app).workers(2))
}

/// A visitor whose name the shop knows.
async fn ann(served: &Served) -> Visitor {
    let mut visitor = Visitor::default();
    visitor.get(served.address, "/session/set/name/ann").await;
    visitor
}

async fn asked(socket: &mut Socket, command: &str) -> String {
    socket.send(command).await;
    socket.text().await
}

#[tokio::test]
async fn what_a_view_stores_a_consumer_reads_and_the_other_way_round() {
    let served = shop(&Store::default());
    let mut visitor = ann(&served).await;
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "get name").await, "ann");
    assert_eq!(asked(&mut socket, "set name bob").await, "set");
    assert_eq!(visitor.get(served.address, "/session/get/name").await.body, "ann");
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(visitor.get(served.address, "/session/get/name").await.body, "bob");
    visitor.get(served.address, "/session/set/name/eve").await;
    assert_eq!(asked(&mut socket, "get name").await, "bob");
    assert_eq!(asked(&mut socket, "reload").await, "reloaded");
    assert_eq!(asked(&mut socket, "get name").await, "eve");
}

#[tokio::test]
async fn what_a_consumer_changed_is_saved_when_its_connection_has_ended() {
    let served = shop(&Store::default());
    let mut visitor = ann(&served).await;
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "remove name").await, "removed");
    assert_eq!(asked(&mut socket, "set seen yes").await, "set");
    let address = served.address;
    drop(socket);
    let saved = async { while visitor.get(address, "/session/get/seen").await.body != "yes" {} };
    within(saved).await;
    assert_eq!(visitor.get(address, "/session/get/name").await.body, "nothing");
}

#[tokio::test]
async fn a_consumer_writes_only_what_it_changed() {
    let served = shop(&Store::default());
    let mut visitor = Visitor::default();
    visitor.get(served.address, "/session/set/a/1").await;
    let mut one = visitor.socket(&served, "/ws/").await.unwrap();
    let mut other = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut one, "set b 2").await, "set");
    assert_eq!(asked(&mut other, "get b").await, "nothing", "each connection has its own");
    assert_eq!(asked(&mut other, "set c 3").await, "set");
    visitor.get(served.address, "/session/set/d/4").await;
    assert_eq!(asked(&mut one, "save").await, "saved");
    assert_eq!(asked(&mut other, "save").await, "saved");
    assert_eq!(asked(&mut other, "keys").await, "a b c d");
}

#[tokio::test]
async fn sessions_of_two_visitors_stay_apart() {
    let served = shop(&Store::default());
    let (mut ann, mut bob) = (Visitor::default(), Visitor::default());
    ann.get(served.address, "/session/set/name/ann").await;
    bob.get(served.address, "/session/set/name/bob").await;
    let mut anns = ann.socket(&served, "/ws/").await.unwrap();
    let mut bobs = bob.socket(&served, "/ws/").await.unwrap();
    let mut nobodys = Visitor::default().socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut anns, "get name").await, "ann");
    assert_eq!(asked(&mut bobs, "get name").await, "bob");
    assert_eq!(asked(&mut nobodys, "get name").await, "nothing");
}

#[tokio::test]
async fn a_session_that_begins_in_connect_has_its_cookie_in_the_answer() {
    let served = shop(&Store::default());
    let mut visitor = Visitor::default();
    let _socket = visitor.socket(&served, "/ws/?set=v").await.unwrap();
    assert_eq!(visitor.cookies.keys().collect::<Vec<_>>(), ["id"]);
    assert_eq!(visitor.get(served.address, "/session/get/k").await.body, "v");
}

// test_http: sessions, session_samesite
#[channels::test]
async fn the_sessions_cookie_has_the_attributes_that_actix_session_was_told() {
    let key = Key::generate();
    let sessions = Sessions::new(move || {
        SessionMiddleware::builder(CookieSessionStore::default(), key.clone())
            .cookie_name("shop".to_owned())
            .cookie_path("/ws".to_owned())
            .cookie_domain(Some("shop.example".to_owned()))
            .cookie_same_site(SameSite::Strict)
            .session_lifecycle(PersistentSession::default().session_ttl(Duration::hours(1)))
            .build()
    });
    let mut client = WebsocketCommunicator::new(sessions.wrap(Clerk::default), "/?set=v");
    let answer = client.connect().await.unwrap();
    let cookie = Cookie::parse(answer.headers.get("Set-Cookie").unwrap()).unwrap();
    assert_eq!((cookie.name(), cookie.path(), cookie.domain()), ("shop", Some("/ws"), Some("shop.example")));
    assert_eq!((cookie.http_only(), cookie.secure()), (Some(true), Some(true)));
    assert_eq!((cookie.same_site(), cookie.max_age()), (Some(SameSite::Strict), Some(Duration::hours(1))));
}

#[tokio::test]
async fn a_tampered_cookie_is_an_anonymous_session() {
    let served = shop(&Store::default());
    let mut visitor = ann(&served).await;
    let genuine = visitor.cookies["id"].clone();
    for at in [0, genuine.len() / 2, genuine.len() - 3] {
        let mut forged = genuine.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        visitor.cookies.insert("id".to_owned(), String::from_utf8(forged).unwrap());
        let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
        assert_eq!(asked(&mut socket, "get name").await, "nothing", "byte {at}");
    }
    visitor.cookies.insert("id".to_owned(), genuine);
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "get name").await, "ann");
}

#[tokio::test]
async fn an_expired_session_is_an_anonymous_one() {
    let store = Store::default();
    let served = shop(&store);
    let mut visitor = ann(&served).await;
    store.expire();
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "get name").await, "nothing");
}

#[tokio::test]
async fn a_session_that_was_ended_meanwhile_is_not_brought_back() {
    let store = Store::default();
    let served = shop(&store);
    let mut visitor = ann(&served).await;
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    visitor.get(served.address, "/session/end").await;
    assert!(visitor.cookies.is_empty());
    assert_eq!(asked(&mut socket, "set name bob").await, "set");
    assert_eq!(asked(&mut socket, "save").await, "the session has ended since it was loaded");
    assert_eq!(store.keys(), [""; 0]);
}

#[tokio::test]
async fn a_renewed_session_has_another_key_and_a_purged_one_none() {
    let store = Store::default();
    let served = shop(&store);
    let mut visitor = ann(&served).await;
    let before = store.keys();
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "renew").await, "renewed");
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!((store.keys().len(), store.keys() == before), (1, false));
    // The socket goes on with the new key.
    assert_eq!(asked(&mut socket, "set more 1").await, "set");
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(asked(&mut socket, "keys").await, "more name");
    assert_eq!(asked(&mut socket, "purge").await, "purged");
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(store.keys(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_fails_is_tried_again() {
    let store = Store::default();
    let served = shop(&store);
    let mut visitor = ann(&served).await;
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    store.is_broken(true);
    assert_eq!(asked(&mut socket, "set name bob").await, "set");
    assert!(asked(&mut socket, "save").await.starts_with("the session's store failed: "));
    assert_eq!(visitor.socket(&served, "/ws/").await.err().map(|status| status.as_u16()), Some(500));
    store.is_broken(false);
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(visitor.get(served.address, "/session/get/name").await.body, "bob");
}

#[tokio::test]
async fn what_was_being_saved_when_nobody_waited_any_more_is_saved_later() {
    let store = Store::default();
    let served = shop(&store);
    let mut visitor = ann(&served).await;
    let mut socket = visitor.socket(&served, "/ws/").await.unwrap();
    store.hang(true);
    assert_eq!(asked(&mut socket, "set name bob").await, "set");
    assert_eq!(asked(&mut socket, "give-up").await, "given up");
    store.hang(false);
    assert_eq!(asked(&mut socket, "get name").await, "bob");
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(visitor.get(served.address, "/session/get/name").await.body, "bob");
    store.hang(true);
    assert_eq!(asked(&mut socket, "purge").await, "purged");
    assert_eq!(asked(&mut socket, "give-up").await, "given up");
    store.hang(false);
    assert_eq!(asked(&mut socket, "save").await, "saved");
    assert_eq!(store.keys(), [""; 0]);
}

#[test]
fn without_the_middleware_the_error_says_where_it_goes() {
    let error = Scope::websocket("/").session().unwrap_err();
    assert!(matches!(error, SessionError::Missing));
    assert_eq!(
        error.to_string(),
        "the scope has no session: put the middleware `Sessions` around the routes, outside of what needs it: \
         `Sessions::new(…).wrap(URLRouter::new(…)?)`"
    );
}

/// Sets a cookie, and accepts or not.
#[derive(Default)]
struct SetsCookie;

#[consumer]
impl Consumer for SetsCookie {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let cookie = Cookie::build("theme", "dark and 暗").path("/").http_only(true).same_site(SameSite::Strict);
        cx.scope().set_cookie(&cookie.finish());
        if cx.scope().query("deny").is_some() {
            return Err(Deny::forbidden().into());
        }
        Ok(())
    }
}

#[test]
fn a_cookie_goes_with_the_answer_whatever_the_answer_is() {
    channels::run(async {
        for uri in ["/", "/?deny="] {
            let answer = WebsocketCommunicator::new(SetsCookie::default, uri).connect().await.unwrap();
            let cookie = answer.headers.get("Set-Cookie");
            assert_eq!(cookie, Some("theme=dark%20and%20%E6%9A%97; HttpOnly; SameSite=Strict; Path=/"), "{uri}");
        }
    });
}
