//! Events that nobody handles: logged once for each consumer and type.

use std::{
    any::TypeId,
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use super::port::Class;

/// Types that are remembered; more are not logged, so that odd senders cannot fill the memory.
const REMEMBERED: usize = 1_024;

pub(super) fn note(class: Class, event: &str) {
    static SEEN: LazyLock<Mutex<HashSet<(TypeId, String)>>> = LazyLock::new(Mutex::default);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() < REMEMBERED && seen.insert((class.id, event.to_owned())) {
        tracing::warn!(
            consumer = class.name,
            event,
            "no handler for this event; it is dropped (said once for each type of event)"
        );
    }
}
