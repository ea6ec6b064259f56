//! A session belongs to who made it.

use channels::{Transport::LongPoll, prelude::*};

use super::client::request;
use crate::{
    raw::Raw,
    support::{Served, serve},
};

#[derive(Default)]
struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)
    }
}

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
    let mut raw = Raw::connect(house.address).await;
    raw.write(request(method, "/ws/", headers, body)).await;
    let response = raw.response().await;
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
