//! A session belongs to who made it.

use channels::{
    InMemoryChannelLayer,
    Transport::{EventStream, LongPoll, WebSocket},
    auth::{AuthMiddleware, disconnect_user},
    event,
    prelude::*,
};

use super::client::{Client, Heard, Kind, asked};
use crate::{
    echo::{Echo, Trusting},
    raw::{Raw, handshake},
    support::{Served, serve},
};

/// Believes what a client says of itself.
struct Named;

impl Middleware for Named {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        if let Some(name) = scope.header("X-Name").map(str::to_owned) {
            scope.set_owner(name);
        }
        Ok(scope)
    }
}

async fn status(house: &Served, method: &str, headers: &str, body: &str) -> (u16, String) {
    let response = asked(house.address, method, "/ws/", headers, body).await;
    (response.status, response.body)
}

#[tokio::test]
async fn a_session_is_not_reached_by_somebody_else() {
    let routes = URLRouter::new([path("ws/", Named.wrap(Echo::default)).transports([LongPoll])]).unwrap();
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)).workers(2));
    for (maker, others) in [("X-Name: ann\r\n", ["X-Name: bob\r\n", ""]), ("", ["X-Name: ann\r\n", "X-Name:\r\n"])] {
        let (_, opened) = status(&house, "POST", maker, "").await;
        let opened: serde_json::Value = serde_json::from_str(&opened).unwrap();
        let session = format!("Channels-Session: {}\r\n", opened["session"].as_str().unwrap());
        let batch = r#"{"from": 1, "messages": ["mine"]}"#;
        for other in others {
            for (method, body) in [("POST", batch), ("DELETE", "")] {
                assert_eq!(status(&house, method, &format!("{session}{other}"), body).await.0, 410, "{other}");
            }
            let poll = format!("{session}{other}Channels-Ack: 0\r\n");
            assert_eq!(status(&house, "GET", &poll, "").await.0, 410, "{other}");
        }
        assert_eq!(status(&house, "POST", &format!("{session}{maker}"), batch).await.0, 200);
        let poll = format!("{session}{maker}Channels-Ack: 0\r\n");
        assert_eq!(status(&house, "GET", &poll, "").await, (200, batch.replace(": ", ":").replace(", ", ",")));
    }
}

/// Takes a client's word for which user it is.
struct Known;

impl Middleware for Known {
    async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
        if let Some(name) = scope.header("X-Name").map(str::to_owned) {
            scope.set_user(name, ()).map_err(|_| Deny::forbidden())?;
        }
        Ok(scope)
    }
}

#[tokio::test]
async fn a_session_of_a_user_whom_middleware_sets_is_not_reached_by_another() {
    let routes = URLRouter::new([path("ws/", Known.wrap(Echo::default)).transports([LongPoll])]).unwrap();
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)).workers(2));
    let (_, opened) = status(&house, "POST", "X-Name: ann\r\n", "").await;
    let opened: serde_json::Value = serde_json::from_str(&opened).unwrap();
    let session = format!("Channels-Session: {}\r\n", opened["session"].as_str().unwrap());
    let batch = r#"{"from": 1, "messages": ["mine"]}"#;
    assert_eq!(status(&house, "POST", &format!("{session}X-Name: bob\r\n"), batch).await.0, 410);
    assert_eq!(status(&house, "POST", &format!("{session}X-Name: ann\r\n"), batch).await.0, 200);
}

/// Becomes somebody else's, and says so.
#[derive(Default)]
struct Leaver;

#[consumer]
impl Consumer for Leaver {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["leavers".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.scope().set_owner("nobody else");
        cx.send(message)
    }

    #[handler]
    async fn leave(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.close(4042, "you have left");
        Ok(())
    }
}

#[tokio::test]
async fn the_carrier_that_is_in_hears_the_rest_when_the_owner_changes_and_no_other_gets_in() {
    let routes = URLRouter::new([path("ws/", Leaver::default).transports([WebSocket, EventStream, LongPoll])]).unwrap();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let house = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)).layers(layer.clone()).workers(2));
    for kind in [Kind::Socket, Kind::Stream] {
        let mut client = Client::open(kind, house.address, "/ws/").await;
        client.say("out").await;
        client.hears("out").await;
        if kind == Kind::Socket {
            client.say("more").await;
            client.hears("more").await;
        }
        let session = format!("Channels-Session: {}\r\n", client.session);
        assert_eq!(status(&house, "POST", &session, r#"{"ack": 0}"#).await.0, 410);
        let poll = format!("{session}Channels-Ack: 0\r\n");
        assert_eq!(status(&house, "GET", &poll, "").await.0, 410);
        layer.group_send("leavers", event!({"type": "leave"})).await.unwrap();
        assert_eq!(client.hear().await, Heard::Closed(4042, "you have left".to_owned()));
    }
}

#[tokio::test]
async fn a_users_session_is_the_users_whatever_carries_it_and_ends_when_they_are_logged_out() {
    let routes = URLRouter::new([path("ws/", Echo::default).transports([WebSocket, EventStream, LongPoll])]).unwrap();
    let layer = Layer::new(InMemoryChannelLayer::default());
    let app = ProtocolTypeRouter::new().websocket(AuthMiddleware::new(Trusting).wrap(routes));
    let house = serve(Server::new(app).layers(layer.clone()).workers(2));
    let (ann, bob) = ("Authorization: Bearer ann\r\n", "Authorization: Bearer bob\r\n");
    for kind in [Kind::Socket, Kind::Stream, Kind::Poll] {
        let opened = Client::try_open_with(kind, house.address, "/ws/", "", ann).await;
        let mut client = opened.unwrap_or_else(|response| panic!("{}", response.status));
        let session = format!("Channels-Session: {}\r\n", client.session);
        for other in [bob, ""] {
            assert_eq!(status(&house, "POST", &format!("{session}{other}"), r#"{"ack": 0}"#).await.0, 410);
        }
        // A browser's socket cannot have the header: the token is a subprotocol.
        let by_socket = |token: &str| {
            let names = format!("channels.v1, channels.v1.resume.0.{}, bearer.{token}", client.session);
            handshake("/ws/", &format!("Sec-WebSocket-Protocol: {names}\r\n"))
        };
        let (his, hers) = (by_socket("bob"), by_socket("ann"));
        let mut socket = Raw::connect(house.address).await;
        socket.write(his).await;
        assert_eq!(socket.response().await.status, 101);
        assert_eq!(socket.close().await.0, 4410);
        let mut socket = Raw::connect(house.address).await;
        socket.write(hers).await;
        assert_eq!(socket.response().await.status, 101);
        assert!(socket.text().await.contains(&client.session));
        assert_eq!(disconnect_user(&layer, "ann").await.unwrap().delivered, 1);
        assert_eq!(socket.close().await, (4503, "logged out".to_owned()));
        client.lose().await;
    }
}
