//! The ways that ask: a page with a queue, one request to say something, one to hear something.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use channels::{
    Body, FromBody,
    actix_web::{
        HttpResponseBuilder,
        http::{Method, StatusCode, header},
        rt::{spawn, task::JoinHandle, time::sleep},
    },
    prelude::*,
};

use super::{
    MAX_BODY,
    chat::{LIMITS, ROOM, Said, Saying, size},
    page,
    visitors::{Found, Mail, Visitors},
};

/// `GET /home/`: the page of a new visitor.
pub(super) struct Home(pub(super) Visitors);

#[consumer]
impl HttpConsumer for Home {
    async fn handle(&mut self, cx: &mut Context, (): ()) -> Result<()> {
        allow(cx, &[Method::GET, Method::HEAD])?;
        let full = || Deny::new(StatusCode::SERVICE_UNAVAILABLE).body("too many visitors");
        let visitor = self.0.enter().ok_or_else(full)?;
        let mut answer = answer(cx, StatusCode::OK);
        answer.insert_header(("Visitor", visitor.as_str())).content_type("text/html; charset=utf-8");
        cx.send_response(answer.body(page::of(&visitor)))?;
        Ok(())
    }
}

/// `POST /send/msg/`: says something to the room.
#[derive(Default)]
pub(super) struct SendMessage;

#[consumer]
impl HttpConsumer for SendMessage {
    async fn handle(&mut self, cx: &mut Context, body: Body) -> Result<()> {
        allow(cx, &[Method::POST])?;
        let Json(saying) = Json::<Saying>::from_body(body, MAX_BODY).await?;
        let said = saying.heard("request").ok_or_else(|| Deny::new(StatusCode::BAD_REQUEST).body(LIMITS))?;
        cx.group_send(ROOM, said).await?;
        cx.send_response(answer(cx, StatusCode::NO_CONTENT).finish())?;
        Ok(())
    }
}

/// `GET /get/msg/`: what was said since the last time, as soon as there is something, or nothing after the window.
pub(super) struct GetMessage {
    visitors: Visitors,
    window: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    visitor: String,
    alarm: JoinHandle<()>,
}

/// Tells a poll that waits to be answered with what there is.
#[derive(Serialize, Deserialize, Event)]
#[event("poll.answer")]
struct Answer {}

impl GetMessage {
    pub(super) fn new(visitors: Visitors, window: Duration) -> Self {
        Self { visitors, window, waiting: None }
    }
}

#[consumer]
impl HttpConsumer for GetMessage {
    async fn handle(&mut self, cx: &mut Context, (): ()) -> Result<()> {
        allow(cx, &[Method::GET])?;
        let gone = || Deny::new(StatusCode::GONE).body("unknown, or away for too long: get /home/ again");
        let visitor = cx.scope().header("visitor").unwrap_or_default().to_owned();
        match self.visitors.poll(&visitor, cx.channel_name()).ok_or_else(gone)? {
            Found::Mail(mail) => respond(cx, &mail),
            Found::Nothing { older } => {
                let (layer, me, window) = (cx.layer().clone(), cx.channel_name().clone(), self.window);
                let alarm = spawn(async move {
                    sleep(window).await;
                    let _ = layer.send(me, Answer {}).await; // it may have its answer by now
                });
                self.waiting = Some(Waiting { visitor, alarm });
                if let Some(older) = older {
                    cx.send_to(older, Answer {}).await?;
                }
                Ok(()) // the response is open until a handler sends it
            }
        }
    }

    #[handler]
    async fn poll_answer(&mut self, cx: &mut Context, _: &Answer) -> Result<()> {
        let Some(Waiting { visitor, alarm }) = self.waiting.take() else { return Ok(()) };
        alarm.abort();
        respond(cx, &self.visitors.end_poll(&visitor, cx.channel_name()))
    }

    async fn disconnect(&mut self, cx: &mut Context, _: &Close) {
        if let Some(Waiting { visitor, alarm }) = self.waiting.take() {
            alarm.abort();
            self.visitors.lose_poll(&visitor, cx.channel_name());
        }
    }
}

/// Hears the room for all visitors: a worker, because no request of theirs may be open.
pub(super) struct Clerk(pub(super) Visitors);

#[consumer]
impl Consumer for Clerk {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec![ROOM.to_owned()]
    }

    #[handler]
    async fn chat_said(&mut self, cx: &mut Context, said: &Said) -> Result<()> {
        for poll in self.0.post(said) {
            if let Err(error) = cx.send_to(poll, Answer {}).await {
                tracing::debug!(%error, "a poll is answered later");
            }
        }
        Ok(())
    }
}

/// The body of an answer.
#[derive(Serialize)]
struct Heard<'a> {
    status: bool,
    data: Option<&'a VecDeque<Arc<Said>>>,
    /// How many messages are missing before those.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<usize>,
}

fn respond(cx: &Context, Mail { messages, missed }: &Mail) -> Result<()> {
    let data = (!messages.is_empty()).then_some(messages);
    let heard = Heard { status: data.is_some(), data, missed: (*missed > 0).then_some(*missed) };
    cx.send_response(answer(cx, StatusCode::OK).json(heard))?;
    Ok(())
}

/// An answer that nobody keeps, and that tells how large its request was.
fn answer(cx: &Context, status: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponseBuilder::new(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store")).insert_header(("Request-Bytes", size(cx.scope())));
    answer
}

fn allow(cx: &Context, methods: &[Method]) -> Result<(), Deny> {
    if methods.contains(cx.scope().method()) {
        return Ok(());
    }
    let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    Err(Deny::new(StatusCode::METHOD_NOT_ALLOWED).header((header::ALLOW, allowed)))
}
