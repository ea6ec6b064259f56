//! Work that takes long, done by a worker: `cargo run --example worker`, then open the address that it prints and count
//! primes.
//!
//! The page's socket sends each job to the channel `primes`; a worker reads it, at most two jobs at once, and answers the
//! socket by its channel name. Both run in this process. Over a layer that reaches further they are two:
//!
//! ```text
//! cargo run --example worker -- web  --layer redis://127.0.0.1:6379/0
//! cargo run --example worker -- work --layer redis://127.0.0.1:6379/0
//! ```
//!
//! `HOST` and `PORT`, or `--host` and `--port`, say where it listens; 127.0.0.1:8000 unless said otherwise, and with
//! port 0 a free one. `LAYER` or `--layer` names the channel layer: `memory://` unless said otherwise.

mod args;
mod primes;

use channels::{
    ChannelNameRouter, Layer, Worker,
    actix_web::{HttpResponse, web::get},
    prelude::*,
};
use tracing_subscriber::EnvFilter;

use self::{
    args::{Args, Part},
    primes::{Counter, Desk},
};

fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    let args = Args::read()?;
    let layer = Layer::from_url(&args.layer)?;
    let web = ProtocolTypeRouter::new()
        .http(|config| {
            let page =
                async || HttpResponse::Ok().content_type("text/html; charset=utf-8").body(include_str!("index.html"));
            config.route("/", get().to(page));
        })
        .websocket(URLRouter::new([path("ws/", Desk::default)])?);
    let work = ChannelNameRouter::new([("primes", Counter::default)])?.at_once("primes", 2);
    let app = match args.part {
        Part::Work => {
            let app = ProtocolTypeRouter::new().channel(work);
            channels::run(Worker::new(app).layers(layer).run())?;
            return Ok(());
        }
        Part::Web => web,
        Part::Both => web.channel(work),
    };
    let server = Server::new(app).layers(layer).bind((args.host.as_str(), args.port))?;
    for address in server.addresses() {
        println!("open http://{address}/ and count primes");
    }
    channels::run(server.run())?;
    Ok(())
}
