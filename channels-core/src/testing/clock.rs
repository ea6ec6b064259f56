//! The runtime of one test.

/// Runs a test's body on actix's runtime: what `#[channels::test]` writes.
///
/// With a paused clock, time stands still while anything can run, and jumps to the next timer when nothing can.
pub fn run_test<T>(start_paused: bool, body: impl Future<Output = T>) -> T {
    crate::run(async {
        if start_paused {
            tokio::time::pause();
        }
        body.await
    })
}
