//! A consumer that does nothing, for tests of what is around one.

use std::{rc::Rc, sync::Arc};

use super::{Class, Port, Stats};
use crate::{Config, Consumer, Message, Scope, consumer::Accept, routing::Endpoint};

struct Nobody;

impl Consumer for Nobody {
    type Input = Message;
}

pub(crate) fn class() -> Class {
    Endpoint::new(|| Nobody).class()
}

/// A connection of this class that is not answered.
pub(crate) fn port(config: Config, class: Class) -> Rc<Port> {
    Port::new(Arc::new(config), &Scope::websocket("/"), Stats::new(class))
}

/// One that is accepted.
pub(crate) fn open_port(config: Config, class: Class) -> Rc<Port> {
    let port = port(config, class);
    port.accept(Accept::default()).unwrap();
    port
}
