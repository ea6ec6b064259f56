//! One worker thread: handshakes become sessions.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::Poll,
};

use actix::Actor;
use actix_web::{
    HttpRequest, HttpResponse, Resource,
    body::BoxBody,
    dev::Payload,
    guard,
    http::{Method, StatusCode, header},
    web::{self, ServiceConfig},
};
use bytes::Bytes;

use super::{
    Config, ConfigError, Front, Guest, carriers::wanted::may_carry, front::TAIL, shutdown::Keepers, stats,
    takeover::Takeover,
};
use crate::{
    Close, CloseCode, Layers, ProtocolTypeRouter, Scope,
    consumer::{Accept, Context},
    one_line::OneLine,
    routing::{Application, Endpoint, Outcome, Transports, not_offered},
    scope::Protocol,
    session::{Answer, ClientBytes, Cut, Flusher, Home, Keeper, Line, Opening, Port, Roster, Wire},
    transport::{
        Transport,
        framed::Offer,
        http::Request,
        websocket::{self, Codec, Encoder},
    },
};

/// What a worker thread needs to serve an application.
pub(super) struct ServerThread {
    pub(super) app: ProtocolTypeRouter,
    pub(super) layers: Layers,
    pub(super) config: Arc<Config>,
    pub(super) front: Front,
    /// Somebody else's server has it, perhaps below a path.
    pub(super) is_mounted: bool,
    pub(super) keepers: Keepers,
    pub(super) home: Rc<Home>,
    roster: Roster,
    flusher: Flusher,
    /// Handshakes that wait for an answer.
    handshakes: Rc<Cell<usize>>,
    /// Sockets that close and whose session is over, or was never there: connections that are in no roster.
    pub(super) closing: Rc<Cell<usize>>,
}

thread_local! {
    /// What each server has on this thread, however many addresses it has.
    static SERVERS: RefCell<Vec<Weak<ServerThread>>> = RefCell::default();
}

impl ServerThread {
    /// What the server of these keepers has on this thread, which is started by the first that asks.
    pub(super) fn of_or_start(keepers: &Keepers, start: impl FnOnce() -> Rc<Self>) -> Rc<Self> {
        SERVERS.with_borrow_mut(|servers| {
            servers.retain(|server| server.strong_count() > 0);
            let started = servers.iter().filter_map(Weak::upgrade).find(|server| server.keepers.are(keepers));
            started.unwrap_or_else(|| {
                let started = start();
                servers.push(Rc::downgrade(&started));
                started
            })
        })
    }

    /// Prepares this thread, and starts the actor that keeps its roster.
    pub(super) fn start(
        app: ProtocolTypeRouter,
        layers: Layers,
        config: Arc<Config>,
        front: Front,
        keepers: &Keepers,
        home: Rc<Home>,
        is_mounted: bool,
    ) -> Rc<Self> {
        let (roster, flusher) = (Roster::default(), Flusher::start());
        keepers.add(|worker| Keeper::new(roster.clone(), flusher.clone(), worker, layers.clone()).start());
        Rc::new(Self {
            app,
            layers,
            config,
            front,
            is_mounted,
            keepers: keepers.clone(),
            home,
            roster,
            flusher,
            handshakes: Rc::default(),
            closing: Rc::default(),
        })
    }

    /// Registers the application's handshakes, before everything else that has their paths.
    pub(super) fn install(self: Rc<Self>, service: &mut ServiceConfig) {
        let answers_http = self.app.application(Protocol::Http).is_some();
        let thread = self.clone();
        let answer = move |request, payload| {
            let thread = thread.clone();
            async move { thread.request(request, payload).await }
        };
        let thread = self.clone();
        let handler = move |request, payload| {
            let thread = thread.clone();
            async move { stats::answered(thread.handshake(request, payload).await) }
        };
        service.service(handshakes().to(handler));
        if let Some(carriers) = self.carriers() {
            let carrier = move |request, payload| {
                let thread = self.clone();
                async move { thread.carry(request, payload).await }
            };
            service.service(carriers.to(carrier));
        }
        if answers_http {
            service.default_service(web::to(answer));
        }
    }

    /// Answers a request that nothing else takes.
    async fn request(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        if self.keepers.is_draining() {
            return unavailable("the server is stopping");
        }
        match self.app.call(self.front.scope(Protocol::Http, &request)).await {
            Outcome::Run(scope, endpoint) => self.answer(&request, payload, scope, &endpoint).await,
            Outcome::Refuse(deny) => deny.into_response(),
            Outcome::NoRoute(_) => miss(&self.app, &self.front, &request),
        }
    }

    async fn answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        scope: Scope,
        endpoint: &Endpoint,
    ) -> HttpResponse {
        let config = self.config.changed(&scope.config_changes);
        let port = self.port(&scope, endpoint, &config);
        port.put_payload(payload.into_inner());
        let opening = self.begin(scope, endpoint, &config, &port, Box::new(Request::default()));
        let mut opening = match opening {
            Ok(opening) => opening,
            Err(response) => return *response,
        };
        let mut lost = pin!(lost(request));
        let answer = poll_fn(|task| match lost.as_mut().poll(task) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => opening.poll_answer(task),
        });
        match tokio::time::timeout(config.response_timeout, answer).await {
            Ok(Some(Answer::Respond(response))) if port.is_written() => response,
            Ok(Some(Answer::Respond(response))) => response.set_body(BoxBody::new(opening.into_body(Encoder::Raw))),
            Ok(Some(Answer::Refuse(deny))) => deny.into_response(),
            Ok(Some(Answer::Accept(_)) | None) => {
                tracing::debug!(consumer = endpoint.consumer(), "the client left before it was answered");
                HttpResponse::BadRequest().finish()
            }
            Err(_) => {
                let timeout = config.response_timeout;
                tracing::error!(consumer = endpoint.consumer(), ?timeout, "no response was begun in time");
                port.end(Close::new(CloseCode::ABNORMAL, "no response was begun in time"), Cut::Now);
                unavailable("the application did not answer in time")
            }
        }
    }

    async fn handshake(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let mut scope = self.front.scope(Protocol::Websocket, &request);
        let offer = Offer::take(&mut scope);
        // A session that is there hears of its end by the socket.
        let goes_on = offer.as_ref().is_some_and(|offer| offer.resume.is_some());
        if self.keepers.is_draining() && !goes_on {
            return unavailable("the server is stopping");
        }
        if let Some(response) = websocket::refusal(&request) {
            return response;
        }
        if let Some(offer) = offer {
            return self.carry_socket(request, payload, scope, offer).await;
        }
        let (outcome, _handshake) = match self.ask(scope).await {
            Ok(asked) => asked,
            Err(response) => return *response,
        };
        match outcome {
            Outcome::Run(scope, endpoint) => self.open(request, payload, scope, &endpoint).await,
            Outcome::Refuse(deny) => deny.into_response(),
            Outcome::NoRoute(scope) => {
                let tried = self.app.routes_of(Protocol::Websocket);
                tracing::warn!(path = scope.path(), %tried, "no route for this path");
                not_found()
            }
        }
    }

    /// Asks the application what becomes of a handshake, which is in flight until what is returned is dropped.
    pub(super) async fn ask(&self, mut scope: Scope) -> Result<(Outcome, Counted), Box<HttpResponse>> {
        self.app.serves(&mut scope);
        let served = std::mem::take(&mut scope.served);
        let config = self.config.changed(&served.config_changes);
        if self.closing.get() >= config.max_connections || self.handshakes.get() >= config.max_handshakes {
            return Err(unavailable("the server is full").into());
        }
        let handshake = Counted::one_of(&self.handshakes);
        Ok((self.app.call(scope).await, handshake))
    }

    async fn open(
        &self,
        request: HttpRequest,
        payload: web::Payload,
        scope: Scope,
        endpoint: &Endpoint,
    ) -> HttpResponse {
        let config = self.config.changed(&scope.config_changes);
        let port = self.port(&scope, endpoint, &config);
        let payload = Rc::new(RefCell::new(payload.into_inner()));
        let bytes = ClientBytes::new(payload.clone(), port.clone());
        let Codec { reader, writer, extension } = Codec::new(&request, bytes, &config);
        let mut opening = match self.begin(scope, endpoint, &config, &port, Box::new(reader)) {
            Ok(opening) => opening,
            Err(response) => return *response,
        };
        match self.accepted(&mut opening, endpoint, &port).await {
            Ok(accept) => match websocket::accept(&request, &accept, extension) {
                Ok(response) => self.go_on(&request, &payload, opening, response, writer).await,
                Err(error) => failed(endpoint, &port.path, &error),
            },
            Err(response) => *response,
        }
    }

    /// Waits for the consumer to accept; the response when it does not.
    pub(super) async fn accepted(
        &self,
        opening: &mut Opening,
        endpoint: &Endpoint,
        port: &Port,
    ) -> Result<Accept, Box<HttpResponse>> {
        let timeout = port.config.handshake_timeout;
        let answer = poll_fn(|task| opening.poll_answer(task));
        let response = match tokio::time::timeout(timeout, answer).await {
            Ok(Some(Answer::Accept(accept))) => return Ok(accept),
            Ok(Some(Answer::Refuse(deny))) => deny.into_response(),
            Ok(Some(Answer::Respond(_))) => failed(endpoint, &port.path, &"it answers requests, and no WebSockets"),
            Ok(None) => {
                tracing::debug!(consumer = endpoint.consumer(), "the client left before it was answered");
                HttpResponse::BadRequest().finish()
            }
            Err(_) => {
                tracing::error!(consumer = endpoint.consumer(), ?timeout, "`connect` did not decide in time");
                port.end(Close::new(CloseCode::ABNORMAL, "`connect` did not decide in time"), Cut::Now);
                unavailable("the application did not answer in time")
            }
        };
        Err(response.into())
    }

    pub(super) fn port(&self, scope: &Scope, endpoint: &Endpoint, config: &Arc<Config>) -> Rc<Port> {
        let class = endpoint.class();
        Port::new(config.clone(), scope, self.roster.stats(class))
    }

    /// Starts a consumer for what arrives on a transport; gives the response when it cannot be.
    pub(super) fn begin(
        &self,
        scope: Scope,
        endpoint: &Endpoint,
        config: &Config,
        port: &Rc<Port>,
        transport: Box<dyn Transport>,
    ) -> Result<Opening, Box<HttpResponse>> {
        // It may have begun while the handshake was in middleware; who comes now would not be told.
        if self.keepers.is_draining() {
            return Err(unavailable("the server is stopping").into());
        }
        check_header(&scope, config)?;
        let guest = self.admit(&scope, config)?;
        if endpoint.class().protocol != scope.protocol() {
            return Err(failed(endpoint, &port.path, &"its route is one of another protocol").into());
        }
        let layer = self.layers.get(endpoint.layer()).map_err(|error| failed(endpoint, &port.path, &error))?.clone();
        let line = Line::new(transport, port.clone()).listed(self.roster.enter(port.clone(), guest));
        let cx = Context::new(port.clone(), scope, self.layers.clone(), layer);
        let life = endpoint.start(cx, line).map_err(|panic| failed(endpoint, &port.path, &panic))?;
        Ok(Opening::new(port.clone(), life))
    }

    /// Refuses a handshake that would make one more connection than there may be.
    pub(super) fn admit(&self, scope: &Scope, config: &Config) -> Result<Option<Guest>, Box<HttpResponse>> {
        if self.roster.len() + self.closing.get() >= config.max_connections {
            return Err(unavailable("the server is full").into());
        }
        let (Some(limit), Some(client)) = (config.max_connections_per_address, scope.client()) else { return Ok(None) };
        let guest = self.keepers.addresses().enter(client.ip(), limit);
        guest.map(Some).ok_or_else(|| {
            let text = format!("your address has {limit} connections already");
            HttpResponse::TooManyRequests().insert_header((header::RETRY_AFTER, "1")).body(text).into()
        })
    }

    /// Lets a session go on that has accepted: on the client's socket if it can be had, else as the body of the answer.
    async fn go_on(
        &self,
        request: &HttpRequest,
        payload: &RefCell<Payload>,
        opening: Opening,
        answer: HttpResponse,
        encoder: Encoder,
    ) -> HttpResponse {
        if let Some(takeover) = request.conn_data::<Takeover>()
            && let Some(socket) = takeover.take(payload).await
        {
            let (head, response) = self.hand_over(answer);
            opening.take_over(Wire::new(socket, head, encoder, self.flusher.clone()));
            return response;
        }
        answer.set_body(BoxBody::new(opening.into_body(encoder)))
    }

    /// The answer to a handshake whose socket was taken over: what is written there first, and what the HTTP server is given,
    /// which then ends.
    pub(super) fn hand_over(&self, mut answer: HttpResponse) -> (Bytes, HttpResponse) {
        self.front.sign(answer.headers_mut());
        (websocket::head(&answer), HttpResponse::SwitchingProtocols().force_close().finish())
    }
}

/// Refuses a request whose header is too large.
pub(super) fn check_header(scope: &Scope, config: &Config) -> Result<(), Box<HttpResponse>> {
    let target = scope.raw_path().len() + scope.query_string().len();
    let fields = scope.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if target + fields.sum::<usize>() > config.max_header_size {
        let text = format!("the path, the query and the header fields are over {} bytes", config.max_header_size);
        return Err(HttpResponse::RequestHeaderFieldsTooLarge().body(text).into());
    }
    Ok(())
}

/// Counts one until it is dropped.
pub(super) struct Counted(Rc<Cell<usize>>);

impl Counted {
    pub(super) fn one_of(count: &Rc<Cell<usize>>) -> Self {
        count.update(|count| count + 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.update(|count| count - 1);
    }
}

/// Waits until the client of a request has gone, which the HTTP server itself finds out when it writes.
pub(super) fn lost(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let takeover = request.conn_data::<Takeover>().cloned();
    async {
        match takeover {
            Some(takeover) => takeover.lost().await,
            None => pending().await,
        }
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

/// What is answered to a request that nothing else takes: 426 where a WebSocket is served and a page is asked for, 405 where
/// a consumer is served otherwise, 404 elsewhere.
pub(super) fn miss(app: &ProtocolTypeRouter, front: &Front, request: &HttpRequest) -> HttpResponse {
    let mut scope = front.scope(Protocol::Websocket, request);
    let mut serves = |asked| {
        scope.asked = asked;
        app.serves(&mut scope)
    };
    let (socket, requests) = (serves(Transports::default()), serves(Transports::REQUESTS));
    let method = request.method();
    let asks_for_a_page = matches!(*method, Method::GET | Method::HEAD) && !may_carry(method, request.headers());
    match (socket, requests) {
        (false, false) => return not_found(),
        (true, _) if asks_for_a_page => {}
        (_, true) => return not_offered(Transports::REQUESTS).into_response(),
        (_, false) => return not_offered(Transports::default()).into_response(),
    }
    HttpResponse::build(StatusCode::UPGRADE_REQUIRED)
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::CONNECTION, "Upgrade"))
        .body("this is a WebSocket")
}

pub(super) fn not_found() -> HttpResponse {
    HttpResponse::NotFound().body("not found")
}

pub(super) fn unavailable(why: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).body(why)
}

pub(super) fn failed(endpoint: &Endpoint, path: &str, error: &dyn std::fmt::Display) -> HttpResponse {
    tracing::error!(consumer = endpoint.consumer(), path, error = %OneLine(error), "a connection could not be opened");
    HttpResponse::InternalServerError().finish()
}
