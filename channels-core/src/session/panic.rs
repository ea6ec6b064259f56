//! Panics that are caught, with their places: what a panic hands on is its text alone.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes from now on where this process panics, and then does what was done about it before.
pub(crate) fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string);
            // A thread that is about to end has no room for it any more, and nobody who asks.
            let _ = PLACE.try_with(|last| last.replace(place));
            next(panic);
        }));
    });
}

/// A panic that was caught.
pub(crate) struct Panic {
    payload: Box<dyn Any + Send>,
    place: Option<String>,
}

impl Panic {
    /// Runs what may panic.
    pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Self> {
        drop(PLACE.take());
        catch_unwind(AssertUnwindSafe(run)).map_err(|payload| Self { payload, place: PLACE.take() })
    }

    /// Goes on with a panic of another thread.
    pub(crate) fn resume(self) -> ! {
        PLACE.set(self.place);
        resume_unwind(self.payload)
    }
}

impl fmt::Display for Panic {
    /// `panicked at src/chat.rs:12:9: no such room`, as the standard library has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| self.payload.downcast_ref::<String>().map(String::as_str));
        f.write_str("panicked")?;
        if let Some(place) = &self.place {
            write!(f, " at {place}")?;
        }
        write!(f, ": {}", text.unwrap_or("without a text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(run: impl FnOnce()) -> Panic {
        note_places();
        Panic::catch(run).expect_err("it panics")
    }

    #[test]
    fn a_panic_has_its_text_and_its_place() {
        let line = line!() + 1;
        let panic = caught(|| panic!("no room {}", 7));
        let file = file!();
        assert_eq!(panic.to_string(), format!("panicked at {file}:{line}:31: no room 7"));
        assert_eq!(Panic::catch(|| 7).ok(), Some(7));
    }

    #[test]
    fn a_panic_of_another_thread_keeps_its_place() {
        let first = std::thread::spawn(|| caught(|| panic!("far away"))).join().expect("it was caught");
        let told = first.to_string();
        assert!(told.contains("panic.rs:") && told.ends_with("far away"), "{told}");
        assert_eq!(caught(|| first.resume()).to_string(), told);
    }

    #[test]
    fn the_place_of_a_panic_that_the_program_caught_itself_is_not_that_of_a_later_one() {
        let own = caught(|| panic!("caught by itself"));
        assert_eq!(caught(|| resume_unwind(own.payload)).to_string(), "panicked: caught by itself");
        assert_eq!(caught(|| resume_unwind(Box::new(7))).to_string(), "panicked: without a text");
    }
}
