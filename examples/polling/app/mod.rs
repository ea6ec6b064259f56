//! The application: three ways into one room.
//!
//! | | | |
//! |---|---|---|
//! | `GET /home/` | a page, and a queue for its visitor, whose id is in the page and in the header `Visitor` | 503 when there are too many |
//! | `POST /send/msg/` | `{"name": "Ann", "text": "hi"}` to the room: 204 | 400, 413 |
//! | `GET /get/msg/` | with the header `Visitor`: `{"status": true, "data": [messages]}` as soon as there is one, `{"status": false, "data": null}` after 10 s | 410 to a visitor that is unknown, or was away too long |
//! | `GET /look/msg/` | the same, at once | the same |
//! | `/ws/` | the WebSocket: what one sends is what `/send/msg/` takes, what comes is a message | closes with 1007, 1009 |

mod chat;
mod long_poll;
mod page;
mod visitors;

use std::time::Duration;

use channels::prelude::*;

use self::{
    chat::Socket,
    long_poll::{Clerk, GetMessage, Home, SendMessage},
    visitors::Visitors,
};

/// Bytes of a message: 2,000 characters fit, even where JSON escapes each of them in 12 bytes.
const MAX_BODY: usize = 32 * 1024;

/// How long somebody waits.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// A poll, for a message.
    pub(crate) window: Duration,
    /// A queue, for its visitor's next poll.
    pub(crate) away: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), away: Duration::from_secs(15) }
    }
}

pub(crate) fn server(layer: Layer, patience: Patience) -> Result<Server> {
    let visitors = Visitors::new(patience.away);
    let poll = |window| {
        let visitors = visitors.clone();
        move || GetMessage::new(visitors.clone(), window)
    };
    let requests = URLRouter::new([
        path("home/", {
            let visitors = visitors.clone();
            move || Home(visitors.clone())
        }),
        path("send/msg/", SendMessage::default),
        path("get/msg/", poll(patience.window)),
        path("look/msg/", poll(Duration::ZERO)),
    ])?;
    let clerk = ChannelNameRouter::new([("clerk", move || Clerk(visitors.clone()))])?;
    let app = ProtocolTypeRouter::new()
        .http(page::serve)
        .http_consumers(requests)
        .websocket(URLRouter::new([path("ws/", Socket::default)])?)
        .channel(clerk);
    let config = Config { max_message_size: MAX_BODY, ..Config::default() };
    Ok(Server::new(app).layers(layer).config(config))
}
