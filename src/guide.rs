//! The tutorial, the topics, the reference, and the architecture on one page.
//!
//! - [`tutorial`]: four parts, to be read in order. Start here.
//! - [`topics`]: one page for each part of the framework, to be looked up.
//! - [`reference`](mod@reference): close codes and statuses, transports on the wire, what a channel layer promises, performance,
//!   and where to find what Django Channels has.
//! - [`architecture`]: a message's way from one client to the others, and what is bounded on it.
//!
//! Every block of Rust in these pages is compiled, and run where that needs no network, by `cargo test --doc`.

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

pub mod tutorial {
    //! Four parts, to be read in order: a server that echoes, a chat, events, and tests.
    //!
    //! 1. [Echo](echo): a consumer, a route, a server; the life of a connection.
    //! 2. [Chat](chat): groups, events, handlers, and a page.
    //! 3. [Events](events): once for all members, by name, to one connection, from outside; workers.
    //! 4. [Testing](testing): consumers and applications without a port.

    #[doc = include_str!("../docs/tutorial/1-echo.md")]
    pub mod echo {}

    #[doc = include_str!("../docs/tutorial/2-chat.md")]
    pub mod chat {}

    #[doc = include_str!("../docs/tutorial/3-events.md")]
    pub mod events {}

    #[doc = include_str!("../docs/tutorial/4-testing.md")]
    pub mod testing {}
}

pub mod topics {
    //! One page for each part: an example, the rules, what goes wrong.
    //!
    //! - [Scope](scope): what is known of a connection.
    //! - [Routing](routing): which consumer a connection gets.
    //! - [Transports](transports): one consumer by sockets, event streams and polls.
    //! - [Middleware](middleware): what stands before it.
    //! - [Sessions](sessions): what outlives a connection, shared with HTTP views.
    //! - [Authentication](authentication): users, logins, tokens.
    //! - [Consumers](consumers): hooks, and the life of a connection.
    //! - [HTTP requests and long polls](http): responses that wait for an event.
    //! - [Events](events): types, handlers, sending.
    //! - [Channel layers](layers): groups, bounds, reports.
    //! - [Presence](presence): who is here, and who comes and goes.
    #![cfg_attr(feature = "redis", doc = "- [Redis](redis): many processes, and Django on the other side.")]
    //! - [The client](client): `channels.js`, for pages.
    //! - [Workers](worker): consumers that read named channels.
    //! - [Testing](testing): what a communicator can do.
    //! - [Deploying](deploying): settings, proxies, stopping, watching.

    #[doc = include_str!("../docs/topics/scope.md")]
    pub mod scope {}

    #[doc = include_str!("../docs/topics/routing.md")]
    pub mod routing {}

    #[doc = include_str!("../docs/topics/transports.md")]
    pub mod transports {}

    #[doc = include_str!("../docs/topics/middleware.md")]
    pub mod middleware {}

    #[cfg(feature = "session")]
    #[doc = include_str!("../docs/topics/sessions.md")]
    pub mod sessions {}

    #[cfg(feature = "auth")]
    #[doc = include_str!("../docs/topics/authentication.md")]
    pub mod authentication {}

    #[doc = include_str!("../docs/topics/consumers.md")]
    pub mod consumers {}

    #[doc = include_str!("../docs/topics/http.md")]
    pub mod http {}

    #[doc = include_str!("../docs/topics/events.md")]
    pub mod events {}

    #[doc = include_str!("../docs/topics/layers.md")]
    pub mod layers {}

    #[doc = include_str!("../docs/topics/presence.md")]
    pub mod presence {}

    #[cfg(feature = "redis")]
    #[doc = include_str!("../docs/topics/redis.md")]
    pub mod redis {}

    #[doc = include_str!("../docs/topics/client.md")]
    pub mod client {}

    #[doc = include_str!("../docs/topics/worker.md")]
    pub mod worker {}

    #[doc = include_str!("../docs/topics/testing.md")]
    pub mod testing {}

    #[doc = include_str!("../docs/topics/deploying.md")]
    pub mod deploying {}
}

pub mod reference {
    //! To be looked up.
    //!
    //! - [Close codes and statuses](close_codes): how a connection ends, and what the client should do.
    //! - [Transports on the wire](transports): what clients and servers say to each other.
    //! - [What a channel layer promises](layer_spec): delivery, order, capacity, time.
    //! - [Performance](performance): what a message costs, beside others, and how that is measured.
    //! - [From Django Channels](from_django): Channels' names and ours, and its tests.

    #[doc = include_str!("../docs/reference/close-codes.md")]
    pub mod close_codes {}

    #[doc = include_str!("../docs/reference/transports.md")]
    pub mod transports {}

    #[doc = include_str!("../docs/reference/layer-spec.md")]
    pub mod layer_spec {}

    #[doc = include_str!("../docs/performance.md")]
    pub mod performance {}

    #[doc = include_str!("../docs/reference/from-django.md")]
    pub mod from_django {}
}
