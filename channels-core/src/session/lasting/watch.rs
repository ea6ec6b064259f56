//! Whether another process is there, while requests wait for its answers.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::relay;
use crate::{ChannelName, Layer};

/// How often a process is asked.
const BEAT: Duration = Duration::from_secs(2);
/// How much longer than a request it may take to answer: one that is busy for a moment, or loses its broker for one, has not
/// gone.
const GRACE: Duration = Duration::from_millis(1_500);

/// One for all requests of a server that wait for the same thread of another one. It ends when it is dropped.
pub(super) struct Watch {
    gone: CancellationToken,
    _ends: DropGuard,
}

impl Watch {
    pub(super) fn begin(layer: Layer, home: ChannelName) -> Arc<Self> {
        let (gone, ends) = (CancellationToken::new(), CancellationToken::new());
        let watch = Self { gone: gone.clone(), _ends: ends.clone().drop_guard() };
        actix_rt::spawn(async move {
            let silent = async {
                loop {
                    tokio::time::sleep(BEAT).await;
                    if relay::is_gone(&layer, &home, GRACE).await {
                        return;
                    }
                }
            };
            tokio::select! {
                () = silent => gone.cancel(),
                () = ends.cancelled() => {}
            }
        });
        Arc::new(watch)
    }

    /// Resolves when the process has not answered for a while.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}
