//! The application: pages and a socket, with sessions in common.

mod member;
mod pages;
mod store;
mod users;

use actix_session::SessionMiddleware;
use channels::{
    actix_web::cookie::Key,
    auth::{AuthMiddlewareStack, require_auth},
    middleware::{RateLimit, Sessions},
    prelude::*,
};

use self::{
    member::Member,
    store::MemoryStore,
    users::{User, Users},
};

pub(crate) fn server(layer: Layer) -> Result<Server> {
    let users = Users::new()?;
    let layers = Layers::from(layer.clone());

    let (store, key) = (MemoryStore::default(), Key::generate());
    // `HttpOnly` and `SameSite=Lax` by themselves. `Secure` needs HTTPS, which a program on one's own machine has not.
    let sessions = move || SessionMiddleware::builder(store.clone(), key.clone()).cookie_secure(false).build();

    let stack = (
        AllowedHosts::from(["localhost", "127.0.0.1", "[::1]"]),
        AuthMiddlewareStack::new(Sessions::new(sessions.clone()), users.clone()),
        require_auth::<User>(),
        RateLimit::per_user(20, std::time::Duration::from_secs(10)),
    );
    let routes = URLRouter::new([path("ws/", Member::default)])?;
    let app = ProtocolTypeRouter::new()
        .http(move |config| pages::serve(config, sessions(), users.clone(), layer.clone()))
        .websocket(stack.wrap(routes));
    Ok(Server::new(app).layers(layers))
}
