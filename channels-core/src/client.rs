//! The client for browsers, as a script that the server has within it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    web,
};

/// The client, a minified ES module. [`client_script`] serves it.
pub const CLIENT_SCRIPT: &str = include_str!("../client/dist/channels.js");

/// Serves the client at a path of yours, as `text/javascript`.
///
/// A browser keeps it, and asks each time whether it is still the same one: it always is that of the server which runs. What
/// it can do is on the page on the client in the guide.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{ProtocolTypeRouter, client_script};
///
/// let app = ProtocolTypeRouter::new().http(|services| {
///     services.service(client_script("/channels.js"));
/// });
/// ```
///
/// In a page:
///
/// ```html
/// <script type="module">
///   import { ChannelsSocket } from "/channels.js";
///   const socket = new ChannelsSocket("/ws/lobby/");
///   socket.onmessage = (message) => console.log(message.data);
/// </script>
/// ```
pub fn client_script(path: &str) -> Resource {
    let mut hasher = DefaultHasher::new();
    CLIENT_SCRIPT.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    web::resource(path).route(web::get().to(move |request: HttpRequest| {
        let asked = request.headers().get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let same = asked.is_some_and(|tags| tags.split(',').any(|other| other.trim().trim_start_matches("W/") == tag));
        let mut answer = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((ETAG, tag.clone())).insert_header((CACHE_CONTROL, "no-cache"));
        answer.content_type("text/javascript; charset=utf-8");
        let answer = if same { answer.finish() } else { answer.body(CLIENT_SCRIPT) };
        async move { answer }
    }))
}
