//! Where something waits until it may go on: a middleware, or what calls `pass`.

use std::sync::Arc;

use channels::prelude::*;
use tokio::sync::{Semaphore, mpsc};

/// Tells that somebody is here, and lets them wait.
#[derive(Clone)]
pub(crate) struct Gate {
    tell: mpsc::UnboundedSender<()>,
    leave: Arc<Semaphore>,
}

impl Gate {
    /// A gate that lets so many through, and hears of each that comes.
    pub(crate) fn new(leave: usize) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { tell, leave: Arc::new(Semaphore::new(leave)) }, told)
    }

    /// Lets so many more through.
    pub(crate) fn open(&self, more: usize) {
        self.leave.add_permits(more);
    }

    pub(crate) async fn pass(&self) {
        let _ = self.tell.send(());
        self.leave.acquire().await.expect("it is not closed").forget();
    }
}

impl Middleware for Gate {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        self.pass().await;
        Ok(scope)
    }
}
