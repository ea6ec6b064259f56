//! One chat in three ways, side by side – short polling, long polling, WebSocket – with what each of them costs:
//! `cargo run --example polling`, then open the address that it prints, in two windows.
//!
//! `HOST` and `PORT`, or `--host` and `--port`, say where it listens; 127.0.0.1:8000 unless said otherwise, and with
//! port 0 a free one. With `--layer redis://…` several processes are one chat; a visitor's polls must come to the process
//! that has its queue, though.

mod app;
#[path = "../chatroom/args.rs"]
mod args;

use channels::{Layer, Result};
use tracing_subscriber::EnvFilter;

use self::{app::Patience, args::Args};

fn main() -> Result<()> {
    // Without the access log, which has a line for each poll.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,channels::access=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let args = Args::read()?;
    let server = app::server(Layer::from_url(&args.layer)?, Patience::default())?;
    let server = server.bind((args.host.as_str(), args.port))?;
    for address in server.addresses() {
        println!("open http://{address}/ in two windows");
    }
    channels::run(server.run())?;
    Ok(())
}
