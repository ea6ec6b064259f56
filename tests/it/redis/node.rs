//! A process of its own that a test kills.

use std::process::{Child, Command, Stdio};

use super::server::RedisServer;

/// Where its broker is.
const BROKER: &str = "CHANNELS_TEST_NODE";

/// This test program once more, with one test that never ends. Dropping it kills it.
pub(crate) struct Node(Child);

impl Node {
    pub(crate) fn start(test: &str, broker: &RedisServer) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args([test, "--exact", "--ignored"]).env(BROKER, broker.url()).stdout(Stdio::null());
        Self(command.spawn().expect("it can be started again"))
    }

    /// What that test asks: the broker's URL.
    pub(crate) fn broker() -> String {
        std::env::var(BROKER).expect("it is started by another test")
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        self.0.wait().expect("it ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}
