//! A client by each transport, which keeps to the rules.

use std::{collections::VecDeque, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::raw::{BINARY, CLOSE, FIN, PING, PONG, Raw, Response, TEXT, frame, handshake};

/// How a client reaches the consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A WebSocket as it ever was.
    Plain,
    /// One that carries a session.
    Socket,
    Stream,
    Poll,
}

/// What a client hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Closed(u16, String),
}

impl Heard {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn of(message: &Value) -> Self {
        match message {
            Value::String(text) => Self::text(text),
            other => Self::Binary(BASE64.decode(other["b"].as_str().expect("a binary message")).expect("base64")),
        }
    }

    fn closed(close: &Value) -> Self {
        let code = close["code"].as_u64().expect("a code");
        Self::Closed(code as u16, close["reason"].as_str().expect("a reason").to_owned())
    }
}

/// A message as JSON has it.
pub(super) fn text(text: &str) -> Value {
    json!(text)
}

pub(super) fn binary(bytes: &[u8]) -> Value {
    json!({ "b": BASE64.encode(bytes) })
}

/// An open connection, of whatever kind.
pub(super) struct Client {
    pub(super) kind: Kind,
    address: SocketAddr,
    path: String,
    /// Where it listens.
    down: Option<Raw>,
    /// Where it asks, if it does so by requests.
    up: Option<Raw>,
    pub(super) session: String,
    pub(super) window: f64,
    pub(super) subprotocol: Option<String>,
    /// The answer to what opened it.
    pub(super) response: Response,
    /// The last message that it has, and the last that it sent.
    pub(super) has: u64,
    pub(super) sent: u64,
    taken: u64,
    heard: VecDeque<Heard>,
    part: String,
    over: bool,
}

/// A request, with its further header lines.
pub(super) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The answer to a request on a connection of its own.
pub(super) async fn asked(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Response {
    let mut raw = Raw::connect(address).await;
    raw.write(request(method, path, headers, body)).await;
    raw.response().await
}

impl Client {
    /// Opens a connection; the answer when it is refused.
    pub(super) async fn try_open(
        kind: Kind,
        address: SocketAddr,
        path: &str,
        subprotocols: &str,
    ) -> Result<Self, Response> {
        Self::try_open_with(kind, address, path, subprotocols, "").await
    }

    pub(super) async fn try_open_with(
        kind: Kind,
        address: SocketAddr,
        path: &str,
        subprotocols: &str,
        headers: &str,
    ) -> Result<Self, Response> {
        let mut down = Raw::connect(address).await;
        let offers =
            |line: &str, names: &str| if names.is_empty() { String::new() } else { format!("{line}: {names}\r\n") };
        let carried =
            if subprotocols.is_empty() { "channels.v1".to_owned() } else { format!("channels.v1, {subprotocols}") };
        let ask = match kind {
            Kind::Plain => handshake(path, &(offers("Sec-WebSocket-Protocol", subprotocols) + headers)),
            Kind::Socket => handshake(path, &(offers("Sec-WebSocket-Protocol", &carried) + headers)),
            Kind::Poll => request("POST", path, &(offers("Channels-Subprotocols", subprotocols) + headers), ""),
            Kind::Stream => {
                let accepts = offers("Channels-Subprotocols", subprotocols) + "Accept: text/event-stream\r\n" + headers;
                request("GET", path, &accepts, "")
            }
        };
        down.write(ask).await;
        let response = down.response().await;
        if !matches!(response.status, 101 | 200) {
            return Err(response);
        }
        let mut client = Self {
            kind,
            address,
            path: path.to_owned(),
            down: Some(down),
            up: None,
            session: String::new(),
            window: 0.0,
            subprotocol: response.header("Sec-WebSocket-Protocol").map(str::to_owned),
            has: 0,
            sent: 0,
            taken: 0,
            heard: VecDeque::new(),
            part: String::new(),
            over: false,
            response,
        };
        match kind {
            Kind::Plain => {}
            Kind::Poll => {
                let opened = serde_json::from_str(&client.response.body).expect("JSON");
                client.opened(&opened);
            }
            Kind::Socket => {
                let opened = client.down().text().await;
                client.opened(&serde_json::from_str(&opened).expect("JSON"));
            }
            Kind::Stream => {
                let event = client.event().await.expect("an event");
                assert_eq!(event[0], ("event".to_owned(), "open".to_owned()));
                let data = event.iter().find(|(field, _)| field == "data").expect("its data");
                client.opened(&serde_json::from_str(&data.1).expect("JSON"));
            }
        }
        Ok(client)
    }

    pub(super) async fn open(kind: Kind, address: SocketAddr, path: &str) -> Self {
        match Self::try_open(kind, address, path, "").await {
            Ok(client) => client,
            Err(response) => panic!("{kind:?} was refused with {}: {}", response.status, response.body),
        }
    }

    fn opened(&mut self, opened: &Value) {
        self.session = opened["session"].as_str().expect("an id").to_owned();
        self.window = opened["window"].as_f64().expect("a window");
        self.subprotocol = opened["subprotocol"].as_str().map(str::to_owned);
    }

    /// Goes on with the session by another transport, perhaps of another server.
    pub(super) async fn go_on(self, kind: Kind, address: SocketAddr) -> Self {
        let Self { path, session, has, sent, window, subprotocol, response, heard, .. } = self;
        let mut down = Raw::connect(address).await;
        match kind {
            Kind::Plain => panic!("a plain socket goes on with nothing"),
            Kind::Socket => {
                let offer = format!("Sec-WebSocket-Protocol: channels.v1, channels.v1.resume.{has}.{session}\r\n");
                down.write(handshake(&path, &offer)).await;
                let answer = down.response().await;
                assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, Some("channels.v1")));
            }
            Kind::Stream => {
                let headers = format!("Accept: text/event-stream\r\nLast-Event-ID: {session}.{has}\r\n");
                down.write(request("GET", &path, &headers, "")).await;
                let answer = down.response().await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            Kind::Poll => {}
        }
        let part = String::new();
        let mut client = Self {
            kind,
            address,
            path,
            down: Some(down),
            up: None,
            session,
            window,
            subprotocol,
            response,
            has,
            sent,
            taken: 0,
            heard,
            part,
            over: false,
        };
        match kind {
            Kind::Socket => {
                let opened: Value = serde_json::from_str(&client.down().text().await).expect("JSON");
                assert_eq!(opened["session"], client.session);
                client.sent = opened["taken"].as_u64().expect("a number");
            }
            Kind::Stream => {
                let event = client.event().await.expect("an event");
                assert_eq!(event[0].1, "open");
            }
            _ => {}
        }
        client
    }

    pub(super) async fn say(&mut self, said: &str) {
        self.send(text(said)).await;
    }

    /// Says something, and does not insist on its being taken.
    pub(super) async fn utter(&mut self, said: &str) {
        match self.kind {
            Kind::Plain | Kind::Socket => self.say(said).await,
            Kind::Stream | Kind::Poll => {
                self.sent += 1;
                let batch = json!({ "from": self.sent, "messages": [said] });
                assert_eq!(self.post(&batch.to_string()).await.status, 200);
            }
        }
    }

    /// Sends a message, and sees to it that it is taken.
    pub(super) async fn send(&mut self, message: Value) {
        let status = self.try_send(message).await;
        assert_eq!(status, 200);
    }

    /// Sends a message; the status of the answer.
    pub(super) async fn try_send(&mut self, message: Value) -> u16 {
        self.sent += 1;
        match (self.kind, &message) {
            (Kind::Plain, Value::String(text)) => self.down().write(frame(FIN | TEXT, text)).await,
            (Kind::Plain | Kind::Socket, Value::Object(_)) => {
                let Heard::Binary(bytes) = Heard::of(&message) else { panic!("not binary") };
                self.down().write(frame(FIN | BINARY, bytes)).await;
            }
            (Kind::Socket, _) => {
                let batch = json!({ "from": self.sent, "messages": [message] });
                self.down().write(frame(FIN | TEXT, batch.to_string())).await;
            }
            _ => loop {
                let batch = json!({ "from": self.sent, "messages": [message], "ack": self.has });
                let response = self.post(&batch.to_string()).await;
                if response.status != 200 {
                    return response.status;
                }
                let taken: Value = serde_json::from_str(&response.body).expect("JSON");
                if taken["taken"].as_u64().expect("a number") >= self.sent {
                    break;
                }
            },
        }
        200
    }

    /// Posts a body to the session.
    pub(super) async fn post(&mut self, body: &str) -> Response {
        let headers = format!("Channels-Session: {}\r\n", self.session);
        self.ask("POST", &headers, body).await
    }

    /// A request by the way that is not for listening.
    pub(super) async fn ask(&mut self, method: &str, headers: &str, body: &str) -> Response {
        let request = request(method, &self.path, headers, body);
        answered(&mut self.up, self.address, &request).await
    }

    /// The next that it hears.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            assert!(!self.over, "nothing follows the end");
            match self.kind {
                Kind::Plain | Kind::Socket => self.hear_frame().await,
                Kind::Stream => self.hear_event().await,
                Kind::Poll => self.poll().await,
            }
        }
    }

    /// Waits until all that it sent is taken.
    pub(super) async fn settle(&mut self) {
        while self.kind == Kind::Socket && self.taken < self.sent {
            self.hear_frame().await;
        }
    }

    /// Whether it has heard something that was not asked for yet.
    pub(super) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    pub(super) async fn hears(&mut self, wanted: impl Into<String>) {
        assert_eq!(self.hear().await, Heard::Text(wanted.into()), "{:?}", self.kind);
    }

    async fn hear_frame(&mut self) {
        let (first, payload) = self.down().frame().await.expect("a close frame comes before the end");
        match first {
            PING_FRAME => self.down().write(frame(FIN | PONG, payload)).await,
            CLOSE_FRAME => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                let reason = String::from_utf8(payload.into_iter().skip(2).collect()).expect("UTF-8");
                if code == 1005 {
                    let _ = self.down().try_write(frame(FIN | CLOSE, [])).await;
                } else {
                    let _ = self.down().try_write(frame(FIN | CLOSE, code.to_be_bytes())).await;
                }
                self.heard.push_back(Heard::Closed(code, reason));
                self.over = true;
            }
            BINARY_FRAME => {
                self.has += 1;
                self.heard.push_back(Heard::Binary(payload));
            }
            _ => {
                let text = String::from_utf8(payload).expect("UTF-8");
                if self.kind == Kind::Plain {
                    return self.heard.push_back(Heard::Text(text));
                }
                let batch: Value = serde_json::from_str(&text).expect("JSON");
                match batch.get("taken") {
                    Some(taken) => self.taken = taken.as_u64().expect("a number"),
                    None => self.hear_batch(&batch),
                }
            }
        }
    }

    async fn poll(&mut self) {
        let headers = format!("Channels-Session: {}\r\nChannels-Ack: {}\r\n", self.session, self.has);
        let request = request("GET", &self.path, &headers, "");
        let response = answered(&mut self.down, self.address, &request).await;
        assert_eq!((response.status, response.header("Cache-Control")), (200, Some("no-store")), "{}", response.body);
        let batch: Value = serde_json::from_str(&response.body).expect("JSON");
        self.hear_batch(&batch);
        if let Some(close) = batch.get("close") {
            self.heard.push_back(Heard::closed(close));
            self.over = true;
        }
    }

    fn hear_batch(&mut self, batch: &Value) {
        let Some(from) = batch["from"].as_u64() else { return };
        for (number, message) in (from..).zip(batch["messages"].as_array().expect("messages")) {
            assert!(number <= self.has + 1, "{number} comes behind {}", self.has);
            if number == self.has + 1 {
                self.has = number;
                self.heard.push_back(Heard::of(message));
            }
        }
    }

    async fn hear_event(&mut self) {
        let Some(event) = self.event().await else { panic!("the stream has broken off") };
        let field = |name: &str| event.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let data: Vec<_> = event.iter().filter(|(field, _)| field == "data").map(|(_, value)| value.as_str()).collect();
        let data = data.join("\n");
        if field("event") == Some("close") {
            self.over = true;
            let close = serde_json::from_str(&data).expect("JSON");
            return self.heard.push_back(Heard::closed(&close));
        }
        let Some((session, number)) = field("id").and_then(|id| id.rsplit_once('.')) else { return };
        assert_eq!((session, number.parse().ok()), (&*self.session, Some(self.has + 1)));
        self.has += 1;
        self.heard.push_back(match field("event") {
            None => Heard::Text(data),
            Some("json") => Heard::Text(serde_json::from_str(&data).expect("a JSON string")),
            Some("binary") => Heard::Binary(BASE64.decode(data).expect("base64")),
            Some(other) => panic!("there is no event `{other}`"),
        });
    }

    /// The fields of the next event; of a comment, one whose name is empty. `None` at the end of the stream.
    pub(super) async fn event(&mut self) -> Option<Vec<(String, String)>> {
        let end = loop {
            match self.part.find("\n\n") {
                Some(end) => break end,
                None => {
                    let part = self.down().part().await?;
                    self.part.push_str(&String::from_utf8(part).expect("UTF-8"));
                }
            }
        };
        let event: String = self.part.drain(..end + 2).collect();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').expect("a field");
            (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        Some(event.trim_end_matches('\n').split('\n').map(field).collect())
    }

    /// Closes, as a client that leaves.
    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        match self.kind {
            Kind::Plain | Kind::Socket => {
                let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
                self.down().write(frame(FIN | CLOSE, payload)).await;
            }
            Kind::Stream | Kind::Poll => {
                let headers = format!("Channels-Session: {}\r\n", self.session);
                let body = json!({ "code": code, "reason": reason }).to_string();
                assert_eq!(self.ask("DELETE", &headers, &body).await.status, 204);
            }
        }
    }

    /// Leaves what it listens on, without a word.
    pub(super) async fn lose(&mut self) {
        self.down = None;
    }

    /// What it listens on.
    pub(super) fn down(&mut self) -> &mut Raw {
        self.down.as_mut().expect("it is not lost")
    }
}

/// The answer to a request. A connection that was idle for too long has ended, and the request is made on another one.
async fn answered(connection: &mut Option<Raw>, address: SocketAddr, request: &str) -> Response {
    loop {
        let (is_new, mut raw) = match connection.take() {
            Some(raw) => (false, raw),
            None => (true, Raw::connect(address).await),
        };
        if raw.try_write(request).await
            && let Some(response) = raw.try_response().await
        {
            *connection = Some(raw);
            return response;
        }
        assert!(!is_new, "the connection ended without an answer");
    }
}

const PING_FRAME: u8 = FIN | PING;
const CLOSE_FRAME: u8 = FIN | CLOSE;
const BINARY_FRAME: u8 = FIN | BINARY;
