//! Many streams over one socket.

use std::sync::{Arc, Mutex};

use channels::{
    Demultiplexer, Layer, Server, actix_web::http::StatusCode, event::CloseConnection, prelude::*,
    testing::WebsocketCommunicator,
};
use serde_json::{Value, json};

use crate::support::serve;

type Log = Arc<Mutex<Vec<String>>>;

/// Greets, answers with what it got and how often, and says what became of it.
#[derive(Clone)]
struct Echo {
    name: &'static str,
    log: Log,
    count: u32,
}

#[consumer]
impl Consumer for Echo {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["everybody".to_owned(), self.name.to_owned()]
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let wants = cx.scope().query("refuse").unwrap_or_default();
        if wants.split(',').any(|name| name == self.name) {
            return Err(Deny::new(StatusCode::PAYMENT_REQUIRED).into());
        }
        let mut accept = Accept::new().header(("X-Stream", self.name));
        if cx.scope().subprotocols().iter().any(|offered| offered == self.name) {
            accept = accept.subprotocol(self.name);
        }
        cx.accept_with(accept)?;
        cx.send(format!("welcome to {}", self.name))
    }

    async fn receive(&mut self, cx: &mut Context, Json(payload): Json<Value>) -> Result<()> {
        match payload.as_str() {
            Some("fail") => return Err(Error::msg("as it was told")),
            Some("hang") => return std::future::pending().await,
            Some("close") => {
                cx.close(4007, "enough");
                return Ok(());
            }
            _ => {}
        }
        self.count += 1;
        cx.send_json(&json!({"got": payload, "times": self.count}))
    }

    #[handler]
    fn shout(event: &RawEvent) -> Result<Message> {
        Ok(Message::json(&event.get::<String>("text"))?)
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        self.log.lock().unwrap().push(format!("{} {}", self.name, close.code));
    }
}

fn streams(log: &Log) -> Demultiplexer {
    let echo = |name| {
        let echo = Echo { name, log: log.clone(), count: 0 };
        move || echo.clone()
    };
    Demultiplexer::new().stream("a", echo("a")).stream("b", echo("b"))
}

async fn connected(log: &Log, uri: &str, layer: &Layer) -> WebsocketCommunicator {
    let mut client = WebsocketCommunicator::new(streams(log), uri).layers(layer.clone());
    assert!(client.connect().await.unwrap().accepted);
    client
}

fn layer() -> Layer {
    Layer::new(channels::InMemoryChannelLayer::default())
}

async fn frames<const N: usize>(client: &mut WebsocketCommunicator) -> Vec<Value> {
    let mut frames = Vec::new();
    for _ in 0..N {
        frames.push(client.receive_json_from::<Value>().await.unwrap());
    }
    frames.sort_by_key(Value::to_string);
    frames
}

#[test]
fn each_stream_has_a_consumer_of_its_own() {
    channels::run(async {
        let (log, layer) = (Log::default(), layer());
        let mut client = WebsocketCommunicator::new(streams(&log), "/").layers(layer.clone()).subprotocols(["b", "a"]);
        let answer = client.connect().await.unwrap();
        assert_eq!(answer.subprotocol.as_deref(), Some("a"));
        assert_eq!(answer.headers.get_all("X-Stream").collect::<Vec<_>>(), ["a", "b"]);
        let welcome = ["a", "b"].map(|name| json!({"stream": name, "payload": format!("welcome to {name}")}));
        assert_eq!(frames::<2>(&mut client).await, welcome);

        for (stream, payload, times) in [("a", json!({"x": [1, "读"]}), 1), ("b", json!(7), 1), ("a", json!(null), 2)]
        {
            client.send_json_to(&json!({"stream": stream, "payload": payload})).await.unwrap();
            let answer = json!({"stream": stream, "payload": {"got": payload, "times": times}});
            assert_eq!(client.receive_json_from::<Value>().await.unwrap(), answer);
        }
        layer.group_send("b", channels::event!({"type": "shout", "text": "hey"})).await.unwrap();
        assert_eq!(frames::<1>(&mut client).await, [json!({"stream": "b", "payload": "hey"})]);
        let report =
            layer.group_send("everybody", channels::event!({"type": "shout", "text": "all"})).report().await.unwrap();
        assert_eq!(report.delivered, 2);
        frames::<2>(&mut client).await;

        client.disconnect(1001).await.unwrap();
        let mut told = log.lock().unwrap().clone();
        told.sort();
        assert_eq!(told, ["a 1001", "b 1001"]);
    });
}

#[test]
fn a_stream_that_hangs_holds_up_no_other() {
    channels::run(async {
        let log = Log::default();
        let mut client = connected(&log, "/", &layer()).await;
        frames::<2>(&mut client).await;
        client.send_json_to(&json!({"stream": "a", "payload": "hang"})).await.unwrap();
        for times in 1..=20 {
            client.send_json_to(&json!({"stream": "b", "payload": 0})).await.unwrap();
            let answer = json!({"stream": "b", "payload": {"got": 0, "times": times}});
            assert_eq!(client.receive_json_from::<Value>().await.unwrap(), answer);
        }
    });
}

#[test]
fn a_stream_ends_alone_and_the_connection_with_the_last_one() {
    channels::run(async {
        let (log, layer) = (Log::default(), layer());
        let mut client = connected(&log, "/", &layer).await;
        frames::<2>(&mut client).await;
        client.send_json_to(&json!({"stream": "a", "payload": "close"})).await.unwrap();
        let closed = json!({"stream": "a", "closed": {"code": 4007, "reason": "enough"}});
        assert_eq!(client.receive_json_from::<Value>().await.unwrap(), closed);
        client.send_json_to(&json!({"stream": "a", "payload": "is dropped"})).await.unwrap();
        client.send_json_to(&json!({"stream": "b", "payload": "fail"})).await.unwrap();
        let closed = json!({"stream": "b", "closed": {"code": 1011, "reason": "internal error"}});
        assert_eq!(client.receive_json_from::<Value>().await.unwrap(), closed);
        assert_eq!(client.closed().await.unwrap().to_string(), "1011 (internal error)");
        client.disconnect(1000).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["a 4007", "b 1011"]);

        let mut kicked = connected(&log, "/", &layer).await;
        frames::<2>(&mut kicked).await;
        layer.group_send("everybody", CloseConnection::new(4503, "over")).await.unwrap();
        assert_eq!(kicked.closed().await.unwrap().to_string(), "4503 (over)");
    });
}

#[test]
fn a_connection_is_accepted_when_one_stream_is() {
    channels::run(async {
        let (log, layer) = (Log::default(), layer());
        let mut client = connected(&log, "/?refuse=a", &layer).await;
        let told = [
            json!({"stream": "a", "closed": {"code": 1008, "reason": "refused with 402 Payment Required"}}),
            json!({"stream": "b", "payload": "welcome to b"}),
        ];
        assert_eq!(frames::<2>(&mut client).await, told);
        client.send_json_to(&json!({"stream": "a", "payload": "is dropped"})).await.unwrap();
        client.send_json_to(&json!({"stream": "b", "payload": 1})).await.unwrap();
        frames::<1>(&mut client).await;
        let mut refused = WebsocketCommunicator::new(streams(&log), "/?refuse=a,b").layers(layer);
        assert_eq!(refused.connect().await.unwrap().status, 402);
    });
}

#[test]
fn what_is_no_frame_of_a_stream_closes_the_connection() {
    channels::run(async {
        let log = Log::default();
        for (message, close) in [
            (Message::from(r#"{"stream": "c", "payload": 1}"#), "1007 (there is no stream `c`)"),
            (Message::from(r#"{"stream": "a"}"#), "1007 (JSON: missing field `payload` at line 1 column 15)"),
            (Message::from(vec![1]), "1003 (text is wanted, the message is binary)"),
        ] {
            let mut client = connected(&log, "/", &layer()).await;
            client.send_to(message).await.unwrap();
            assert_eq!(client.closed().await.unwrap().to_string(), close);
            client.disconnect(1000).await.unwrap();
        }
        assert_eq!(log.lock().unwrap().len(), 6, "every stream had its `disconnect`");
    });
}

#[tokio::test]
async fn streams_are_the_end_of_a_path_and_end_with_the_server() {
    let log = Log::default();
    let routes = URLRouter::new([path("ws/", streams(&log))]).unwrap();
    let served = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)).workers(1));
    assert!(served.handshake(served.url("/ws/more/")).await.is_err());
    let mut socket = served.connect("/ws/").await;
    for _ in 0..2 {
        assert!(socket.text().await.contains("welcome to"));
    }
    let stopped = served.stop();
    // A stream that the server ends says so; then the connection does.
    loop {
        match socket.receive().await {
            tokio_tungstenite::tungstenite::Message::Close(close) => {
                assert_eq!(u16::from(close.unwrap().code), 1012);
                break;
            }
            told => assert!(told.to_string().contains(r#""code":1012"#), "{told}"),
        }
    }
    drop(socket);
    stopped.await;
    let mut told = log.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, ["a 1012", "b 1012"]);
}

#[test]
#[should_panic(expected = "there is a stream `a` already")]
fn a_second_stream_of_one_name_is_a_mistake() {
    let log = Log::default();
    let _ = streams(&log).stream("a", move || Echo { name: "another", log: log.clone(), count: 0 });
}
