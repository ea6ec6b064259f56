//! The application: a page, a socket for each viewer, and one sampler for all.

mod machine;
mod page;
mod sampler;
mod viewer;

use channels::prelude::*;

pub(crate) use self::sampler::Sampler;
use self::{sampler::History, viewer::Viewer};

/// The server, and what runs beside it.
pub(crate) fn server(layer: Layer) -> Result<(Server, Sampler)> {
    let history = History::default();
    let viewer = {
        let history = history.clone();
        move || Viewer::new(history.clone())
    };
    let app = ProtocolTypeRouter::new().http(page::serve).websocket(URLRouter::new([path("ws/", viewer)])?);
    // Viewers only send what they want to hear again.
    let config = Config { max_message_size: 1024, ..Config::default() };
    let server = Server::new(app).layers(layer.clone()).config(config);
    let sampler = Sampler::new(server.stats(), layer, history);
    Ok((server, sampler))
}
