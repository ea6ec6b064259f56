//! Register, log in, talk, log out: `cargo run --example auth`, then open the address that it prints.
//!
//! A page greets by name, a socket refuses strangers, and logging out closes it, in every window. `HOST` and `PORT`, or
//! `--host` and `--port`, say where it listens; 127.0.0.1:8000 unless said otherwise. Sessions, their key and the users
//! are this process's own: it is one process, and forgets them when it ends.

mod app;
#[path = "../chatroom/args.rs"]
mod args;

use channels::{Layer, Result};
use tracing_subscriber::EnvFilter;

use self::args::Args;

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let args = Args::read()?;
    let server = app::server(Layer::from_url(&args.layer)?)?.bind((args.host.as_str(), args.port))?;
    for address in server.addresses() {
        println!("open http://{address}/");
    }
    channels::run(server.run())?;
    Ok(())
}
