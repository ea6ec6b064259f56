//! What the library logs, line by line.

use std::{
    fmt::{self, Write},
    sync::{LazyLock, Mutex, Once, PoisonError},
};

use tokio::sync::Notify;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
};

use crate::support::within;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ADDED: LazyLock<Notify> = LazyLock::new(Notify::new);

/// Keeps what is logged from now on, by any thread. Tests run side by side: look for lines that only yours can cause.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines = Keep.with_filter(Targets::new().with_target("channels", Level::DEBUG));
        let subscriber = Registry::default().with(lines);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
    });
}

/// The lines with all of these parts.
pub(crate) fn with(parts: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
}

/// Waits for a line with all of these parts.
pub(crate) async fn wait_for(parts: &[&str]) -> String {
    within(async {
        loop {
            let added = ADDED.notified();
            if let Some(line) = with(parts).pop() {
                return line;
            }
            added.await;
        }
    })
    .await
}

struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        ADDED.notify_waiters();
    }
}

/// `LEVEL message field=value …`
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
