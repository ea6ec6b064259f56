//! The server under attack: this very program, started once more as a server alone.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use channels::{Compression, Config, prelude::*};

use super::bystander::Bystander;
use crate::support::{DEADLINE, within};

const MIB: u64 = 1 << 20;

/// Sends back what it gets, and prints how it ended.
struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        println!("{} {close}", cx.scope().path());
    }
}

/// No test, but what the tests here start as a process: it serves until its standard input ends.
#[test]
#[ignore = "the other tests start it"]
fn serve_alone() {
    let config = Config {
        compression: Some(Compression::default()),
        stall_timeout: Duration::from_secs(2),
        ..Config::default()
    };
    // A path with an argument names a room, and so every socket is first looked at by the server itself.
    let routes = URLRouter::new([re_path("^(.*)$", || Echo)]).expect("a good pattern");
    let server = Server::new(ProtocolTypeRouter::new().websocket(routes)).config(config).workers(2);
    let server = server.inspection("/inspect/").bind("127.0.0.1:0").expect("a free port");
    println!("listening on {}", server.addresses()[0]);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = stop.send(());
    });
    let stopped = async {
        let _ = stopped.await;
    };
    channels::run(server.run_until(stopped)).expect("the server ends well");
}

/// The process, and a client of it that keeps the rules.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    process: Child,
    errors: Option<thread::JoinHandle<String>>,
    ends: mpsc::Receiver<String>,
    bystander: Bystander,
    /// Bytes in memory before the attack.
    before: u64,
}

impl Target {
    pub(super) async fn start() -> Self {
        let mut process = Command::new(env::current_exe().expect("the path of this program"))
            .args(["hostile::target::serve_alone", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program, once more");
        let (tell, ends) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().expect("a pipe, as asked for"));
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let errors = process.stderr.take().expect("a pipe, as asked for");
        let errors = Some(thread::spawn(|| all(errors)));
        let address = loop {
            let line = ends.recv_timeout(DEADLINE).expect("it says where it listens");
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.parse().expect("an address");
            }
        };
        let bystander = Bystander::start(address).await;
        let before = memory(&process, "VmRSS");
        Self { address, process, errors, ends, bystander, before }
    }

    /// How one connection on this path ended.
    pub(super) fn end_of(&self, path: &str) -> String {
        loop {
            let line = self.ends.recv_timeout(DEADLINE).expect("it says how each connection ends");
            if let Some(end) = line.strip_prefix(path).and_then(|line| line.strip_prefix(' ')) {
                return end.to_owned();
            }
        }
    }

    /// Expects the server to be up and to have taken at most so many MiB more at any time; its other client to have had its
    /// answers in order; nothing to wait for anybody; and no panic.
    pub(super) async fn survives_within(mut self, mib: u64) {
        let peak = memory(&self.process, "VmHWM").saturating_sub(self.before);
        assert!(peak <= mib * MIB, "{} MiB more than before at the worst; {mib} are allowed", peak / MIB);
        self.bystander.stop().await;
        let report = within(self.inspect()).await;
        let connections = report["connections"]["rows"].as_array().expect("a list");
        for connection in connections {
            assert!(connection["waiting_bytes"] == 0, "{connection} still waits");
        }
        assert!(self.process.try_wait().expect("a process of ours").is_none(), "the server is down");
        drop(self.process.stdin.take());
        let errors = self.errors.take().expect("taken once").join().expect("a thread that reads");
        let status = self.process.wait().expect("a process of ours");
        assert!(status.success() && !errors.contains("panicked"), "{status}: {errors}");
    }

    async fn inspect(&self) -> serde_json::Value {
        let mut client = crate::raw::Raw::connect(self.address).await;
        client.write("GET /inspect/data.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        serde_json::from_str(&client.response().await.body).expect("the report is JSON")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn all(mut output: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = output.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Bytes of a process in memory, now (`VmRSS`) or at the worst (`VmHWM`); 0 where the system does not tell.
fn memory(process: &Child, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).map_or(0, |kib| kib * 1_024)
}
