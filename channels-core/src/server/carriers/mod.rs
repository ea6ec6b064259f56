//! Requests and sockets that carry a session: they make it, or are brought to it.

mod client;
mod cors;
mod requests;
mod socket;
mod streams;
pub(super) mod wanted;

use std::{rc::Rc, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    guard::{self, GuardContext},
    http::header,
    web,
};

use self::wanted::Wanted;
use super::{
    Config,
    front::TAIL,
    proxies::Said,
    stats,
    thread::{ServerThread, failed, not_found, unavailable},
};
use crate::{
    Accept, Scope,
    routing::{Application, Endpoint, Outcome, RouteList, Transports},
    scope::Protocol,
    session::{Asker, Inbox, Lasting, Link, SessionId},
    transport::batch::Opened,
};

/// How many parts the path may have at which somebody else's server has the application: a request is tried at each of them.
const MOUNT_PARTS: usize = 16;

/// A session that a request has opened.
struct Begun {
    link: Link,
    accept: Accept,
}

/// A request that was let through to its consumer's route.
struct Admitted {
    scope: Scope,
    endpoint: Endpoint,
    config: Arc<Config>,
}

impl ServerThread {
    /// The requests that carry sessions, wherever the application serves them; nothing if it does so nowhere.
    pub(super) fn carriers(self: &Rc<Self>) -> Option<Resource> {
        if !RouteList::of(&self.app).offers_requests() {
            return None;
        }
        let thread = self.clone();
        let carries = guard::fn_guard(move |request| thread.carries(request));
        Some(web::resource(format!("/{{{TAIL}:.*}}")).guard(carries))
    }

    /// Whether a request is one of a session's, at the path of a route that has sessions.
    fn carries(&self, request: &GuardContext<'_>) -> bool {
        let head = request.head();
        if !wanted::may_carry(&head.method, &head.headers) {
            return false;
        }
        let said = request.req_data().get::<Said>().and_then(|said| said.root_path.clone());
        let root = said.unwrap_or_else(|| self.front.root_path.clone());
        // Where the application is mounted is not known here: a route may begin behind any part of the path.
        let path = head.uri.path();
        let mounts = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
        let mounts = mounts.take(if self.is_mounted { MOUNT_PARTS } else { 0 });
        let mut scope = Scope::new(Protocol::Websocket, &head.uri.to_string());
        scope.asked = Transports::REQUESTS;
        for root in std::iter::once(&*root).chain(mounts) {
            scope = scope.with_root_path(root);
            if self.app.serves(&mut scope) {
                return true;
            }
        }
        false
    }

    /// Answers a request of a session.
    pub(super) async fn carry(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let scope = wanted::scope(&self.front, &request);
        let page = scope.page.clone();
        let mut response = match Wanted::of(&request) {
            None => cors::preflight(self.app.call(scope).await, &request),
            Some(wanted @ Wanted::Open { .. }) => stats::answered(self.want(wanted, &request, payload, scope).await),
            Some(wanted) => self.want(wanted, &request, payload, scope).await,
        };
        cors::allow(&page, &request, response.headers_mut());
        response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }

    async fn want(
        &self,
        wanted: Wanted,
        request: &HttpRequest,
        payload: web::Payload,
        mut scope: Scope,
    ) -> HttpResponse {
        let opens = matches!(wanted, Wanted::Open { .. });
        if opens && self.keepers.is_draining() {
            return unavailable("the server is stopping");
        }
        scope.asked = wanted.transports();
        let (outcome, _handshake) = if opens {
            match self.ask(scope).await {
                Ok((outcome, handshake)) => (outcome, Some(handshake)),
                Err(response) => return *response,
            }
        } else {
            (self.app.call(scope).await, None)
        };
        match outcome {
            Outcome::Run(scope, endpoint) => {
                let config = self.config.changed(&scope.config_changes);
                let admitted = Admitted { scope, endpoint, config };
                match wanted {
                    Wanted::Open { stream: false } => self.open_to_poll(admitted).await,
                    Wanted::Open { stream: true } => self.open_stream(request, admitted).await,
                    Wanted::Take { id, after, stream: false } => self.poll(request, admitted, &id, after).await,
                    Wanted::Take { id, after, stream: true } => self.stream(request, admitted, &id, after).await,
                    Wanted::Push { id } => self.push(admitted, &id, payload).await,
                    Wanted::Close { id } => self.close(admitted, &id, payload).await,
                    Wanted::Nonsense(why) => requests::bad(why),
                }
            }
            Outcome::Refuse(deny) => deny.into_response(),
            Outcome::NoRoute(_) => not_found(),
        }
    }

    /// Starts a consumer, and gives the session its id once that has accepted; the response when it has not.
    async fn begin_lasting(&self, admitted: Admitted) -> Result<Begun, Box<HttpResponse>> {
        let Admitted { scope, endpoint, config } = admitted;
        let layer = self.layers.get(endpoint.layer()).map_err(|error| failed(&endpoint, scope.path(), &error))?.clone();
        let channel = self.home.channel(endpoint.layer(), &layer).await;
        let channel = channel.map_err(|error| failed(&endpoint, scope.path(), &error))?;
        let (path, owner, offered) = (scope.path().to_owned(), scope.owner.clone(), scope.subprotocols().to_vec());

        let port = self.port(&scope, &endpoint, &config);
        let inbox = Inbox::new(config.max_message_size);
        let session = Lasting::new(port.clone(), inbox.clone(), owner.clone());
        let mut opening = self.begin(scope, &endpoint, &config, &port, Box::new(inbox.reader()))?;
        let mut accept = self.accepted(&mut opening, &endpoint, &port).await?;
        if accept.subprotocol.as_ref().is_some_and(|chosen| !offered.contains(chosen)) {
            tracing::warn!(
                path,
                subprotocol = accept.subprotocol,
                "a subprotocol that the client did not offer is left out"
            );
            accept.subprotocol = None;
        }
        session.opened(accept.subprotocol.clone());
        let id = self.home.take_in(channel, session, opening.into_life());
        let asker = Asker { path, owner: owner.get() };
        Ok(Begun { link: Link::new(self.home.clone(), layer, id, asker), accept })
    }

    /// The way to the session that a request names.
    fn link_named(&self, admitted: &Admitted, id: &str) -> Result<Link, Box<HttpResponse>> {
        let id = SessionId::parse(id).ok_or_else(|| Box::new(requests::gone()))?;
        self.link(admitted, id)
    }

    /// The way to a session that there should be.
    fn link(&self, admitted: &Admitted, id: SessionId) -> Result<Link, Box<HttpResponse>> {
        let Admitted { scope, endpoint, .. } = admitted;
        let layer = self.layers.get(endpoint.layer()).map_err(|error| failed(endpoint, scope.path(), &error))?.clone();
        let asker = Asker { path: scope.path().to_owned(), owner: scope.owner.get() };
        Ok(Link::new(self.home.clone(), layer, id, asker))
    }
}

/// What a client is told of its session.
fn opened<'a>(id: &'a str, config: &Config, subprotocol: Option<&'a str>, taken: Option<u64>) -> Opened<'a> {
    Opened { session: id, window: config.poll_window, subprotocol, taken }
}
