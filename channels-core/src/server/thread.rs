//! One worker thread: handshakes become sessions.

use std::{cell::Cell, future::poll_fn, rc::Rc, sync::Arc};

use actix::Actor;
use actix_web::{
    HttpRequest, HttpResponse, Resource,
    body::BoxBody,
    guard,
    http::{StatusCode, header},
    web::{self, ServiceConfig},
};

use super::{Config, ConfigError, Front, Guest, front::TAIL, shutdown::Keepers, takeover::Takeover};
use crate::{
    Close, CloseCode, Layers, ProtocolTypeRouter, Scope,
    consumer::Context,
    routing::{Application, Endpoint, Outcome, RouteList},
    session::{Answer, ClientBytes, Cut, Flusher, Keeper, Line, Opening, Port, Roster, Wire},
    transport::websocket::{self, Codec, Encoder},
};

/// What a worker thread needs to serve an application.
pub(super) struct ServerThread {
    app: ProtocolTypeRouter,
    layers: Layers,
    config: Arc<Config>,
    front: Front,
    roster: Roster,
    flusher: Flusher,
    keepers: Keepers,
    /// Handshakes that wait for an answer.
    handshakes: Cell<usize>,
}

impl ServerThread {
    /// Prepares this thread, and starts the actor that keeps its roster.
    pub(super) fn start(
        app: ProtocolTypeRouter,
        layers: Layers,
        config: Arc<Config>,
        front: Front,
        keepers: &Keepers,
    ) -> Rc<Self> {
        let roster = Roster::default();
        keepers.add(|worker| Keeper::new(roster.clone(), worker).start());
        Rc::new(Self {
            app,
            layers,
            config,
            front,
            roster,
            flusher: Flusher::start(),
            keepers: keepers.clone(),
            handshakes: Cell::new(0),
        })
    }

    /// Registers the application's handshakes, before everything else that has their paths.
    pub(super) fn install(self: Rc<Self>, service: &mut ServiceConfig) {
        let handler = move |request, payload| {
            let thread = self.clone();
            async move { thread.handshake(request, payload).await }
        };
        service.service(handshakes().to(handler));
    }

    async fn handshake(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        if self.keepers.is_draining() {
            return unavailable("the server is stopping");
        }
        if let Some(response) = websocket::refusal(&request) {
            return response;
        }
        match self.app.call(self.front.scope(&request)).await {
            Outcome::Run(scope, endpoint) => self.open(request, payload, scope, &endpoint).await,
            Outcome::Refuse(deny) => deny.into_response(),
            Outcome::NoRoute(scope) => {
                tracing::warn!(path = scope.path(), tried = %RouteList::of(&self.app), "no route for this path");
                not_found()
            }
        }
    }

    async fn open(
        &self,
        request: HttpRequest,
        payload: web::Payload,
        scope: Scope,
        endpoint: &Endpoint,
    ) -> HttpResponse {
        let layer = match self.layers.get(endpoint.layer()) {
            Ok(layer) => layer.clone(),
            Err(error) => return failed(endpoint, &error),
        };
        let config = self.config.changed(&scope.config_changes);
        let guest = match self.admit(&scope, &config) {
            Ok(guest) => guest,
            Err(refusal) => return *refusal,
        };
        let class = endpoint.class();
        let port = Port::new(config.clone(), class, &scope, self.roster.stats(class));
        let bytes = ClientBytes::new(payload.into_inner(), port.clone());
        let Codec { reader, writer, extension } = Codec::new(&request, bytes, &config);
        let line = Line::new(Box::new(reader), port.clone()).listed(self.roster.enter(port.clone(), guest));
        let cx = Context::new(port.clone(), scope, self.layers.clone(), layer);
        let life = match endpoint.start(cx, line) {
            Ok(life) => life,
            Err(panic) => return failed(endpoint, &panic),
        };
        let _handshake = self.begin_handshake();
        let mut opening = Opening::new(port.clone(), life);
        let answer = poll_fn(|task| opening.poll_answer(task));
        match tokio::time::timeout(config.handshake_timeout, answer).await {
            Ok(Some(Answer::Accept(accept))) => match websocket::accept(&request, &accept, extension) {
                Ok(response) => self.go_on(&request, opening, response, writer).await,
                Err(error) => failed(endpoint, &error),
            },
            Ok(Some(Answer::Refuse(deny))) => deny.into_response(),
            Ok(None) => {
                tracing::debug!(consumer = endpoint.consumer(), "the client left before it was answered");
                HttpResponse::BadRequest().finish()
            }
            Err(_) => {
                let timeout = config.handshake_timeout;
                tracing::error!(consumer = endpoint.consumer(), ?timeout, "`connect` did not decide in time");
                port.end(Close::new(CloseCode::ABNORMAL, "`connect` did not decide in time"), Cut::Now);
                unavailable("the application did not answer in time")
            }
        }
    }

    /// Refuses a handshake that is over a limit.
    fn admit(&self, scope: &Scope, config: &Config) -> Result<Option<Guest>, Box<HttpResponse>> {
        let sizes = scope.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        if sizes.sum::<usize>() > config.max_header_size {
            let text = format!("the header fields are over {} bytes", config.max_header_size);
            return Err(HttpResponse::RequestHeaderFieldsTooLarge().body(text).into());
        }
        if self.roster.len() >= config.max_connections || self.handshakes.get() >= config.max_handshakes {
            return Err(unavailable("the server is full").into());
        }
        let (Some(limit), Some(client)) = (config.max_connections_per_address, scope.client()) else { return Ok(None) };
        let guest = self.keepers.addresses().enter(client.ip(), limit);
        guest.map(Some).ok_or_else(|| {
            let text = format!("your address has {limit} connections already");
            HttpResponse::TooManyRequests().insert_header((header::RETRY_AFTER, "1")).body(text).into()
        })
    }

    /// Counts a handshake until what is returned is dropped.
    fn begin_handshake(&self) -> impl Drop + use<'_> {
        struct Handshake<'a>(&'a Cell<usize>);
        impl Drop for Handshake<'_> {
            fn drop(&mut self) {
                self.0.update(|count| count - 1);
            }
        }
        self.handshakes.update(|count| count + 1);
        Handshake(&self.handshakes)
    }

    /// Lets a session go on that has accepted: on the client's socket if it can be had, else as the body of the answer.
    async fn go_on(
        &self,
        request: &HttpRequest,
        opening: Opening,
        mut answer: HttpResponse,
        encoder: Encoder,
    ) -> HttpResponse {
        if let Some(takeover) = request.conn_data::<Takeover>() {
            tokio::task::yield_now().await;
            if opening.may_take_over()
                && let Some(socket) = takeover.take()
            {
                self.front.sign(answer.headers_mut());
                opening.take_over(Wire::new(socket, websocket::head(&answer), encoder, self.flusher.clone()));
                return HttpResponse::SwitchingProtocols().force_close().finish();
            }
        }
        answer.set_body(BoxBody::new(opening.into_body(encoder)))
    }
}

/// Answers every handshake with 500, and says why once: what a thread does that cannot run sessions.
pub(super) fn install_failure(service: &mut ServiceConfig, error: ConfigError) {
    tracing::error!(%error, "handshakes cannot be served");
    service.service(handshakes().to(HttpResponse::InternalServerError));
}

/// The requests that ask for a WebSocket, wherever.
fn handshakes() -> Resource {
    let asks = guard::fn_guard(|request| {
        let upgrade = request.head().headers.get(header::UPGRADE);
        upgrade.is_some_and(|value| value.as_bytes().to_ascii_lowercase().windows(9).any(|at| at == b"websocket"))
    });
    web::resource(format!("/{{{TAIL}:.*}}")).guard(asks)
}

/// What is answered to a request that nothing else takes: 426 where a WebSocket is served, 404 elsewhere.
pub(super) fn miss(app: &ProtocolTypeRouter, front: &Front, request: &HttpRequest) -> HttpResponse {
    if !app.serves(&mut front.scope(request)) {
        return not_found();
    }
    HttpResponse::build(StatusCode::UPGRADE_REQUIRED)
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::CONNECTION, "Upgrade"))
        .body("this is a WebSocket")
}

fn not_found() -> HttpResponse {
    HttpResponse::NotFound().body("not found")
}

fn unavailable(why: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).body(why)
}

fn failed(endpoint: &Endpoint, error: &dyn std::fmt::Display) -> HttpResponse {
    tracing::error!(consumer = endpoint.consumer(), %error, "a connection could not be opened");
    HttpResponse::InternalServerError().finish()
}
