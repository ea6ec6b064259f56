//! The end of a route: a consumer, its type forgotten.

use std::{any::TypeId, fmt, sync::Arc};

use actix_web::http::{StatusCode, header};
use futures_util::future::LocalBoxFuture;
use tracing::Instrument;

use super::{Application, Outcome, RouteList, Transports};
use crate::{
    Consumer, Context, Deny, Scope,
    scope::Protocol,
    session::{Class, Line, Panic, live},
};

/// The end of a route: makes one consumer for each connection.
#[derive(Clone)]
pub struct Endpoint(Arc<dyn Make>);

/// Makes the life of a connection, of a consumer whose type is forgotten.
trait Make: Send + Sync {
    fn class(&self) -> Class;
    fn layer(&self) -> &'static str;
    fn start(&self, cx: Context, line: Line) -> Result<LocalBoxFuture<'static, ()>, String>;
}

impl Endpoint {
    /// A consumer for each connection, made by `make`.
    pub fn new<C: Consumer>(make: impl Fn() -> C + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The consumer's type, with its module.
    #[must_use]
    pub fn consumer(&self) -> &'static str {
        self.0.class().name
    }

    /// The alias of the channel layer that the consumer uses.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        self.0.layer()
    }

    pub(crate) fn class(&self) -> Class {
        self.0.class()
    }

    /// A new consumer's life; the text of the panic when it cannot be made.
    pub(crate) fn start(&self, cx: Context, line: Line) -> Result<LocalBoxFuture<'static, ()>, String> {
        self.0.start(cx, line)
    }
}

impl<F, C> Make for F
where
    F: Fn() -> C + Send + Sync,
    C: Consumer,
{
    fn class(&self) -> Class {
        Class { id: TypeId::of::<C>(), protocol: C::PROTOCOL, name: C::type_name(), render: C::render }
    }

    fn layer(&self) -> &'static str {
        C::LAYER
    }

    fn start(&self, cx: Context, line: Line) -> Result<LocalBoxFuture<'static, ()>, String> {
        let consumer = Panic::catch(self).map_err(|panic| panic.to_string())?;
        let span = cx.port().span.clone();
        Ok(Box::pin(live(consumer, cx, line).instrument(span)))
    }
}

impl Application for Endpoint {
    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async {
            if scope.protocol() == Protocol::Websocket && !scope.offered.meets(scope.asked) {
                return Outcome::Refuse(not_offered(scope.offered));
            }
            Outcome::Run(scope, self.clone())
        })
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        scope.protocol() != Protocol::Websocket || scope.offered.meets(scope.asked)
    }

    fn routes(&self, list: &mut RouteList) {
        list.add(self.consumer(), self.layer());
    }

    fn always_answers(&self) -> bool {
        true
    }
}

/// The answer to a client that asks in another way than the route offers (RFC 9110, section 15.5.6).
pub(crate) fn not_offered(offered: Transports) -> Deny {
    let methods = if offered.meets(Transports::REQUESTS) { "GET, POST, DELETE, OPTIONS" } else { "GET" };
    Deny::new(StatusCode::METHOD_NOT_ALLOWED)
        .header((header::ALLOW, methods))
        .header((header::CACHE_CONTROL, "no-store"))
        .body("this route does not offer this transport")
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.consumer()).finish()
    }
}
