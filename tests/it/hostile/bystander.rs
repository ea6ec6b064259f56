//! A client that keeps the rules while others do not.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{
    raw::{FIN, Raw, TEXT, frame},
    support::within,
};

/// How long half of a bystander's answers may take at most, and how long any. These tests share their processors with others:
/// a server that forgets a bystander over its attackers shows in seconds.
const USUAL: Duration = Duration::from_millis(250);
const WORST: Duration = Duration::from_secs(5);

/// Sends a number, waits for it to come back, sends the next.
pub(super) struct Bystander {
    stop: Arc<AtomicBool>,
    /// How long each answer took.
    talk: JoinHandle<Vec<Duration>>,
}

impl Bystander {
    pub(super) async fn start(address: SocketAddr) -> Self {
        let mut client = Raw::open(address, "/bystander").await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let talk = tokio::spawn(async move {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let (n, sent) = (times.len().to_string(), Instant::now());
                client.write(frame(FIN | TEXT, &n)).await;
                assert_eq!(client.text().await, n, "the answers of a bystander come in order");
                times.push(sent.elapsed());
            }
            times
        });
        Self { stop, talk }
    }

    /// Expects it to have had an answer to each of its messages, as soon as if nothing were going on.
    pub(super) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = within(&mut self.talk).await.expect("the bystander was answered");
        times.sort();
        let (Some(usual), Some(worst)) = (times.get(times.len() / 2), times.last()) else {
            panic!("the bystander never had its turn")
        };
        assert!(*usual <= USUAL && *worst <= WORST, "half of {} answers took {usual:?}, one {worst:?}", times.len());
    }
}
