//! A synchronous consumer as an asynchronous one.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};

use super::{SyncConsumer, SyncContext};
use crate::{Close, Consumer, Context, Dispatch, Envelope, Message, Result, Scope, WriteError, session::Panic};

/// Runs a synchronous consumer's hooks on the pool, one after the other.
pub(crate) struct Blocking<C> {
    consumer: Place<C>,
}

enum Place<C> {
    Here(C),
    /// With a hook, on a thread of the pool.
    Away(JoinHandle<C>),
    /// With a thread that ended together with the runtime.
    Lost,
}

impl<C: SyncConsumer> Blocking<C> {
    pub(crate) fn new(consumer: C) -> Self {
        Self { consumer: Place::Here(consumer) }
    }

    /// Runs a hook on the pool, and does here what it asks of its context.
    async fn run<T: Send + 'static>(
        &mut self,
        cx: &mut Context,
        hook: impl FnOnce(&mut C, &mut SyncContext) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        let mut consumer = self.come_back().await?;
        let (commands, mut asked) = mpsc::unbounded_channel();
        let (tell, told) = oneshot::channel::<Result<T, Panic>>();
        self.consumer = Place::Away(spawn_blocking(move || {
            let mut cx = SyncContext::new(commands);
            let done = Panic::catch(|| hook(&mut consumer, &mut cx));
            let _ = tell.send(done);
            consumer
        }));
        while let Some(command) = asked.recv().await {
            command(cx).await;
        }
        self.consumer = Place::Here(self.come_back().await?);
        match told.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(panic)) => panic.resume(),
            Err(_) => Err(WriteError::Closed),
        }
    }

    /// The consumer, once a hook that was given up has returned.
    async fn come_back(&mut self) -> Result<C, WriteError> {
        if let Place::Away(hook) = &mut self.consumer {
            let back = hook.await;
            self.consumer = back.map_or(Place::Lost, Place::Here);
        }
        match std::mem::replace(&mut self.consumer, Place::Lost) {
            Place::Here(consumer) => Ok(consumer),
            Place::Away(_) | Place::Lost => Err(WriteError::Closed),
        }
    }
}

impl<C: SyncConsumer> Consumer for Blocking<C> {
    type Input = C::Input;

    const LAYER: &'static str = C::LAYER;

    fn type_name() -> &'static str {
        std::any::type_name::<C>()
    }

    fn groups(&self, scope: &Scope) -> Vec<String> {
        match &self.consumer {
            Place::Here(consumer) => consumer.groups(scope),
            Place::Away(_) | Place::Lost => Vec::new(),
        }
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        Ok(self.run(cx, |consumer, cx| consumer.connect(cx)).await??)
    }

    async fn receive(&mut self, cx: &mut Context, input: C::Input) -> Result<()> {
        Ok(self.run(cx, |consumer, cx| consumer.receive(cx, input)).await??)
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        let close = close.clone();
        if self.run(cx, move |consumer, cx| consumer.disconnect(cx, &close)).await.is_err() {
            tracing::debug!("a runtime ended before a consumer's `disconnect`");
        }
    }

    async fn dispatch_shared(&mut self, cx: &mut Context, event: &Arc<Envelope>) -> Result<Dispatch> {
        let event = event.clone();
        Ok(self.run(cx, move |consumer, cx| consumer.dispatch(cx, &event)).await??)
    }

    fn render(event: &Envelope) -> Option<Result<Message>> {
        C::render(event)
    }
}
