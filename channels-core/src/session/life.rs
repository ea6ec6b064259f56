//! A connection's life, from `connect` to `disconnect`.

use std::{fmt::Display, pin::pin, sync::Arc};

use super::{
    access,
    line::{Input, Line, Ran},
    state::Phase,
    stats::Hook,
    unhandled,
};
use crate::{
    Close, CloseCode, ClosedBy, Consumer, Context, Dispatch, Error, FromMessage, InputError, Message, Result,
    consumer::{Deny, WriteError},
    event::{DecodeError, Envelope},
    middleware::Admission,
    one_line::OneLine,
    scope::Protocol,
};

/// Runs one consumer's hooks for one connection. Whatever the end is, `disconnect` runs once and all groups are left.
pub(crate) fn live<C: Consumer>(consumer: C, cx: Context, line: Line) -> impl Future<Output = ()> {
    // Captured, it is once in the future; of an `async fn` it would be both an argument and a variable.
    let mut life = Life { consumer, cx, line };
    async move {
        life.connect().await;
        while life.serve().await {
            life.line.pause().await;
        }
        life.disconnect().await;
    }
}

struct Life<C> {
    consumer: C,
    cx: Context,
    line: Line,
}

impl<C: Consumer> Life<C> {
    async fn connect(&mut self) {
        let Self { consumer, cx, line } = self;
        cx.port().stats.count(|counts| counts.opened += 1);
        let connect = async {
            cx.begin().await?;
            for group in consumer.groups(cx.scope()) {
                cx.group_add(group).await?;
            }
            consumer.connect(cx).await
        };
        let ran = line.run(Hook::Connect, pin!(connect)).await;
        if let Some(()) = self.judge("connect", ran) {
            let port = self.cx.port();
            if port.phase() == Phase::Connecting && !port.is_ending() && port.protocol() != Protocol::Http {
                let _ = self.cx.accept();
            }
        }
    }

    /// Handles one input; `false` at the end.
    async fn serve(&mut self) -> bool {
        match self.line.next().await {
            Input::End => return false,
            Input::Message(message) => self.receive(message).await,
            Input::Event(event) => self.handle(&event).await,
        }
        true
    }

    /// As in [`live`], what it takes is captured.
    fn receive(&mut self, message: Message) -> impl Future<Output = ()> {
        self.cx.port().stats.count(|counts| counts.inputs += 1);
        async move {
            if !self.admits() {
                return;
            }
            let Self { consumer, cx, line } = self;
            let receive = async {
                let input = C::Input::from_message(message)?;
                consumer.receive(cx, input).await
            };
            let ran = line.run(Hook::Receive, pin!(receive)).await;
            self.judge("receive", ran);
        }
    }

    /// Whether middleware lets the next message of the client through.
    fn admits(&self) -> bool {
        let scope = self.cx.scope();
        for gate in &scope.demands.gates {
            match gate.admit(scope) {
                Admission::Granted => continue,
                // To a client that reads nothing, nothing can be told.
                Admission::Drop(told) => drop(told.map(|message| self.cx.port().send(message))),
                Admission::Close(close) => self.cx.port().close(close),
            }
            return false;
        }
        true
    }

    async fn handle(&mut self, event: &Arc<Envelope>) {
        self.cx.port().count_event();
        if self.cx.port().send_pure(event) {
            return;
        }
        let Self { consumer, cx, line } = self;
        cx.port().stats.lag(event.age());
        cx.port().set_handling(true);
        let ran = line.run(Hook::Handler, pin!(consumer.dispatch_shared(cx, event))).await;
        self.cx.port().set_handling(false);
        if let Ran::Done(Err(error)) = &ran
            && let Some(misfit) = error.downcast_ref::<DecodeError>()
        {
            return self.pass_over(event, misfit);
        }
        if let Some(Dispatch::Unhandled) = self.judge(event.name(), ran) {
            unhandled::note(self.cx.port().class(), event.name());
        }
    }

    /// Drops an event that is not what its handler takes: the handler has not run, so the connection is as good as before.
    /// It would not fit the other members either, so it is logged for the first.
    fn pass_over(&self, event: &Envelope, misfit: &DecodeError) {
        let port = self.cx.port();
        port.stats.count(|counts| counts.failures += 1);
        if event.first_misfit() {
            tracing::error!(consumer = port.class().name, error = %OneLine(misfit), "an event does not fit its handler");
        }
    }

    async fn disconnect(&mut self) {
        let Self { consumer, cx, line } = self;
        let port = cx.port().clone();
        let close = port.ending().map_or_else(|| Close::new(CloseCode::ABNORMAL, ""), |ending| ending.close.clone());
        let close = close.of_accepted(port.was_accepted());
        let bound = port.config.disconnect_timeout;
        let ran = line.run_last(pin!(consumer.disconnect(cx, &close)), bound).await;
        match ran {
            Ran::Done(()) => {}
            Ran::Panicked(panic) => self.log("disconnect", panic),
            Ran::Cut => self.log("disconnect", format_args!("did not end within {bound:?} and was cancelled")),
        }
        self.cx.leave().await;
        let scope = self.cx.scope_mut();
        for middleware in std::mem::take(&mut scope.demands.afters).into_iter().rev() {
            match self.line.run_last(pin!(middleware.after(scope, &close)), bound).await {
                Ran::Done(()) => {}
                Ran::Panicked(panic) => tracing::error!(error = %OneLine(panic), "a middleware panicked"),
                Ran::Cut => tracing::error!(?bound, "a middleware did not end and was cancelled"),
            }
        }
        self.line.hang_up(close.clone()).await;
        access::ended(&port, &close);
    }

    /// What a hook's end means for the connection; its value when it succeeded.
    fn judge<T>(&self, hook: &str, ran: Ran<Result<T>>) -> Option<T> {
        match ran {
            Ran::Done(Ok(value)) => return Some(value),
            Ran::Done(Err(error)) => self.refuse_or_close(hook, error),
            Ran::Panicked(panic) => {
                self.log(hook, panic);
                self.fail();
            }
            Ran::Cut => self.log(hook, "did not end with its connection and was cancelled"),
        }
        None
    }

    fn refuse_or_close(&self, hook: &str, error: Error) {
        let port = self.cx.port();
        // Later it is an error like any other, with the line that it came from.
        let error = match port.phase() {
            Phase::Connecting => match error.into_deny() {
                Ok(mut deny) => {
                    deny.headers.extend(self.cx.scope().answer.take());
                    return port.refuse(deny);
                }
                Err(error) => error,
            },
            _ => error,
        };
        let note = |what: &str| {
            tracing::debug!(consumer = port.class().name, path = port.path, hook, error = %OneLine(&error), "{what}");
        };
        if let Some(input) = error.downcast_ref::<InputError>() {
            note("a message was refused");
            return port.close(input.clone().into_close());
        }
        if error.downcast_ref().is_some_and(|error| self.is_the_clients_doing(hook, error)) {
            return note("a hook ended with what its client does not take");
        }
        self.log(hook, format_args!("{error:?}"));
        self.fail();
    }

    /// Whether nothing could be sent because the client has gone, or reads too slowly: no mistake of the hook's, and what
    /// becomes of the connection is decided.
    fn is_the_clients_doing(&self, hook: &str, error: &WriteError) -> bool {
        let port = self.cx.port();
        match error {
            // Half a `connect` is none, nor is half a response.
            WriteError::Overflow { .. } => hook != "connect" && port.protocol() != Protocol::Http,
            WriteError::Closed => {
                let ending = port.ending().map(|ending| &ending.close);
                ending.is_some_and(|close| close.by == ClosedBy::Client || close.code == CloseCode::TOO_SLOW)
            }
            _ => false,
        }
    }

    /// Refuses with 500, or closes with 1011.
    fn fail(&self) {
        let port = self.cx.port();
        port.refuse(Deny::new(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR));
        port.close(Close::new(CloseCode::INTERNAL_ERROR, "internal error"));
    }

    fn log(&self, hook: &str, error: impl Display) {
        let port = self.cx.port();
        port.stats.count(|counts| counts.failures += 1);
        tracing::error!(consumer = port.class().name, path = port.path, hook, error = %OneLine(error), "a hook failed");
    }
}
