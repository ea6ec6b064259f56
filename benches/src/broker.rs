//! A Redis for servers that share one, and what it costs.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::patience::Patience;
use crate::proc::Cpu;
use crate::server::Guard;

/// A `redis-server` of its own, which keeps nothing on disk; `CHANNELS_BENCH_REDIS` names another program.
pub(crate) struct Broker {
    port: u16,
    _child: Guard,
}

impl Broker {
    /// Starts it on a free port of the loopback interface, and waits until it answers.
    pub(crate) fn start(patience: &Patience) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let program = std::env::var_os("CHANNELS_BENCH_REDIS").unwrap_or_else(|| OsString::from("redis-server"));
        let child = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map(Guard)
            .with_context(|| format!("cannot start {}", program.display()))?;
        let broker = Self { port, _child: child };
        let mut phase = patience.phase("redis-server to answer");
        while broker.connect().is_err() {
            std::thread::sleep(Duration::from_millis(5));
            phase.check(0, || "it does not".to_owned())?;
        }
        Ok(broker)
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it has used so far, by its own account, which is finer than the kernel's ticks.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let [user, system] = self.info("cpu", ["used_cpu_user", "used_cpu_sys"])?;
        Ok(Cpu { user, system })
    }

    /// How many commands it has carried out so far.
    pub(crate) fn commands(&self) -> Result<f64> {
        let [commands] = self.info("stats", ["total_commands_processed"])?;
        Ok(commands)
    }

    fn info<const N: usize>(&self, section: &str, names: [&str; N]) -> Result<[f64; N]> {
        let mut stream = self.connect()?;
        stream.write_all(format!("INFO {section}\r\nQUIT\r\n").as_bytes())?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        let mut values = [0.0; N];
        for (value, name) in values.iter_mut().zip(names) {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            *value = line.and_then(|line| line.parse().ok()).with_context(|| format!("no {name} in INFO"))?;
        }
        Ok(values)
    }

    fn connect(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?)
    }
}
