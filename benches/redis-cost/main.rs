//! What a broadcast costs Redis by the number of members, in `RedisLayer`:
//!
//! ```text
//! cargo run --release -p channels-bench --bin redis-cost
//! ```
//!
//! It starts a `redis-server` of its own, and two layers with half of the members each, as two processes have. The cost is what the
//! server itself says of its CPU time, before and after, less what it uses in the same time when nobody asks
//! anything. On a machine that does other things as well the figures say little.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use channels::{
    Layer, event,
    layer::redis::{RedisLayer, RedisOptions},
};

const BROADCASTS: u32 = 500;

struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start redis-server")?;
        let redis = Self { port, child };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                bail!("redis-server does not answer");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }

    /// Seconds of CPU that it has used, in its own code and the kernel's.
    fn cpu(&self) -> Result<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"INFO cpu\r\nQUIT\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        let value = |name: &str| -> Option<f64> {
            said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
        };
        value("used_cpu_user").zip(value("used_cpu_sys")).map(|(user, sys)| user + sys).context("no CPU time in INFO")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn cost(members: usize) -> Result<f64> {
    let redis = Redis::start()?;
    let options = RedisOptions::from(("127.0.0.1", redis.port)).capacity(1);
    let layers = [Layer::new(RedisLayer::new(options.clone())?), Layer::new(RedisLayer::new(options)?)];
    for layer in &layers {
        for _ in 0..members / 2 {
            layer.group_add("room", &layer.new_channel().await?).await?;
        }
    }
    let (before, begun) = (redis.cpu()?, Instant::now());
    for n in 0..BROADCASTS {
        let report = layers[n as usize % 2].group_send("room", event!({"type": "numbered", "n": n})).report().await?;
        if report.processes != 1 {
            bail!("a broadcast reached {} other processes", report.processes);
        }
    }
    let (after, took) = (redis.cpu()?, begun.elapsed());
    std::thread::sleep(took);
    let idle = redis.cpu()? - after;
    Ok((after - before - idle) / f64::from(BROADCASTS))
}

fn main() -> Result<()> {
    channels::run(async {
        println!("| members | Redis's CPU for a broadcast |\n|---|---|");
        for members in [10, 100, 1_000, 10_000] {
            println!("| {members} | {:.1} µs |", cost(members).await? * 1e6);
        }
        Ok(())
    })
}
