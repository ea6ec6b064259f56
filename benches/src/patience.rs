//! Nothing waits for ever: every phase has a deadline whose error says what was being waited for, and Ctrl-C or SIGTERM
//! ends the phase it meets, so that the server is killed on the way out.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How long a phase may take, and whether somebody asked to stop.
pub(crate) struct Patience {
    limit: Duration,
    stall: Duration,
    interrupted: Arc<AtomicBool>,
}

impl Patience {
    /// A phase may take `limit`, and stand still for `stall`.
    pub(crate) fn new(limit: Duration, stall: Duration) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&interrupted)).context("cannot watch for signals")?;
        }
        Ok(Self { limit, stall, interrupted })
    }

    /// Whether somebody asked to stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The deadline of a phase that begins now; `what` completes "waiting for …".
    pub(crate) fn phase(&self, what: &'static str) -> Deadline<'_> {
        let now = Instant::now();
        Deadline { patience: self, what, begun: now, moved: now, progress: 0 }
    }
}

/// The deadline of one phase.
pub(crate) struct Deadline<'p> {
    patience: &'p Patience,
    what: &'static str,
    begun: Instant,
    moved: Instant,
    progress: u64,
}

impl Deadline<'_> {
    /// Fails if the phase has lasted too long or `progress` has not changed for too long; `state` says how far it came.
    pub(crate) fn check<S: Display>(&mut self, progress: u64, state: impl FnOnce() -> S) -> Result<()> {
        if self.patience.interrupted() {
            bail!("interrupted while waiting for {}", self.what);
        }
        let now = Instant::now();
        if progress != self.progress {
            self.progress = progress;
            self.moved = now;
        }
        let Patience { limit, stall, .. } = self.patience;
        if now - self.begun > *limit {
            bail!("gave up after {} s of waiting for {}: {}", limit.as_secs(), self.what, state());
        }
        if now - self.moved > *stall {
            bail!("nothing moved for {} s while waiting for {}: {}", stall.as_secs(), self.what, state());
        }
        Ok(())
    }
}
