//! A chat with rooms: `cargo run --example chatroom`, then open the address that it prints, in two windows.
//!
//! `HOST` and `PORT`, or `--host` and `--port`, say where it listens; 127.0.0.1:8000 unless said otherwise, and with
//! port 0 a free one. `LAYER` or `--layer` names the channel layer: `memory://`, or a Redis that several processes share, and
//! then they are one chat:
//!
//! ```text
//! cargo run --example chatroom -- --port 8000 --layer redis://127.0.0.1:6379
//! cargo run --example chatroom -- --port 8001 --layer redis://127.0.0.1:6379
//! ```

mod args;
mod chat;
mod page;

use channels::{
    Layer,
    Transport::{EventStream, LongPoll, WebSocket},
    prelude::*,
};
use tracing_subscriber::EnvFilter;

use self::{args::Args, chat::ChatConsumer};

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let args = Args::read()?;
    let route = re_path(r"^ws/(?P<group>[A-Za-z0-9_-]{1,50})/$", ChatConsumer::default);
    let routes = URLRouter::new([route.transports([WebSocket, EventStream, LongPoll])])?;
    let app = ProtocolTypeRouter::new().http(page::serve).websocket(routes);
    let layer = Layer::from_url(&args.layer)?;
    let server = Server::new(app)
        .layers(layer)
        .client("/channels.js")
        .readiness("/readyz")
        .bind((args.host.as_str(), args.port))?;
    for address in server.addresses() {
        println!("open http://{address}/ in two windows");
    }
    channels::run(server.run())?;
    Ok(())
}
