//! The smallest consumer there is: `cargo run --example echo`.
//!
//! A text comes back with `哈哈` behind it, bytes come back as they are. Try it in a browser's console:
//!
//! ```js
//! const socket = new WebSocket("ws://127.0.0.1:8000/ws/");
//! socket.onmessage = (event) => console.log(event.data);
//! socket.onopen = () => socket.send("hello");
//! ```

use std::env;

use channels::prelude::*;
use tracing_subscriber::EnvFilter;

struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        match message {
            Message::Text(text) => cx.send(format!("{text}哈哈"))?,
            Message::Binary(bytes) => cx.send(bytes)?,
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", || Echo)])?);
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let server = Server::new(app).bind(format!("{host}:{port}"))?;
    for address in server.addresses() {
        println!("ws://{address}/ws/ answers (http://{address}/)");
    }
    channels::run(server.run())?;
    Ok(())
}
