//! Rooms by axum, after its chat example: a `tokio::sync::broadcast` channel for each room, two tasks for each member.
//!
//! As it is usual there: tokio's runtime with a thread for each processor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, io};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Messages that a member may be behind before it loses some.
const CAPACITY: usize = 1024;

#[derive(Default)]
struct Rooms(Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>);

impl Rooms {
    fn room(&self, name: String) -> broadcast::Sender<Utf8Bytes> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(name).or_insert_with(|| broadcast::Sender::new(CAPACITY)).clone()
    }
}

async fn room(upgrade: WebSocketUpgrade, Path(name): Path<String>, State(rooms): State<Arc<Rooms>>) -> Response {
    upgrade.on_upgrade(move |socket| member(socket, rooms.room(name)))
}

async fn member(socket: WebSocket, room: broadcast::Sender<Utf8Bytes>) {
    let (mut sender, mut receiver) = socket.split();
    let mut said = room.subscribe();
    let mut sending = tokio::spawn(async move {
        loop {
            match said.recv().await {
                Ok(text) => {
                    if sender.send(Message::Text(text)).await.is_err() {
                        break;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    });
    let mut receiving = tokio::spawn(async move {
        while let Some(Ok(message)) = receiver.next().await {
            match message {
                Message::Text(text) => {
                    let _ = room.send(text);
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
    });
    tokio::select! {
        _ = &mut sending => receiving.abort(),
        _ = &mut receiving => sending.abort(),
    }
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(_) = message
                && socket.send(message).await.is_err()
            {
                break;
            }
        }
    })
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let app = Router::new().route("/ws/{room}/", get(room)).route("/echo/", get(echo)).with_state(Arc::default());
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await
}
