//! Somebody with a browser: pages and sockets of one address, and cookies between them.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio_tungstenite::tungstenite::{
    Error,
    client::IntoClientRequest,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::SET_COOKIE},
};

use crate::{
    raw::{Raw, Response},
    support::{Served, Socket},
};

#[derive(Default)]
pub(crate) struct Visitor {
    /// Names and values, as they were set.
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Visitor {
    /// The value of the `Cookie` header.
    pub(crate) fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, cookie: &str) {
        let pair = cookie.split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if value.is_empty() {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(crate) async fn get(&mut self, address: SocketAddr, path: &str) -> Response {
        self.ask(address, &format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    /// Sends a form.
    pub(crate) async fn post(&mut self, address: SocketAddr, path: &str, form: &str) -> Response {
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        self.ask(address, &head, form).await
    }

    async fn ask(&mut self, address: SocketAddr, head: &str, body: &str) -> Response {
        let mut client = Raw::connect(address).await;
        let cookie = if self.cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", self.cookie()) };
        client.write(format!("{head}Host: localhost\r\n{cookie}\r\n{body}")).await;
        let response = client.response().await;
        if let Some(cookie) = response.header("set-cookie") {
            self.take(cookie);
        }
        response
    }

    /// A socket, or the status of its refusal.
    pub(crate) async fn socket(&mut self, served: &Served, path: &str) -> Result<Socket, StatusCode> {
        self.socket_with(served, path, &[]).await
    }

    pub(crate) async fn socket_with(
        &mut self,
        served: &Served,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, StatusCode> {
        let mut request = served.url(path).into_client_request().unwrap();
        if !self.cookies.is_empty() {
            request.headers_mut().insert("cookie", HeaderValue::from_str(&self.cookie()).unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        match served.handshake(request).await {
            Ok((socket, response)) => {
                self.keep(response.headers());
                Ok(socket)
            }
            Err(Error::Http(response)) => {
                self.keep(response.headers());
                Err(response.status())
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            self.take(cookie.to_str().unwrap());
        }
    }
}
