//! Responses that stay open for what a session says.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::header::{self, HeaderName},
};
use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use super::{Admitted, Begun, opened, requests};
use crate::{
    Accept,
    server::{
        Config,
        thread::{ServerThread, lost},
    },
    session::{Given, Link, Reply},
    transport::{batch::Said, event_stream},
};

/// Parts of a response that wait to be written; whoever has one more waits.
const PARTS: usize = 2;

/// The body of a response whose parts a task makes.
pub(super) struct Parts(mpsc::Receiver<Bytes>);

impl Parts {
    pub(super) fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, parts) = mpsc::channel(PARTS);
        (sender, Self(parts))
    }

    /// Writes them to a socket that was taken over, behind the answer to its handshake, and ends it.
    pub(super) async fn write(mut self, head: Bytes, mut socket: impl AsyncWrite + Unpin) -> io::Result<()> {
        socket.write_all(&head).await?;
        socket.flush().await?;
        while let Some(part) = self.0.recv().await {
            socket.write_all(&part).await?;
            socket.flush().await?;
        }
        socket.shutdown().await
    }
}

impl MessageBody for Parts {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.poll_recv(task).map(|part| part.map(Ok))
    }
}

impl ServerThread {
    pub(super) async fn open_stream(&self, request: &HttpRequest, admitted: Admitted) -> HttpResponse {
        let config = admitted.config.clone();
        match self.begin_lasting(admitted).await {
            Ok(Begun { link, accept }) => self.begin_stream(request, link, config, 0, accept).await,
            Err(response) => *response,
        }
    }

    pub(super) async fn stream(&self, request: &HttpRequest, admitted: Admitted, id: &str, after: u64) -> HttpResponse {
        match self.link_named(&admitted, id) {
            Ok(link) => self.begin_stream(request, link, admitted.config, after, Accept::new()).await,
            Err(response) => *response,
        }
    }

    async fn begin_stream(
        &self,
        request: &HttpRequest,
        link: Link,
        config: Arc<Config>,
        after: u64,
        accept: Accept,
    ) -> HttpResponse {
        let given = match link.take(true, after, after, std::time::Duration::ZERO).await {
            Reply::Given(given) => given,
            Reply::TakenOver => Given { from: after + 1, ..Given::default() },
            reply => return requests::answer(reply),
        };
        let mut response = HttpResponse::Ok();
        response.content_type("text/event-stream");
        // A proxy must not wait for more.
        response.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
        for header in &accept.headers {
            response.append_header(header.clone());
        }
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        let (parts, body) = Parts::new();
        let lost = lost(request);
        actix_rt::spawn(async move {
            tokio::select! {
                () = tell(&link, &config, after, given, &parts) => {}
                // The HTTP server itself finds it out when it writes.
                () = lost => {}
                () = parts.closed() => {}
            }
        });
        response.body(BoxBody::new(body))
    }
}

/// Writes what the session says until it ends, another carrier takes over, or the client has gone or reads nothing any more.
async fn tell(link: &Link, config: &Config, after: u64, mut given: Given, parts: &mpsc::Sender<Bytes>) {
    let id = link.id().to_string();
    let quiet = config.ping_interval.unwrap_or(config.poll_window);
    let mut text = event_stream::open(&opened(&id, config, given.subprotocol.as_deref(), None), after);
    let mut after = after;
    loop {
        for Said(message) in &given.messages {
            after += 1;
            event_stream::message(&mut text, &id, after, message);
        }
        if let Some(end) = &given.close {
            text.push_str(&event_stream::close(end));
        }
        if !text.is_empty() {
            let sent = timeout(config.stall_timeout, parts.send(std::mem::take(&mut text).into())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        if given.close.is_some() {
            return;
        }
        given = match link.take(false, after, 0, quiet).await {
            Reply::Given(given) => given,
            _ => return,
        };
        if given.messages.is_empty() && given.close.is_none() {
            text.push_str(event_stream::HEARTBEAT);
        }
    }
}
