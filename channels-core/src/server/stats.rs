//! What the connections of a running server have done, for the application itself.

use std::collections::BTreeMap;

use actix_web::HttpResponse;

use super::shutdown::Keepers;
use crate::session::{Counts, ThreadReport};

/// Tells what the connections of a server have done: for a page or an alarm of one's own, where
/// [`inspection`](crate::Server::inspection) and metrics are not it.
///
/// It comes from [`Server::stats`](crate::Server::stats), is cheap to clone, and works from any thread.
///
/// # Examples
///
/// ```no_run
/// # use channels_core as channels;
/// # use std::time::Duration;
/// # let app = channels::ProtocolTypeRouter::new();
/// use channels::{Server, actix_web::rt};
///
/// let server = Server::new(app).bind("127.0.0.1:8000")?;
/// let stats = server.stats();
/// channels::run(async {
///     rt::spawn(async move {
///         loop {
///             let before = stats.total().await.deliveries;
///             rt::time::sleep(Duration::from_secs(1)).await;
///             println!("{} deliveries per second", stats.total().await.deliveries - before);
///         }
///     });
///     server.run().await
/// })?;
/// # Ok::<(), channels::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ServerStats(Keepers);

impl ServerStats {
    pub(super) fn new(keepers: Keepers) -> Self {
        Self(keepers)
    }

    /// The counts of each type of consumer that had a connection, by its name, as `my_crate::ChatConsumer`. Nothing while the
    /// server does not run.
    ///
    /// Each worker thread is asked, and answers when it gets to it; nothing is counted for the sake of it.
    pub async fn consumers(&self) -> BTreeMap<&'static str, Counts> {
        add_up(&self.0.counts().await)
    }

    /// The same of all consumers together.
    pub async fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.consumers().await.into_values().for_each(|counts| total += counts);
        total
    }
}

impl std::fmt::Debug for ServerStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerStats").finish_non_exhaustive()
    }
}

/// Counts a handshake that was refused, for those who watch metrics.
pub(super) fn answered(answer: HttpResponse) -> HttpResponse {
    #[cfg(feature = "metrics")]
    crate::metrics::answered(answer.status());
    answer
}

/// The counts of all threads.
pub(super) fn add_up(threads: &[ThreadReport]) -> BTreeMap<&'static str, Counts> {
    let mut sums = BTreeMap::<_, Counts>::new();
    for (consumer, counts) in threads.iter().flat_map(|thread| &thread.counts) {
        *sums.entry(*consumer).or_default() += *counts;
    }
    sums
}
