//! What middleware wants done for a connection.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::{Deadline, Extensions, Scope};
use crate::{
    GroupName, Result,
    middleware::{After, Gate},
};

/// What middleware wants done for a connection, if its consumer runs.
#[derive(Default)]
pub(crate) struct Demands {
    /// The middleware that is told of the end, outermost first.
    pub(crate) afters: Vec<Arc<dyn After>>,
    /// What a message passes before it is received, outermost first.
    pub(crate) gates: Vec<Box<dyn Gate>>,
    /// What is joined before the groups of the consumer's own.
    pub(crate) joins: Vec<Join>,
    pub(crate) deadline: Option<Deadline>,
}

/// A group, and whether what led to it is still so, which is asked when it is joined: what was sent to the group before
/// that is told nobody again.
pub(crate) struct Join {
    pub(crate) group: GroupName,
    pub(crate) still: Still,
}

pub(crate) type Still = Box<dyn for<'a> FnOnce(&'a Scope) -> LocalBoxFuture<'a, Result<bool>>>;

/// A scope as it was before a middleware, but for what the routers know.
pub(crate) struct Mark {
    afters: usize,
    gates: usize,
    joins: usize,
    deadline: Option<Deadline>,
    owner: Option<String>,
    page: bool,
    extensions: Extensions,
}

impl Scope {
    pub(crate) fn mark(&self) -> Mark {
        let Demands { afters, gates, joins, deadline } = &self.demands;
        Mark {
            afters: afters.len(),
            gates: gates.len(),
            joins: joins.len(),
            deadline: deadline.clone(),
            owner: self.owner.get(),
            page: self.page.is_allowed(),
            extensions: self.extensions.clone(),
        }
    }

    /// Forgets what was demanded and left in it since.
    pub(crate) fn return_to(&mut self, mark: Mark) {
        self.demands.afters.truncate(mark.afters);
        self.demands.gates.truncate(mark.gates);
        self.demands.joins.truncate(mark.joins);
        self.demands.deadline = mark.deadline;
        self.owner.set(mark.owner);
        self.page.set(mark.page);
        self.extensions = mark.extensions;
    }
}
