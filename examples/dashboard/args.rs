//! Where to listen: flags first, then the environment, then the defaults.

use std::env;

use channels::{Error, Result};

pub(crate) struct Args {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Args {
    pub(crate) fn read() -> Result<Self> {
        let mut host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
        let mut port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
        let mut flags = env::args().skip(1);
        while let Some(flag) = flags.next() {
            let value = flags.next().ok_or_else(|| Error::msg(format!("{flag} wants a value")));
            match flag.as_str() {
                "--host" => host = value?,
                "--port" => port = value?,
                _ => return Err(Error::msg(format!("no option {flag}; there are --host and --port"))),
            }
        }
        let port = port.parse().map_err(|error| Error::msg(format!("port {port:?}: {error}")))?;
        Ok(Self { host, port })
    }
}
