//! The example `worker`, as a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_tungstenite::client_async;

use crate::support::{Socket, within};

/// A process of the example; it ends with its owner.
pub(crate) struct Example(Child);

impl Example {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self(command(arguments).stdout(Stdio::null()).spawn().expect("it is built"))
    }

    /// Starts one that serves, and waits until it says where.
    pub(crate) async fn serve(arguments: &[&str]) -> (Self, String) {
        let mut child = command(arguments).stdout(Stdio::piped()).spawn().expect("it is built");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let example = Self(child);
        let address = spawn_blocking(move || {
            let mut line = String::new();
            while output.read_line(&mut line).expect("it writes text") > 0 {
                if let Some((_, address)) = line.split_once("open http://") {
                    let address = address.split('/').next().expect("a host").to_owned();
                    thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
                    return address;
                }
                line.clear();
            }
            panic!("it says where it listens")
        });
        (example, within(address).await.expect("it starts"))
    }

    /// Asks it to stop, as a supervisor does, and waits for its end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let told = Command::new("kill").arg(self.0.id().to_string()).status().expect("there is such a program");
        assert!(told.success());
        within(spawn_blocking(move || self.0.wait().expect("it is a child"))).await.expect("it ends")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn connect(address: &str) -> Socket {
    let stream = TcpStream::connect(address).await.expect("it listens");
    Socket(within(client_async(format!("ws://{address}/ws/"), stream)).await.expect("it accepts").0)
}

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test"); // target/debug/deps/it-…
    let built = test.ancestors().nth(2).expect("a target directory").join("examples/worker");
    assert!(built.exists(), "{} is missing: cargo build --example worker", built.display());
    built
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(built());
    command.args(arguments).env("HOST", "127.0.0.1").env("PORT", "0").env_remove("LAYER").stdin(Stdio::null());
    command
}

#[tokio::test]
async fn the_example_counts_primes_for_its_clients() {
    let (_example, address) = Example::serve(&["--layer", "memory://?capacity=10"]).await;
    let (mut first, mut second) = (connect(&address).await, connect(&address).await);
    first.send(r#"{"up_to": 100}"#).await;
    second.send(r#"{"up_to": 1000000}"#).await;
    assert_eq!(first.text().await, r#"{"up_to":100,"primes":25}"#);
    assert_eq!(second.text().await, r#"{"up_to":1000000,"primes":78498}"#);
    second.send(r#"{"up_to": 50000001}"#).await;
    assert_eq!(second.text().await, r#"{"error":"at most 50000000"}"#);
}

/// What one writes that does not begin to serve.
async fn refusal(command: Command) -> String {
    let said = within(tokio::process::Command::from(command).kill_on_drop(true).output()).await.unwrap();
    assert!(!said.status.success());
    String::from_utf8(said.stderr).unwrap()
}

#[tokio::test]
async fn the_examples_parts_are_not_run_alone_over_a_layer_that_ends_at_each() {
    for part in ["web", "work"] {
        let text = refusal(command(&[part])).await;
        assert!(text.contains("a layer in memory ends at its process"), "{text}");
    }
}

#[tokio::test]
async fn the_examples_layer_is_that_of_the_variable_unless_there_is_an_option() {
    for (options, named) in [(&[][..], "variable"), (&["--layer", "option://"], "option")] {
        let mut command = command(options);
        command.env("LAYER", "variable://");
        let text = refusal(command).await;
        assert!(text.contains(&format!("the scheme `{named}://`")), "{text}");
    }
}
