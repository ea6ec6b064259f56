//! The example `chatroom`, twice.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tokio_tungstenite::client_async;

use super::server::RedisServer;
use crate::support::{Socket, within};

/// A chatroom on a free port, in a process of its own. Dropping it kills it.
pub(crate) struct Chatroom {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Chatroom {
    pub(crate) fn start(layer: &str) -> Self {
        let test = std::env::current_exe().expect("a test has a path");
        let built = test.ancestors().nth(2).expect("a target directory").join("examples/chatroom");
        let mut child = Command::new(&built)
            .args(["--port", "0", "--layer", layer])
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo build --example chatroom", built.display()));
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut ports = said.filter_map(|line| {
            let (_, rest) = line.split_once("open http://127.0.0.1:")?;
            rest.split('/').next()?.parse().ok()
        });
        let port: u16 = ports.next().expect("it tells its port");
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }

    pub(crate) async fn enter(&self, name: &str) -> Socket {
        let stream = tokio::net::TcpStream::connect(self.address).await.expect("it listens");
        let url = format!("ws://{}/ws/tea/?name={name}", self.address);
        let request = {
            use tokio_tungstenite::tungstenite::client::IntoClientRequest;
            url.into_client_request().expect("it is one")
        };
        let (stream, _) = within(client_async(request, stream)).await.expect("it accepts");
        Socket(stream)
    }
}

impl Drop for Chatroom {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next thing of this kind that somebody is told.
async fn told(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let told: Value = serde_json::from_str(&socket.text().await).expect("it is JSON");
        if told["type"] == kind {
            return told;
        }
    }
}

/// Waits until somebody's page is told that a person has so many windows, in a list or as news.
async fn sees(socket: &mut Socket, list: &str, name: &str, windows: u64) {
    loop {
        let told: Value = serde_json::from_str(&socket.text().await).expect("it is JSON");
        let mut people = told[list].as_array().into_iter().flatten();
        if people.any(|person| person["name"] == name && person["windows"] == windows) {
            return;
        }
    }
}

#[tokio::test]
async fn two_chatrooms_with_one_redis_are_one_chat() {
    let redis = RedisServer::start();
    let (first, second) = (Chatroom::start(&redis.url()), Chatroom::start(&redis.url()));
    let mut ada = first.enter("Ada").await;
    sees(&mut ada, "people", "Ada", 1).await;
    let mut bob = second.enter("Bob").await;
    sees(&mut bob, "people", "Ada", 1).await;
    sees(&mut ada, "joins", "Bob", 1).await;
    ada.send(r#"{"text": "hello"}"#).await;
    assert_eq!(told(&mut bob, "message").await["text"], "hello");
    bob.send(r#"{"text": "哈哈"}"#).await;
    assert_eq!(told(&mut ada, "message").await["from"]["name"], "Ada", "one hears oneself");
    assert_eq!(told(&mut ada, "message").await["text"], "哈哈");

    let again = first.enter("Bob").await;
    sees(&mut ada, "joins", "Bob", 2).await;
    drop(bob);
    sees(&mut ada, "leaves", "Bob", 1).await;
    drop(again);
    sees(&mut ada, "leaves", "Bob", 0).await;
}
