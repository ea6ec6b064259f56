//! A real broker on a free port.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
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
        let port = free_port();
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

    /// Ends those that neither wait in a command nor are for subscriptions.
    pub(crate) fn end_connections_that_wait_for_nothing(&self) {
        let clients: String = ask(self.port, &["CLIENT", "LIST"]).expect("it can");
        for client in clients.lines().filter(|client| client.contains(" flags=N ") && !client.contains(" cmd=client")) {
            let id = client.split(['=', ' ']).nth(1).expect("it begins with `id=`");
            let _: u64 = ask(self.port, &["CLIENT", "KILL", "ID", id]).expect("it can");
        }
    }

    /// Waits until nobody is connected.
    pub(crate) fn is_left(&self) {
        wait_until("somebody is still connected", || {
            ask::<String>(self.port, &["CLIENT", "LIST"]).expect("it can").lines().count() == 1
        });
    }

    /// Waits until this many connections listen to a channel.
    pub(crate) fn is_listened_to(&self, channel: &str, count: u64) {
        wait_until("nobody listens", || {
            ask::<(String, u64)>(self.port, &["PUBSUB", "NUMSUB", channel]).expect("it can").1 == count
        });
    }

    /// Has a command that waits for a message end with an error.
    pub(crate) fn unblock(&self) {
        wait_until("nobody waits", || {
            let clients: String = ask(self.port, &["CLIENT", "LIST"]).expect("it can");
            let Some(client) = clients.lines().find(|client| client.contains(" cmd=bzpopmin")) else { return false };
            let id = client.split(['=', ' ']).nth(1).expect("it begins with `id=`");
            ask::<bool>(self.port, &["CLIENT", "UNBLOCK", id, "ERROR"]).expect("it can")
        });
    }

    /// Starts it again, on its port, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.options);
        self.answers();
    }

    /// Waits until this many replicas have what was written so far. Replication keeps the order of writes, so that one more, with
    /// a key of the same slot in a cluster, is behind them.
    pub(crate) fn is_replicated(&self, key: &str, replicas: usize) {
        let mut connection = connect(self.port).expect("it answers");
        let () = redis::cmd("SET").arg(&[key, "written"]).query(&mut connection).expect("it can");
        let milliseconds = DEADLINE.as_millis().to_string();
        let wait = redis::cmd("WAIT").arg(replicas).arg(milliseconds).query::<usize>(&mut connection);
        assert!(wait.expect("it can") >= replicas, "a replica does not follow");
    }

    fn answers(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Debian's `redis-server`, or the program that `CHANNELS_TEST_REDIS` names: `scripts/brokers` tries others.
fn redis_server() -> Command {
    Command::new(std::env::var_os("CHANNELS_TEST_REDIS").unwrap_or_else(|| "redis-server".into()))
}

/// A port that nobody has, below those that the system gives to connections: what is free when it is asked for is free still when a
/// server takes it. Each is given once by this process, and others most likely begin elsewhere.
pub(super) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..12_000)));
    loop {
        let port = 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks a server, as `redis-cli` does.
fn ask<T: redis::FromRedisValue>(port: u16, command: &[&str]) -> redis::RedisResult<T> {
    redis::cmd(command[0]).arg(&command[1..]).query(&mut connect(port)?)
}

fn connect(port: u16) -> redis::RedisResult<redis::Connection> {
    redis::Client::open(format!("redis://127.0.0.1:{port}"))?.get_connection()
}

pub(super) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + 3 * DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn says(port: u16, command: &[&str], line: &str) -> bool {
    ask::<String>(port, command).is_ok_and(|said| said.lines().any(|said| said == line))
}

/// A master, two replicas, and three Sentinels that watch them under the name `main`.
pub(crate) struct Trio {
    pub(crate) master: RedisServer,
    pub(crate) sentinels: Vec<Sentinel>,
    _replicas: Vec<RedisServer>,
}

impl Trio {
    pub(crate) fn start() -> Self {
        let master = RedisServer::with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port.to_string();
        let replica = || RedisServer::with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        let replicas = vec![replica(), replica()];
        for replica in &replicas {
            wait_until("a replica has no master", || says(replica.port, &["INFO"], "master_link_status:up"));
        }
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::with(master.port, 2, "")).collect();
        for sentinel in &sentinels {
            let knows = |command: &str, count: usize| {
                ask::<Vec<redis::Value>>(sentinel.port, &["SENTINEL", command, "main"])
                    .is_ok_and(|all| all.len() == count)
            };
            wait_until("a Sentinel does not know the others", || knows("SENTINELS", 2) && knows("REPLICAS", 2));
        }
        Self { master, sentinels, _replicas: replicas }
    }

    /// Whether a Sentinel knows another master by now.
    pub(crate) fn has_chosen(&self) -> impl Fn() -> bool + Send + use<> {
        let sentinels: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.port).collect();
        let old = self.master.port.to_string();
        let address = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"];
        let names_another = move |port| ask::<Vec<String>>(port, &address).is_ok_and(|at| at.last() != Some(&old));
        move || sentinels.iter().any(|port| names_another(*port))
    }
}

/// Nodes that are a cluster, once all of them know it.
fn cluster(count: usize, options: impl Fn() -> Vec<String>, create: &[&str]) -> Vec<RedisServer> {
    let node = |_| {
        let bus = free_port().to_string();
        let mut all: Vec<_> = ["--cluster-enabled", "yes", "--cluster-port", &bus].map(str::to_owned).to_vec();
        all.extend(options());
        RedisServer::with(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let nodes: Vec<_> = (0..count).map(node).collect();
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "create"]).args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    command.args(create).arg("--cluster-yes").stdout(Stdio::null());
    assert!(command.status().expect("redis-cli, of Debian's package redis-tools").success());
    for node in &nodes {
        wait_until("the cluster is not there", || says(node.port, &["CLUSTER", "INFO"], "cluster_state:ok"));
    }
    nodes
}

/// A cluster of three masters, reached through TLS too: where that is.
pub(crate) fn encrypted_cluster(authority: &Authority) -> (Vec<RedisServer>, String) {
    let ports = std::cell::RefCell::new(Vec::new());
    let options = || {
        let port = free_port();
        ports.borrow_mut().push(port);
        let mut options = authority.options_at(port);
        options.extend(["--tls-cluster".to_owned(), "yes".to_owned()]);
        options
    };
    let nodes = cluster(3, options, &[]);
    let url = format!("rediss+cluster://127.0.0.1:{},127.0.0.1:{}", ports.borrow()[0], ports.borrow()[2]);
    (nodes, url)
}

/// A cluster of three masters with a replica each.
pub(crate) struct SixNodes(Vec<RedisServer>);

impl SixNodes {
    /// One that soon finds that a node is lost.
    pub(crate) fn start() -> Self {
        Self::with_node_timeout("1000")
    }

    fn with_node_timeout(milliseconds: &str) -> Self {
        let options = ["--cluster-node-timeout", milliseconds, "--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let nodes = cluster(6, || options.to_vec(), &["--cluster-replicas", "1"]);
        for node in &nodes {
            wait_until("a replica has no master", || {
                says(node.port, &["INFO"], "role:master") || says(node.port, &["INFO"], "master_link_status:up")
            });
        }
        Self(nodes)
    }

    /// Two of the nodes: whoever asks them finds the others.
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.0[0].port, self.0[5].port)
    }

    /// `kill -9` for the master that has a key.
    pub(crate) fn kill_master_of(&mut self, key: &str) {
        self.master_of(key).kill();
    }

    pub(crate) fn master_of(&mut self, key: &str) -> &mut RedisServer {
        let master = self.0.iter_mut().find(|node| ask::<u64>(node.port, &["ZCARD", key]).is_ok());
        master.expect("a node has it")
    }

    /// Whether another node serves a key by now, and all that live know that every slot is served.
    pub(crate) fn has_chosen(&self, key: &'static str) -> impl Fn() -> bool + Send + use<> {
        let ports: Vec<_> = self.0.iter().map(|node| node.port).collect();
        move || {
            let mut living = ports.iter().filter(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok());
            ports.iter().any(|port| ask::<u64>(*port, &["ZCARD", key]).is_ok())
                && living.all(|port| says(*port, &["CLUSTER", "INFO"], "cluster_state:ok"))
        }
    }

    /// Gives the slot of a key to another master, as when a cluster grows. What is in it stays behind and is lost.
    pub(crate) fn move_slot_of(&self, key: &str) {
        let masters: Vec<_> = self.0.iter().filter(|node| says(node.port, &["INFO"], "role:master")).collect();
        let slot: u16 = ask(masters[0].port, &["CLUSTER", "KEYSLOT", key]).expect("it is one");
        let from = masters.iter().position(|node| ask::<u64>(node.port, &["ZCARD", key]).is_ok()).expect("one has it");
        let to: String = ask(masters[(from + 1) % 3].port, &["CLUSTER", "MYID"]).expect("it has one");
        let _: () = ask(masters[from].port, &["FLUSHALL"]).expect("it can");
        for step in [1, 0, 2] {
            let node = masters[(from + step) % 3];
            let _: () = ask(node.port, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &to]).expect("it can");
        }
    }
}

/// A certificate authority that is forgotten at the end of a test, and what a server needs that it vouches for.
pub(crate) struct Authority {
    /// Where the server is to listen.
    pub(crate) port: u16,
    directory: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("channels-authority-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("it can be written");
        let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=authority \
                      -keyout ca.key -out ca.crt && \
                      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
                      -keyout server.key -out server.csr && \
                      openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile names \
                      -out server.crt";
        let made = Command::new("sh").args(["-c", script]).current_dir(&directory).stderr(Stdio::null()).status();
        assert!(made.expect("a shell").success(), "openssl, of Debian's package of that name");
        Self { port, directory }
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// A certificate that it vouches for, and its key.
    pub(crate) fn identity(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |name: &str| std::fs::read(self.directory.join(name)).expect("it was made");
        (read("server.crt"), read("server.key"))
    }

    /// A port, and what a Sentinel's configuration needs that listens there.
    pub(crate) fn sentinel(&self) -> (u16, String) {
        let (port, file) = (free_port(), |name: &str| self.directory.join(name).display().to_string());
        let files = format!(
            "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
            file("server.crt"),
            file("server.key"),
            file("ca.crt")
        );
        (port, format!("tls-port {port}\ntls-replication yes\n{files}"))
    }

    pub(crate) fn options(&self) -> Vec<String> {
        self.options_at(self.port)
    }

    fn options_at(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let options = ["--tls-port", &port.to_string(), "--tls-auth-clients", "no", "--tls-cert-file"];
        let mut options: Vec<_> = options.map(str::to_owned).to_vec();
        options.extend([file("server.crt"), "--tls-key-file".to_owned(), file("server.key")]);
        options.extend(["--tls-ca-cert-file".to_owned(), file("ca.crt")]);
        options
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(port: u16, directory: &Path, options: &[String]) -> Child {
    let mut command = redis_server();
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
        Self::with(server.port, 1, "")
    }

    /// One that watches the server on this port, one of several of which so many have to find that it is lost; with more lines
    /// of configuration.
    pub(crate) fn with(server: u16, quorum: usize, more: &str) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("channels-sentinel-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let config = directory.join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor main 127.0.0.1 {server} {quorum}\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n{more}"
        );
        std::fs::write(&config, text).expect("it can be written");
        let mut command = redis_server();
        command.arg(&config).arg("--sentinel").current_dir(&directory).stdout(Stdio::null());
        let child = command.spawn().expect("redis-server, of Debian's package of that name");
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the Sentinel does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { port, directory, child }
    }

    /// Has it say that the master is another server.
    pub(crate) fn names(&self, server: &RedisServer) {
        let _: () = ask(self.port, &["SENTINEL", "REMOVE", "main"]).expect("it can");
        let monitor = ["SENTINEL", "MONITOR", "main", "127.0.0.1", &server.port.to_string(), "1"];
        let _: () = ask(self.port, &monitor).expect("it can");
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
    static SERVERS: LazyLock<[RedisServer; 2]> = LazyLock::new(|| {
        let servers = [RedisServer::start(), RedisServer::start()];
        end_with_the_tests(&servers);
        servers
    });
    [SERVERS[0].url(), SERVERS[1].url()]
}

/// A cluster that tests share in the same way.
pub(crate) fn shared_cluster() -> String {
    static CLUSTER: LazyLock<SixNodes> = LazyLock::new(|| {
        // None of its nodes is killed, and on a busy machine the living are not to be taken for dead.
        let cluster = SixNodes::with_node_timeout("15000");
        end_with_the_tests(&cluster.0);
        cluster
    });
    CLUSTER.url()
}

/// Nothing is dropped at the end of a test program; a shell waits for it in its place.
fn end_with_the_tests(servers: &[RedisServer]) {
    let pids: Vec<_> = servers.iter().map(|server| server.child.id().to_string()).collect();
    let directories: Vec<_> = servers.iter().map(|server| server.directory.display().to_string()).collect();
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

/// A prefix that nobody else has.
pub(crate) fn prefix() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("t{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}
