//! A time at which a connection is closed.

use std::rc::Rc;

use tokio::time::{Instant, sleep_until};

use crate::{Close, session::Port};

/// When a connection is closed, and how.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) close: Close,
}

/// A task that waits for a deadline and closes the connection then. Dropping it calls it off.
///
/// It is a task of its own because nothing within a connection runs while its client reads nothing.
pub(crate) struct Alarm(actix_rt::task::JoinHandle<()>);

impl Alarm {
    pub(crate) fn set(deadline: Deadline, port: &Rc<Port>) -> Self {
        let port = Rc::downgrade(port);
        Self(actix_rt::spawn(async move {
            sleep_until(deadline.at).await;
            if let Some(port) = port.upgrade() {
                port.close(deadline.close);
            }
        }))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}
