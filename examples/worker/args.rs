//! What to run, over which layer, and where to listen.

use std::env;

use channels::{Error, Result};

pub(crate) enum Part {
    Both,
    Web,
    Work,
}

pub(crate) struct Args {
    pub(crate) part: Part,
    pub(crate) layer: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Args {
    pub(crate) fn read() -> Result<Self> {
        let mut part = Part::Both;
        let mut layer = env::var("LAYER").unwrap_or_else(|_| "memory://".to_owned());
        let mut host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
        let mut port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| Error::msg(format!("{word} wants a value")));
            match word.as_str() {
                "web" => part = Part::Web,
                "work" => part = Part::Work,
                "--layer" => layer = value()?,
                "--host" => host = value()?,
                "--port" => port = value()?,
                _ => return Err(Error::msg(format!("no {word}; there are web, work, --layer, --host and --port"))),
            }
        }
        if !matches!(part, Part::Both) && layer.starts_with("memory://") {
            return Err(Error::msg(
                "a layer in memory ends at its process: web and work alone want --layer redis://…, or LAYER",
            ));
        }
        let port = port.parse().map_err(|error| Error::msg(format!("port {port:?}: {error}")))?;
        Ok(Self { part, layer, host, port })
    }
}
