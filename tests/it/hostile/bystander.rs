//! A client that keeps the rules while others do not.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinHandle;

use crate::{
    raw::{FIN, Raw, TEXT, frame},
    support::within,
};

/// Sends a number, waits for it to come back, sends the next.
pub(super) struct Bystander {
    stop: Arc<AtomicBool>,
    talk: JoinHandle<u64>,
}

impl Bystander {
    pub(super) async fn start(address: SocketAddr) -> Self {
        let mut client = Raw::open(address, "/bystander").await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let talk = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                client.write(frame(FIN | TEXT, n.to_string())).await;
                assert_eq!(client.text().await, n.to_string(), "the answers of a bystander come in order");
                n += 1;
            }
            n
        });
        Self { stop, talk }
    }

    /// Expects it to have had an answer to each of its messages, each within the deadline of these tests.
    pub(super) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let answers = within(&mut self.talk).await.expect("the bystander was answered");
        assert!(answers > 0, "the bystander never had its turn");
    }
}
