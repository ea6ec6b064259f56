//! The application in an actix-web `App`: in somebody else's, or in the server's own.

use std::{
    future::{Future as _, poll_fn, ready},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use actix_web::{
    App,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Service as _, ServiceFactory, ServiceRequest, ServiceResponse},
    web::{self, ServiceConfig},
};

use bytes::Bytes;

use super::{
    ConfigError, Server,
    access::Asked,
    front::Front,
    runtime,
    takeover::{Takeover, Underway},
    thread,
    thread::ServerThread,
};
use crate::{
    routing::ProtocolTypeRouter,
    session::{Home, note_places},
};

impl Server {
    /// Puts the application into an actix-web `App` that exists: `App::new().configure(server.mount()?)`.
    ///
    /// WebSocket handshakes below the place where it is mounted are the application's; other requests go on to what is
    /// registered after it. The actix-web server is the caller's then, and so are some of its settings: turn
    /// `tcp_nodelay` on (bursts stall for 40 ms without it) and set `client_disconnect_timeout` to zero (closed sockets
    /// linger for a second otherwise), as [`Server::run`] does; what a client that never reads holds of it, `on_connect` can
    /// bound, as the guide on deploying shows. When that server stops, await [`drain`](Self::drain)
    /// before stopping it. The application's [workers](crate::Worker) are not run. Where it is mounted has at most 16
    /// parts, if its routes have other [transports](crate::routing::Route::transports) than WebSocket.
    ///
    /// On a thread without actix's runtime, as in a `#[tokio::test]`, handshakes are answered with 500, and the log has
    /// [`ConfigError::NoRuntime`]; the worker threads of an `HttpServer` have one.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use channels_core as channels;
    /// # use std::time::Duration;
    /// # use actix_web::{App, HttpServer};
    /// # use channels::{ProtocolTypeRouter, Server};
    /// # async fn run(app: ProtocolTypeRouter) -> Result<(), Box<dyn std::error::Error>> {
    /// let mount = Server::new(app).mount()?;
    /// HttpServer::new(move || App::new().configure(mount.clone()))
    ///     .tcp_nodelay(true)
    ///     .client_disconnect_timeout(Duration::ZERO)
    ///     .bind("127.0.0.1:8000")?
    ///     .run()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Layer`] when a consumer names a layer that there is not.
    pub fn mount(&self) -> Result<impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<>, ConfigError> {
        self.mount_as(true)
    }

    /// The same; `is_mounted` where it is somebody else's server, which may have it below any path.
    pub(super) fn mount_as(
        &self,
        is_mounted: bool,
    ) -> Result<impl Fn(&mut ServiceConfig) + Clone + Send + 'static + use<>, ConfigError> {
        self.check()?;
        note_places();
        let Self { app, layers, config, front, keepers, operations, .. } = self;
        let (front, operations) = (front.clone(), operations.clone());
        let (app, layers, config, keepers) = (app.clone(), layers.clone(), config.clone(), keepers.clone());
        Ok(move |service: &mut ServiceConfig| {
            match runtime::can_spawn() {
                Ok(()) => ServerThread::of_or_start(&keepers, || {
                    let home = Home::open(keepers.homes().clone());
                    let (app, layers) = (app.clone(), layers.clone());
                    ServerThread::start(app, layers, config.clone(), front.clone(), &keepers, home, is_mounted)
                })
                .install(service),
                Err(error) => thread::install_failure(service, error),
            }
            operations.serve(service, &keepers, &layers);
            app.configure_http(service);
        })
    }

    /// What a worker thread serves.
    #[cfg(feature = "testing")]
    pub(crate) fn service(self) -> Result<App<impl Service>, ConfigError> {
        Ok(service(self.app.clone(), self.mount_as(false)?, self.front.clone()))
    }
}

/// The whole of what actix-web asks of an `App`.
pub(crate) trait Service:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<Self::Body>,
        Error = actix_web::Error,
        InitError = (),
    >
{
    type Body: MessageBody;
}

impl<S, B> Service for S
where
    S: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        >,
    B: MessageBody,
{
    type Body = B;
}

/// What a worker thread of a server serves: what is mounted, and an answer to everything else.
pub(super) fn service(app: ProtocolTypeRouter, mount: impl Fn(&mut ServiceConfig), front: Front) -> App<impl Service> {
    let outside = front.clone();
    let miss = move |request| ready(thread::miss(&app, &outside, &request));
    App::new().default_service(web::to(miss)).configure(mount).wrap_fn(move |mut request, service| {
        front.receive(&mut request);
        let mut asked = Asked::of(&request);
        let underway = request.conn_data::<Takeover>().map(Takeover::begin);
        let answer = asked.run(|| service.call(request));
        let front = front.clone();
        async move {
            let mut answer = pin!(answer);
            let mut answer = poll_fn(|task| asked.run(|| answer.as_mut().poll(task))).await;
            if let Ok(answer) = &mut answer {
                front.sign(answer.headers_mut());
            }
            asked.answered(&answer);
            Ok(answer?.map_body(|_, body| Answer { body, _underway: underway }))
        }
    })
}

/// The body of an answer: its request is under way until it is written.
struct Answer {
    body: BoxBody,
    _underway: Option<Underway>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(task)
    }
}
