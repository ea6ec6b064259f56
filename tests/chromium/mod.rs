//! Debian's `chromium`, driven through its `chromedriver` (`apt-get install chromium chromium-driver`).

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

/// What should happen happens within this time, or does not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A headless browser of its own, with an empty profile.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
}

impl Browser {
    pub(crate) async fn start(profile: &str) -> Self {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(installed);
        let chromium =
            chromium.expect("chromium is not installed; on Debian: apt-get install chromium chromium-driver");
        let driver = Driver::start(profile);
        let capabilities = json!({
            "unhandledPromptBehavior": "ignore", // a script that got in and calls `alert` fails the next command
            "timeouts": { "script": (4 * DEADLINE).as_millis() as u64 }, // usually 30 s, too short on a busy machine
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--window-size=1280,800", format!("--user-data-dir={}", driver.profile.display()),
                ],
            },
        });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!("an object, as written above") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromedriver starts chromium (are both of one version?)");
        Self { client, _driver: driver }
    }
}

/// `chromedriver`; with it ends the browser that it has started.
struct Driver {
    _process: Process,
    port: u16,
    profile: PathBuf,
}

impl Driver {
    fn start(profile: &str) -> Self {
        let chromedriver = installed("chromedriver");
        let chromedriver =
            chromedriver.expect("chromedriver is not installed; on Debian: apt-get install chromium chromium-driver");
        // It takes a port that is free for IPv6 and gives up if something uses that one for IPv4, as our own tests may.
        let started =
            (0..20).find_map(|_| Process::start(Command::new(&chromedriver).arg("--port=0"), "successfully on port "));
        let (process, line) = started.expect("chromedriver starts, in one of twenty tries");
        let port = line.trim_end_matches('.').parse().expect("the port of chromedriver");
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{profile}-{}", std::process::id()));
        Self { _process: process, port, profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // To kill chromedriver would leave its browser behind; asked to shut down, it ends both.
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = driver.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = driver.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            let _ = driver.read_to_end(&mut Vec::new());
        }
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// A child process that does not outlive its owner.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, and waits for the line that says where it listens; returns what follows `announcement` in that line, or `None`
    /// if it ends before.
    pub(crate) fn start(command: &mut Command, announcement: &'static str) -> Option<(Self, String)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect(&program);
        let output = BufReader::new(child.stdout.take().expect("a pipe, as asked for"));
        let process = Self(child);
        let (found, line) = mpsc::channel();
        thread::spawn(move || {
            // Reads on after that line, so that the process never waits for a full pipe.
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, after)) = line.split_once(announcement) {
                    let _ = found.send(after.to_owned());
                }
            }
        });
        match line.recv_timeout(DEADLINE) {
            Ok(line) => Some((process, line)),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{program} did not print a line with “{announcement}”"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where a program is, if it is in the `PATH`.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}
