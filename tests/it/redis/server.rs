//! A real broker on a free port.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

use crate::support::DEADLINE;

/// A `redis-server` on a free port of this machine, in a directory of its own. Dropping it kills it.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    directory: PathBuf,
    options: Vec<String>,
    child: Child,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more options, as on its command line.
    pub(crate) fn with(options: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it has one").port();
        drop(free);
        let directory = std::env::temp_dir().join(format!("channels-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let child = spawn(port, &directory, &options);
        let server = Self { port, directory, options, child };
        server.answers();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Has it stand still, with its connections open; or go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is such a program").success());
    }

    /// Starts it again, on its port, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.options);
        self.answers();
    }

    fn answers(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(port: u16, directory: &Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(directory).args(["--unixsocket", "redis.sock"]).args(options);
    command.stdout(Stdio::null()).spawn().expect("redis-server, of Debian's package of that name")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A Sentinel that watches a server under the name `main`. Dropping it kills it.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    directory: PathBuf,
    child: Child,
}

impl Sentinel {
    pub(crate) fn of(server: &RedisServer) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it has one").port();
        drop(free);
        let directory = std::env::temp_dir().join(format!("channels-sentinel-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let config = directory.join("sentinel.conf");
        let text = format!("bind 127.0.0.1\nport {port}\nsentinel monitor main 127.0.0.1 {} 1\n", server.port);
        std::fs::write(&config, text).expect("it can be written");
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").current_dir(&directory).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server, of Debian's package of that name");
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the Sentinel does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { port, directory, child }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Two brokers that the tests share which only add to them: each test has a prefix of its own.
pub(crate) fn shared() -> [String; 2] {
    static SERVERS: LazyLock<Mutex<Vec<RedisServer>>> = LazyLock::new(Mutex::default);
    let mut servers = SERVERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if servers.is_empty() {
        servers.extend([RedisServer::start(), RedisServer::start()]);
        let pids: Vec<_> = servers.iter().map(|server| server.child.id().to_string()).collect();
        let directories: Vec<_> = servers.iter().map(|server| server.directory.display().to_string()).collect();
        // Nothing is dropped at the end of a test program; a shell waits for it in its place.
        let wait = format!(
            "(while kill -0 {} 2> /dev/null; do sleep 0.2; done; kill {}; rm -rf {}) &",
            std::process::id(),
            pids.join(" "),
            directories.join(" ")
        );
        Command::new("sh")
            .args(["-c", &wait])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("a shell");
    }
    [servers[0].url(), servers[1].url()]
}

/// A prefix that nobody else has.
pub(crate) fn prefix() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}
