//! How a server stops: no new handshakes, every connection told, then the end.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::Addr;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::addresses::Addresses;
use crate::{
    Close, CloseCode, GroupName,
    after::after,
    layer::Page,
    session::{Drain, Homes, Inspect, Keeper, ThreadReport},
};

/// How long a thread may take for a turn.
const TURN: Duration = Duration::from_millis(100);

/// What the worker threads of a server share: their keepers, whether they are draining, who is connected.
#[derive(Clone, Default)]
pub(super) struct Keepers(Arc<State>);

#[derive(Default)]
struct State {
    keepers: Mutex<Vec<Addr<Keeper>>>,
    draining: AtomicBool,
    addresses: Addresses,
    homes: Homes,
}

impl Keepers {
    /// Whether these are those of the same server.
    pub(super) fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0)
    }

    /// Adds the keeper that `start` makes, given how many there are.
    pub(super) fn add(&self, start: impl FnOnce(usize) -> Addr<Keeper>) {
        let mut keepers = self.0.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        let keeper = start(keepers.len());
        keepers.push(keeper);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// What the connections of every thread have done.
    pub(super) async fn counts(&self) -> Vec<ThreadReport> {
        let (keepers, page) = (self.all(), Page { offset: 0, limit: 0 });
        let reports = join_all(keepers.iter().map(|keeper| keeper.send(Inspect { page, group: None }))).await;
        reports.into_iter().flatten().collect()
    }

    /// The same and what they are, a page of them, thread after thread; of those alone that are in a group, if there is one.
    pub(super) async fn inspect(&self, mut page: Page, group: Option<GroupName>) -> Vec<ThreadReport> {
        let mut reports = Vec::new();
        for keeper in self.all() {
            if let Ok(report) = keeper.send(Inspect { page, group: group.clone() }).await {
                page = page.after(report.total, report.connections.len());
                reports.push(report);
            }
        }
        reports
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// Where the sessions of all threads are.
    pub(super) fn homes(&self) -> &Homes {
        &self.0.homes
    }

    fn all(&self) -> Vec<Addr<Keeper>> {
        self.0.keepers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every connection.
    pub(super) fn drain(&self, timeout: Duration) -> impl Future<Output = ()> + Send + 'static {
        let keepers = self.clone();
        async move {
            keepers.0.draining.store(true, Ordering::Relaxed);
            keepers.0.homes.stop();
            let keepers = keepers.all();
            let close = Close::new(CloseCode::SERVICE_RESTART, "the server restarts");
            let drained =
                join_all(keepers.iter().map(|keeper| keeper.send(Drain { close: close.clone(), within: timeout })));
            if tokio::time::timeout(timeout, drained).await.is_err() {
                tracing::warn!(?timeout, "connections that had not ended in time are cut");
            }
        }
    }
}

/// The steps of a stop.
#[derive(Clone, Default)]
pub(super) struct Stop {
    /// It was asked for.
    pub(super) begun: CancellationToken,
    /// Only plain HTTP is left.
    pub(super) drained: CancellationToken,
    /// It was asked for again, and does not wait any longer.
    pub(super) hurried: CancellationToken,
}

/// Runs a server until `stop` has begun, then drains it, and lets what is under way on its `connections` end, all that
/// within `timeout`.
pub(super) async fn serve(
    server: actix_web::dev::Server,
    stop: &Stop,
    drain: impl Future<Output = ()>,
    connections: &TaskTracker,
    timeout: Duration,
) -> io::Result<()> {
    let handle = server.handle();
    let mut server = pin!(server);
    let stopped = async {
        stop.begun.cancelled().await;
        tracing::info!("stopping: connections are closed with 1012");
        let deadline = after(Instant::now(), timeout);
        let ended = async {
            drain.await;
            stop.drained.cancel();
            connections.close();
            // Those that are idle need a turn to end.
            let deadline = deadline.max(Instant::now() + TURN);
            if timeout_at(deadline, connections.wait()).await.is_err() {
                tracing::warn!(?timeout, "requests that were not answered in time are cut");
            }
        };
        tokio::select! {
            () = ended => {}
            () = stop.hurried.cancelled() => tracing::warn!("stopping at once: told a second time"),
        }
        handle.stop(false).await;
    };
    let mut stopped = pin!(stopped);
    tokio::select! {
        ended = &mut server => ended,
        () = &mut stopped => server.await,
    }
}

/// Resolves at Ctrl-C, or at SIGTERM where there is one.
pub(crate) async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::warn!("signals cannot be heard; the server runs until its process is ended");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
