//! Where to listen, and which layer: flags first, then the environment, then the defaults.

use std::env;

use channels::{Error, Result};

pub(crate) struct Args {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `memory://`, or `redis://…` for one chat of several processes.
    pub(crate) layer: String,
}

impl Args {
    pub(crate) fn read() -> Result<Self> {
        let mut host = env::var("HOST").ok();
        let mut port = env::var("PORT").ok();
        let mut layer = env::var("LAYER").ok();
        let mut flags = env::args().skip(1);
        while let Some(flag) = flags.next() {
            let value = flags.next().ok_or_else(|| Error::msg(format!("{flag} wants a value")));
            match flag.as_str() {
                "--host" => host = Some(value?),
                "--port" => port = Some(value?),
                "--layer" => layer = Some(value?),
                _ => return Err(Error::msg(format!("no option {flag}; there are --host, --port and --layer"))),
            }
        }
        let port = port.unwrap_or_else(|| "8000".to_owned());
        Ok(Self {
            host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: port.parse().map_err(|error| Error::msg(format!("port {port:?}: {error}")))?,
            layer: layer.unwrap_or_else(|| "memory://".to_owned()),
        })
    }
}
