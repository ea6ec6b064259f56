//! The consumers of this program, as the macro registered them.

use std::sync::LazyLock;

/// One consumer that `#[consumer]` saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerEntry {
    /// The type with its module: `my_app::chat::ChatConsumer`.
    pub name: &'static str,
    /// The file, as `file!()` gives it.
    pub file: &'static str,
    /// The line of the `impl`.
    pub line: u32,
    /// The type that `receive` takes, as written.
    pub input: &'static str,
    /// Its handlers, in the order of the source.
    pub handlers: &'static [HandlerEntry],
}

/// One `#[handler]` method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandlerEntry {
    /// The event it answers to.
    pub event: &'static str,
    /// The method.
    pub method: &'static str,
    /// The type of event it takes, as written.
    pub payload: &'static str,
    /// Whether it has no `self`, and so runs once per event for all members.
    pub pure: bool,
    /// The line of the method.
    pub line: u32,
}

inventory::collect!(ConsumerEntry);

/// The consumers of this program. [`registry`] gives it.
#[derive(Debug)]
pub struct Registry {
    consumers: Vec<&'static ConsumerEntry>,
}

impl Registry {
    /// Every consumer, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &'static ConsumerEntry> {
        self.consumers.iter().copied()
    }

    /// The consumer of this name (type with its module, as [`std::any::type_name`] gives it).
    #[must_use]
    pub fn consumer(&self, name: &str) -> Option<&'static ConsumerEntry> {
        let at = self.consumers.binary_search_by_key(&name, |entry| entry.name).ok()?;
        Some(self.consumers[at])
    }
}

/// The consumers that `#[consumer]` registered in this program, read once.
///
/// A crate that no line of the program names is not linked, and its consumers are missing here: write
/// `use my_consumers as _;` where the program starts. Generic consumers are not registered: they have no single name.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// for consumer in channels::registry().consumers() {
///     println!("{} takes {}", consumer.name, consumer.input);
/// }
/// ```
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let mut consumers: Vec<_> = inventory::iter::<ConsumerEntry>().collect();
        consumers.sort_by_key(|entry| (entry.name, entry.file, entry.line));
        Registry { consumers }
    });
    &REGISTRY
}
