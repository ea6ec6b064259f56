//! Rooms by socketioxide, after its chat example: Socket.IO's own rooms.
//!
//! Socket.IO has its own framing: a text said is `42["message","…"]` within a WebSocket message, which the load program
//! speaks. The room is in the query: `/socket.io/?EIO=4&transport=websocket&room=<room>`; without it, what is said comes
//! back. As it is usual there: tokio's runtime with a thread for each processor.

use std::{env, io};

use axum::Router;
use axum::serve::ListenerExt;
use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Query {
    room: Option<String>,
}

async fn connected(socket: SocketRef) {
    let query = socket.req_parts().uri.query().unwrap_or_default();
    match serde_urlencoded::from_str(query) {
        Ok(Query { room: Some(room) }) => {
            socket.join(room.clone());
            socket.on("message", async move |socket: SocketRef, Data::<String>(text)| {
                let _ = socket.within(room).emit("message", &text).await;
            });
        }
        _ => socket.on("message", async |socket: SocketRef, Data::<String>(text)| {
            let _ = socket.emit("message", &text);
        }),
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
