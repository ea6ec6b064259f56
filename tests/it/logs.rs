//! What the library logs, line by line.

use std::{
    fmt::{self, Write},
    sync::{LazyLock, Mutex, Once, PoisonError},
};

use tokio::sync::Notify;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
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

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut line = Line(format!(" {}:", attributes.metadata().name()));
        attributes.record(&mut line);
        context.span(id).expect("a new span").extensions_mut().insert(line);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("a span that was told");
        values.record(span.extensions_mut().get_mut::<Line>().expect("inserted with the span"));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        for span in context.event_scope(event).into_iter().flatten() {
            line.0.push_str(&span.extensions().get::<Line>().expect("inserted with the span").0);
        }
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        ADDED.notify_waiters();
    }
}

/// `LEVEL message field=value … span: field=value …`
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
