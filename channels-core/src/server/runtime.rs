//! The runtime that sessions and workers need: one that spawns tasks on its own thread, as actix's does.

use std::{future::Future, panic::catch_unwind};

use tokio::{runtime::Handle, task::LocalSet};

use super::ConfigError;

/// Whether this thread is in a runtime at all.
pub(crate) fn is_running() -> Result<(), ConfigError> {
    Handle::try_current().map(drop).map_err(|_| ConfigError::NoRuntime)
}

/// Whether tasks can be spawned on this thread. Nothing but trying tells it.
pub(super) fn can_spawn() -> Result<(), ConfigError> {
    is_running()?;
    catch_unwind(|| drop(actix_rt::spawn(async {}))).map_err(|_| ConfigError::NoRuntime)
}

/// Runs a future where it can spawn tasks on its thread, also under `#[tokio::main]`.
pub(crate) async fn within_runtime<T>(future: impl Future<Output = T>) -> Result<T, ConfigError> {
    is_running()?;
    Ok(match actix_rt::System::try_current() {
        Some(_) => future.await,
        None => LocalSet::new().run_until(future).await,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_spawn_in_actixs_runtime_and_not_in_tokios_alone_or_in_none() {
        assert!(can_spawn().is_err());
        assert!(crate::run(async { can_spawn() }).is_ok());
        // It has no system of actix's.
        let tokio = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("the system gives one");
            runtime.block_on(async {
                assert!(can_spawn().is_err());
                within_runtime(async { can_spawn() }).await
            })
        });
        assert!(matches!(tokio.join(), Ok(Ok(Ok(())))));
    }
}
