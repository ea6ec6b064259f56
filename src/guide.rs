//! The tutorial, in four parts, and the architecture on one page.
//!
//! 1. [Echo](echo): a consumer, a route, a server, the life of a connection.
//! 2. [Chat](chat): groups, events, handlers.
//! 3. [Events](events): once for all members, by name, from outside; workers.
//! 4. [Testing](testing): consumers without a port.
//!
//! Then [the architecture](architecture): a message's way, and what is bounded on it.
//!
//! Every block of code in these pages is compiled, and run where it can be, by `cargo test --doc`.

#[doc = include_str!("../docs/tutorial/1-echo.md")]
pub mod echo {}

#[doc = include_str!("../docs/tutorial/2-chat.md")]
pub mod chat {}

#[doc = include_str!("../docs/tutorial/3-events.md")]
pub mod events {}

#[doc = include_str!("../docs/tutorial/4-testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
