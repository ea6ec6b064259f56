//! The HTTP side of an application, without a port.

use std::time::Duration;

use actix_web::{
    body::to_bytes,
    http::{Method, StatusCode, header::TryIntoHeaderPair},
    test::{TestRequest, call_service, init_service},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{TestError, application::PATIENCE, run::within};
use crate::{Layers, Server, scope::Headers};

/// Asks an application one HTTP request, without a port. Channels' `HttpCommunicator`.
///
/// What answers is what a [`Server`] of the application runs: its services, its operators' pages, 426 where a WebSocket is
/// served, 404 elsewhere.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{
///     ProtocolTypeRouter,
///     actix_web::{HttpResponse, http::{Method, StatusCode}, web},
///     testing::HttpCommunicator,
/// };
///
/// let app = ProtocolTypeRouter::new().http(|cfg| {
///     cfg.route("/hello/{name}", web::get().to(async |name: web::Path<String>| {
///         HttpResponse::Ok().body(format!("hello, {name}"))
///     }));
/// });
/// # channels::run(async {
/// let response = HttpCommunicator::new(app, Method::GET, "/hello/ann").get_response().await?;
/// assert_eq!(response.status, StatusCode::OK);
/// assert_eq!(response.text()?, "hello, ann");
/// # Ok::<(), channels::testing::TestError>(())
/// # }).unwrap();
/// ```
#[must_use = "a communicator asks nothing until `get_response`"]
pub struct HttpCommunicator {
    server: Server,
    request: TestRequest,
    timeout: Duration,
}

impl HttpCommunicator {
    /// A request for an application, or for a [`Server`] of one, at a raw path with or without a query.
    ///
    /// # Panics
    ///
    /// When the path is not a URI's.
    #[track_caller]
    pub fn new(to: impl Into<Server>, method: Method, uri: &str) -> Self {
        let request = TestRequest::with_uri(uri).method(method);
        Self { server: to.into(), request, timeout: PATIENCE }
    }

    /// The same request with one more header.
    ///
    /// # Panics
    ///
    /// When name or value have characters that a header may not have.
    #[track_caller]
    pub fn header(mut self, header: impl TryIntoHeaderPair) -> Self {
        self.request = self.request.append_header(header);
        self
    }

    /// The same request with this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.request = self.request.set_payload(body);
        self
    }

    /// The same request with this value as its body, in JSON, and the content type for it.
    ///
    /// # Panics
    ///
    /// When the value cannot be JSON.
    #[track_caller]
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.request = self.request.set_json(value);
        self
    }

    /// The same request, of an application with these layers.
    pub fn layers(mut self, layers: impl Into<Layers>) -> Self {
        self.server = self.server.layers(layers);
        self
    }

    /// The same request, more or less patient: the response may take so long. A second, unless it is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The whole response.
    ///
    /// # Errors
    ///
    /// [`TestError::Timeout`] when it does not come, [`TestError::Setup`] when the application cannot be started.
    pub async fn get_response(self) -> Result<TestResponse, TestError> {
        let app = self.server.service().map_err(|error| TestError::Setup(error.to_string()))?;
        let request = self.request.to_request();
        within(self.timeout, async {
            let response = call_service(&init_service(app).await, request).await;
            let (status, headers) = (response.status(), response.headers().into());
            let body = to_bytes(response.into_body()).await;
            let body = body.map_err(|error| TestError::Setup(format!("the body broke off: {}", error.into())))?;
            Ok(TestResponse { status, headers, body })
        })
        .await?
    }
}

/// A response, with all of its body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl TestResponse {
    /// The body, which is text.
    ///
    /// # Errors
    ///
    /// [`TestError::Kind`] when it is not UTF-8.
    pub fn text(&self) -> Result<&str, TestError> {
        std::str::from_utf8(&self.body).map_err(|_| TestError::kind("text", &self.body.clone().into()))
    }

    /// The body, which holds a `T` as JSON.
    ///
    /// # Errors
    ///
    /// [`TestError::Json`] with the text when it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TestError> {
        serde_json::from_slice(&self.body).map_err(|source| {
            let text = String::from_utf8_lossy(&self.body);
            TestError::json(&text, source)
        })
    }
}
