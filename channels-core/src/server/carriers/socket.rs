//! Sockets that carry a session: the subprotocol `channels.v1`.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, body::BoxBody, web};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{Either, LocalBoxFuture, select},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{Admitted, Begun, client::Client, opened, requests, streams::Parts};
use crate::{
    Accept, Close, CloseCode, Message, Scope,
    frame::{Incoming, Outgoing},
    routing::Outcome,
    scope::decode,
    server::{
        Config,
        takeover::Takeover,
        thread::{Counted, ServerThread, check_header, failed, not_found, unavailable},
    },
    session::{Given, Link, Reply, SessionId},
    transport::{
        Transport,
        batch::{Batch, End, Said, Taken, json},
        framed::{Frame, Offer, SUBPROTOCOL},
        websocket::{self, Codec, Encoder},
    },
};

/// Messages that are pushed at once: what an inbox takes.
const PUSHED: usize = 64;

impl ServerThread {
    /// Answers a handshake of a socket that is to carry a session.
    pub(in crate::server) async fn carry_socket(
        &self,
        request: HttpRequest,
        payload: web::Payload,
        scope: Scope,
        offer: Offer,
    ) -> HttpResponse {
        let (outcome, _handshake) = match self.ask(scope).await {
            Ok(asked) => asked,
            Err(response) => return *response,
        };
        let (scope, endpoint) = match outcome {
            Outcome::Run(scope, endpoint) => (scope, endpoint),
            Outcome::Refuse(deny) => return deny.into_response(),
            Outcome::NoRoute(_) => return not_found(),
        };
        let config = self.config.changed(&scope.config_changes);
        let admitted = Admitted { scope, endpoint: endpoint.clone(), config: config.clone() };
        let mut guest = None;
        let (link, after, accept, given) = match offer.resume {
            None => match self.begin_lasting(admitted).await {
                Ok(Begun { link, accept }) => {
                    let given = link.take(true, 0, 0, Duration::ZERO).await;
                    (Some(link), 0, accept, given)
                }
                Err(response) => return *response,
            },
            Some((after, id)) => {
                if let Err(response) = check_header(&admitted.scope, &config) {
                    return *response;
                }
                let link = match SessionId::parse(&id).map(|id| self.link(&admitted, id)).transpose() {
                    Ok(link) => link,
                    Err(response) => return *response,
                };
                let given = match &link {
                    Some(link) => link.take(true, after, after, Duration::ZERO).await,
                    None => Reply::Gone,
                };
                match given {
                    // It was counted when its session was opened.
                    Reply::Given(_) => {}
                    Reply::Unreachable | Reply::Stopping => return requests::answer(given),
                    _ if self.keepers.is_draining() => return unavailable("the server is stopping"),
                    _ => match self.admit(&admitted.scope, &config) {
                        Ok(admitted) => guest = admitted,
                        Err(response) => return *response,
                    },
                }
                (link, after, Accept::new(), given)
            }
        };
        // A batch is longer than what is in it.
        let mut sizes = Config::clone(&config);
        sizes.max_message_size = requests::body_limit(&config);
        sizes.max_frame_size = sizes.max_message_size.max(config.max_frame_size);
        let client = Client::new(payload.into_inner());
        let Codec { reader, writer, extension } = Codec::new(&request, client.clone(), &sizes);
        let accept = Accept { subprotocol: Some(SUBPROTOCOL.to_owned()), ..accept };
        let response = match websocket::accept(&request, &accept, extension) {
            Ok(response) => response,
            Err(error) => return failed(&endpoint, &decode(request.path()), &error),
        };
        let (parts, body) = Parts::new();
        let (reader, writer): (RefCell<Box<dyn Transport>>, _) = (RefCell::new(Box::new(reader)), RefCell::new(writer));
        let close_timeout = config.close_timeout;
        let socket = Socket { reader, writer, parts, config, closing: self.closing.clone() };
        let carry = async move {
            let _guest = guest;
            match (link, given) {
                (Some(link), Reply::Given(given)) => Carrying::new(&socket, &link, after, &given).run(given).await,
                (_, reply) => socket.end(ending(&reply)).await,
            }
        }
        .boxed_local();
        if let Some(takeover) = request.conn_data::<Takeover>()
            && let Some((writing, tracked)) = client.take_over(takeover).await
        {
            let (head, response) = self.hand_over(response);
            actix_rt::spawn(async move {
                let _tracked = tracked;
                match select(carry, pin!(body.write(head, writing))).await {
                    Either::Left(((), rest)) => drop(timeout(close_timeout, rest).await),
                    // It finds that nobody takes what it writes.
                    Either::Right((_, carry)) => carry.await,
                }
            });
            return response;
        }
        actix_rt::spawn(carry);
        response.set_body(BoxBody::new(body))
    }
}

/// A socket by its two halves.
struct Socket {
    reader: RefCell<Box<dyn Transport>>,
    writer: RefCell<Encoder>,
    parts: mpsc::Sender<Bytes>,
    config: Arc<Config>,
    closing: Rc<Cell<usize>>,
}

/// The socket is lost, or its client reads nothing any more.
struct Lost;

impl Socket {
    async fn write(&self, frame: Outgoing) -> Result<(), Lost> {
        let bytes = self.writer.borrow_mut().encode(&frame);
        match timeout(self.config.stall_timeout, self.parts.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Lost),
        }
    }

    async fn say(&self, text: String) -> Result<(), Lost> {
        self.write(Outgoing::Message(text.into())).await
    }

    async fn read(&self) -> Incoming {
        poll_fn(|task| self.reader.borrow_mut().poll_incoming(task)).await
    }

    /// Sends the close frame, and waits for the client's for a while.
    async fn end(&self, close: Option<Close>) {
        let Some(close) = close else { return };
        let _closing = Counted::one_of(&self.closing);
        let closed = async {
            self.write(Outgoing::Close(close)).await?;
            while !matches!(self.read().await, Incoming::Close(_) | Incoming::Gone) {}
            Ok::<_, Lost>(())
        };
        let _ = timeout(self.config.close_timeout, closed).await;
    }
}

/// How a socket ends whose session says this; `None` for without a word, so that the client goes on elsewhere.
fn ending(reply: &Reply) -> Option<Close> {
    match reply {
        Reply::TakenOver => Some(Close::new(CloseCode::TAKEN_OVER, "the session goes on elsewhere")),
        Reply::Gone => Some(Close::new(CloseCode::SESSION_GONE, "the session is not there any more")),
        Reply::Bad(why) => Some(Close::new(CloseCode::INVALID_PAYLOAD, why)),
        Reply::TooBig(limit) => {
            Some(Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes")))
        }
        _ => None,
    }
}

/// Why carrying is over.
enum Over {
    /// The session says so.
    Says(Reply),
    /// The session has ended.
    Ended(Close),
    /// The client has closed, or broken a rule; the close frame that answers it.
    Answered(Close),
    Lost,
}

impl From<Lost> for Over {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// A socket that carries a session.
struct Carrying<'a> {
    socket: &'a Socket,
    link: &'a Link,
    subprotocol: Option<String>,
    /// The last message that was written to the client.
    written: Cell<u64>,
    /// The number of the client's next message, where it does not say one.
    next: Cell<u64>,
    /// The client was heard since somebody looked.
    heard: Cell<bool>,
    /// What the client sends is read now.
    reading: Cell<bool>,
}

impl<'a> Carrying<'a> {
    fn new(socket: &'a Socket, link: &'a Link, after: u64, given: &Given) -> Self {
        Self {
            socket,
            link,
            subprotocol: given.subprotocol.clone(),
            written: Cell::new(after),
            next: Cell::new(given.taken + 1),
            heard: Cell::new(false),
            reading: Cell::new(true),
        }
    }

    async fn run(self, given: Given) {
        let over = {
            let down = pin!(self.down(given));
            let up = pin!(self.up());
            let lives = pin!(self.lives());
            tokio::select! {
                over = down => over,
                over = up => over,
                over = lives => over,
                () = self.socket.parts.closed() => Over::Lost,
            }
        };
        match over {
            Over::Says(reply) => self.socket.end(ending(&reply)).await,
            Over::Ended(close) => self.socket.end(Some(close)).await,
            Over::Answered(close) => drop(self.socket.write(Outgoing::Close(close)).await),
            Over::Lost => {}
        }
    }

    /// From the session to the client.
    async fn down(&self, mut given: Given) -> Over {
        let id = self.link.id().to_string();
        let hello = opened(&id, &self.socket.config, self.subprotocol.as_deref(), Some(given.taken));
        if self.socket.say(json(&hello)).await.is_err() {
            return Over::Lost;
        }
        loop {
            if self.write(&mut given).await.is_err() {
                return Over::Lost;
            }
            if let Some(end) = given.close {
                return Over::Ended(end.into());
            }
            given = match self.link.take(false, self.written.get(), 0, self.socket.config.poll_window).await {
                Reply::Given(given) => given,
                reply => return Over::Says(reply),
            };
        }
    }

    async fn write(&self, given: &mut Given) -> Result<(), Lost> {
        let mut messages = std::mem::take(&mut given.messages).into_iter().peekable();
        while let Some(Said(message)) = messages.next() {
            let from = self.written.get() + 1;
            let text = match message {
                Message::Binary(_) => {
                    self.socket.write(Outgoing::Message(message)).await?;
                    self.written.set(from);
                    continue;
                }
                text => Said(text),
            };
            let mut batch = vec![text];
            while let Some(said) = messages.next_if(|said| matches!(said.0, Message::Text(_))) {
                batch.push(said);
            }
            let last = from + batch.len() as u64 - 1;
            self.socket.say(json(&Batch { from, messages: batch, ..Batch::default() })).await?;
            self.written.set(last);
        }
        Ok(())
    }

    /// From the client to the session.
    async fn up(&self) -> Over {
        loop {
            let mut pushed = Batch::default();
            let mut then = None;
            let mut incoming = self.socket.read().await;
            loop {
                self.heard.set(true);
                match self.note(incoming, &mut pushed).await {
                    Ok(()) => {}
                    Err(over) => {
                        then = Some(over);
                        break;
                    }
                }
                // What came with it goes with it.
                match self.socket.read().now_or_never() {
                    Some(next) if !self.is_much(&pushed) => incoming = next,
                    Some(next) => {
                        if let Err(over) = self.push(std::mem::take(&mut pushed)).await {
                            return over;
                        }
                        incoming = next;
                    }
                    None => break,
                }
            }
            if let Err(over) = self.push(pushed).await {
                return over;
            }
            match then {
                None => {}
                Some(Then::Close(close)) => {
                    self.link.close_carrier(End::from(&close)).await;
                    return Over::Answered(Close::new(close.code, ""));
                }
                Some(Then::Fail(close)) => {
                    self.link.fail(End::from(&close)).await;
                    return Over::Ended(close);
                }
                Some(Then::Over(over)) => return over,
            }
        }
    }

    /// Adds what came to what is pushed.
    async fn note(&self, incoming: Incoming, pushed: &mut Batch) -> Result<(), Then> {
        let frame = match incoming {
            Incoming::Message(message) => Frame::read(message).map_err(Then::Fail)?,
            Incoming::Ping(payload) => {
                return self.socket.write(Outgoing::Pong(payload)).await.map_err(|_| Then::Over(Over::Lost));
            }
            Incoming::Pong | Incoming::Event(_) => return Ok(()),
            Incoming::Close(close) => {
                return Err(Then::Close(close.unwrap_or_else(|| Close::new(CloseCode::NO_STATUS, ""))));
            }
            Incoming::Failed(close) => return Err(Then::Fail(close)),
            Incoming::Gone => return Err(Then::Over(Over::Lost)),
        };
        let (from, messages) = match frame {
            Frame::Binary(bytes) => (self.next.get(), vec![Said(Message::Binary(bytes))]),
            Frame::Batch(Batch { from, messages, ack, .. }) => {
                pushed.ack = pushed.ack.max(ack);
                (from, messages)
            }
        };
        if messages.is_empty() {
            return Ok(());
        }
        // Another carrier may have brought some of it: the session knows, and this socket does not.
        if !pushed.messages.is_empty() && from != self.next.get() {
            self.push(std::mem::take(pushed)).await.map_err(Then::Over)?;
        }
        if pushed.messages.is_empty() {
            pushed.from = from;
        }
        self.next.set(from.saturating_add(messages.len() as u64));
        pushed.messages.extend(messages);
        Ok(())
    }

    /// Whether no more is to go with it.
    fn is_much(&self, Batch { messages, .. }: &Batch) -> bool {
        let bytes = || messages.iter().map(|Said(message)| message.len()).sum::<usize>();
        messages.len() >= PUSHED || bytes() >= self.socket.config.max_message_size
    }

    /// Gives all of it to the consumer. A future by itself: a client that says nothing needs no room for it.
    fn push(&self, pushed: Batch) -> LocalBoxFuture<'_, Result<(), Over>> {
        self.give(pushed).boxed_local()
    }

    /// The same, however long that takes: meanwhile the socket is not read.
    async fn give(&self, Batch { mut from, messages, ack, .. }: Batch) -> Result<(), Over> {
        if messages.is_empty() && ack.is_none() {
            return Ok(());
        }
        self.reading.set(false);
        let (mut left, mut most) = (&messages[..], PUSHED);
        loop {
            let next = self.at_once(left, most);
            let taken = match self.link.push(from, next.to_vec(), ack.unwrap_or(0)).await {
                Reply::Taken(taken) => taken,
                Reply::Bad(why) => {
                    let close = Close::new(CloseCode::INVALID_PAYLOAD, why);
                    self.link.fail(End::from(&close)).await;
                    return Err(Over::Ended(close));
                }
                Reply::TooLong(_) if next.len() > 1 => {
                    most = next.len() / 2;
                    continue;
                }
                Reply::TooLong(limit) => {
                    let close = Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes"));
                    self.link.fail(End::from(&close)).await;
                    return Err(Over::Ended(close));
                }
                reply => return Err(Over::Says(reply)),
            };
            // Also where it is nothing new: so a client hears that somebody is there.
            self.socket.say(json(&Taken { taken })).await?;
            let done = usize::try_from((taken + 1).saturating_sub(from)).unwrap_or(usize::MAX);
            left = left.get(done..).unwrap_or_default();
            from = taken + 1;
            if left.is_empty() {
                break;
            }
        }
        self.reading.set(true);
        Ok(())
    }

    /// The first of these messages: so many, and no more bytes than one may have, but at least one.
    fn at_once<'m>(&self, messages: &'m [Said], most: usize) -> &'m [Said] {
        let mut bytes = 0;
        let fits = |Said(message): &&Said| {
            bytes += message.len();
            bytes <= self.socket.config.max_message_size
        };
        let fitting = messages.iter().take(most).take_while(fits).count();
        &messages[..fitting.max(1).min(messages.len())]
    }

    /// Pings a client that is quiet, and gives up one that does not answer.
    async fn lives(&self) -> Over {
        let Config { ping_interval, ping_timeout, .. } = *self.socket.config;
        let Some(every) = ping_interval else { return std::future::pending().await };
        let mut pinged: Option<Instant> = None;
        loop {
            let pause = pinged.map_or(every, |at| ping_timeout.saturating_sub(at.elapsed()).min(every));
            sleep(pause).await;
            if self.heard.take() || !self.reading.get() {
                pinged = None;
            } else if pinged.is_some_and(|at| at.elapsed() >= ping_timeout) {
                return Over::Lost;
            } else if pinged.is_none() {
                if self.socket.write(Outgoing::Ping).await.is_err() {
                    return Over::Lost;
                }
                pinged = Some(Instant::now());
            }
        }
    }
}

/// What follows what was pushed.
enum Then {
    Close(Close),
    Fail(Close),
    Over(Over),
}
