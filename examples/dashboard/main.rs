//! A live dashboard: this machine and this server, second by second: `cargo run --example dashboard`, then open the address
//! that it prints, in as many windows as you like.
//!
//! One sampler reads the numbers, however many look at them, and rests while nobody does. `HOST` and `PORT`, or `--host` and
//! `--port`, say where it listens; 127.0.0.1:8000 unless said otherwise, and with port 0 a free one.

mod app;
mod args;

use std::time::Duration;

use channels::{InMemoryChannelLayer, Result, actix_web::rt::spawn};
use tracing_subscriber::EnvFilter;

use self::args::Args;

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let args = Args::read()?;
    // The numbers are those of one process, and so is its layer.
    let (server, sampler) = app::server(InMemoryChannelLayer::default().into())?;
    let server = server.bind((args.host.as_str(), args.port))?;
    for address in server.addresses() {
        println!("open http://{address}/");
    }
    channels::run(async {
        spawn(sampler.run(Duration::from_secs(1)));
        server.run().await
    })?;
    Ok(())
}
