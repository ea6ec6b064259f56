//! A consumer's life without a socket: the only file of the communicators that knows sessions.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use actix_web::http::StatusCode;
use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    time::{interval, sleep},
};

use super::TestError;
use crate::{
    Close, CloseCode, Config, Context, Deny, Layers, Scope,
    frame::{Incoming, Outgoing},
    routing::{Application, Outcome, RouteList},
    scope::Protocol,
    session::{Answer, Cut, Line, Port, Roster, TICK},
    transport::Transport,
};

/// What became of a scope: a consumer that runs, or a refusal before one was made.
pub(super) enum Start {
    Running(Running),
    Refused(Deny),
}

/// A consumer that runs as a task of this thread.
pub(super) struct Running {
    port: Rc<Port>,
    client: mpsc::UnboundedSender<Incoming>,
    answer: oneshot::Receiver<Answer>,
    /// `None` once its end is known.
    life: Option<actix_rt::task::JoinHandle<()>>,
}

impl Running {
    /// Leads a scope to its consumer, which takes middleware so long at most, and starts that.
    pub(super) async fn start(
        application: &dyn Application,
        scope: Scope,
        layers: &Layers,
        config: &Config,
        wait: Duration,
    ) -> Result<Start, TestError> {
        if tokio::runtime::Handle::try_current().is_err() {
            let text = "a communicator needs actix's runtime: `#[channels::test]`, or `channels::run` in a plain test";
            return Err(TestError::Setup(text.to_owned()));
        }
        let (scope, endpoint) = match within(wait, application.call(scope)).await? {
            Outcome::Run(scope, endpoint) => (scope, endpoint),
            Outcome::Refuse(deny) => return Ok(Start::Refused(deny)),
            Outcome::NoRoute(scope) => {
                let tried = RouteList::of(application).to_string();
                let (protocol, path) = (scope.protocol().as_str(), scope.path().to_owned());
                return Err(TestError::NoRoute { protocol, path, tried });
            }
        };
        let layer = layers.get(endpoint.layer()).map_err(|error| TestError::Setup(error.to_string()))?.clone();
        let config = Arc::new(config.clone()).changed(&scope.config_changes);
        let has_client = scope.protocol() != Protocol::Channel;
        let roster = Roster::default();
        let port = Port::new(config, &scope, roster.stats(endpoint.class()));
        let (client, inputs) = mpsc::unbounded_channel();
        let mut line = Line::new(Box::new(Inputs(inputs)), port.clone());
        if has_client {
            line = line.listed(roster.enter(port.clone(), None));
        }
        let cx = Context::new(port.clone(), scope, layers.clone(), layer);
        let life = endpoint.start(cx, line).map_err(TestError::Setup)?;
        let (decide, answer) = oneshot::channel();
        let life = actix_rt::spawn(live(life, port.clone(), roster, has_client.then_some(decide)));
        Ok(Start::Running(Self { port, client, answer, life: Some(life) }))
    }

    pub(super) fn tell(&self, incoming: Incoming) {
        // A consumer that has ended hears nothing.
        let _ = self.client.send(incoming);
    }

    /// How the handshake is answered; `None` when it was told already, or there is no client to be answered.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        if self.answer.is_terminated() { None } else { (&mut self.answer).await.ok() }
    }

    /// The next frame; `None` when the consumer has ended without a close frame.
    pub(super) async fn outgoing(&self) -> Option<Outgoing> {
        poll_fn(|task| self.port.poll_outgoing(task)).await
    }

    /// Why the connection ends, once it does.
    pub(super) fn ending(&self) -> Close {
        self.port.ending().map_or_else(|| Close::vanished("the consumer ended"), |ending| ending.close.clone())
    }

    /// Waits until `disconnect` has run and the groups are left.
    pub(super) async fn ended(&mut self) -> Result<(), TestError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let ended = life.await;
        self.life = None;
        ended.map_err(|error| TestError::Setup(error.to_string()))
    }
}

/// Runs a life with what a server's thread does for it: the handshake's deadline, pings, lifetime.
async fn live(
    mut life: LocalBoxFuture<'static, ()>,
    port: Rc<Port>,
    roster: Roster,
    mut decide: Option<oneshot::Sender<Answer>>,
) {
    let mut late = pin!(sleep(port.config.handshake_timeout));
    let mut beats = interval(TICK);
    poll_fn(|task| {
        let ended = life.as_mut().poll(task).is_ready();
        if decide.is_some()
            && let Some(answer) = port.take_answer()
            && let Some(decide) = decide.take()
        {
            let _ = decide.send(answer);
        }
        if ended {
            return Poll::Ready(());
        }
        if decide.is_some()
            && late.as_mut().poll(task).is_ready()
            && let Some(decide) = decide.take()
        {
            let deny = Deny::new(StatusCode::SERVICE_UNAVAILABLE).body("the application did not answer in time");
            let _ = decide.send(Answer::Refuse(deny));
            port.end(Close::new(CloseCode::ABNORMAL, "`connect` did not decide in time"), Cut::Now);
        }
        while beats.poll_tick(task).is_ready() {
            roster.beat();
        }
        Poll::Pending
    })
    .await;
}

/// What a test's client sends.
struct Inputs(mpsc::UnboundedReceiver<Incoming>);

impl Transport for Inputs {
    fn poll_incoming(&mut self, task: &mut Task<'_>) -> Poll<Incoming> {
        self.0.poll_recv(task).map(|input| input.unwrap_or(Incoming::Gone))
    }
}

pub(super) async fn within<T>(wait: Duration, future: impl Future<Output = T>) -> Result<T, TestError> {
    tokio::time::timeout(wait, future).await.map_err(|_| TestError::Timeout(wait))
}
