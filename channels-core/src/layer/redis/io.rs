//! The thread that talks to the brokers.

use std::{future::Future, panic::resume_unwind, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A thread with a runtime of its own: a layer's handles work on threads with any runtime or none, and its connections
/// outlive all of those. It ends, with all its tasks, when this is dropped.
pub(super) struct Io {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Io {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("channels-redis".to_owned()).spawn(move || {
            // The sender sends nothing: this ends when it is dropped.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _alive: alive })
    }

    /// Starts a task that runs as long as the thread does.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Runs a future there to its end, also when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(call).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The thread ends only with the layer, whom nobody can ask then.
            Err(_) => std::future::pending().await,
        }
    }
}
