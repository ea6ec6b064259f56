//! A consumer of a request as one of a connection.

use super::{Body, FromBody, HttpConsumer};
use crate::{Close, Consumer, Context, Dispatch, Envelope, Message, Result, Scope, scope::Protocol};

/// Runs an [`HttpConsumer`]: the one message that its client sends is the request.
pub(crate) struct Responding<C>(C);

impl<C: HttpConsumer> Responding<C> {
    pub(crate) fn new(consumer: C) -> Self {
        Self(consumer)
    }
}

impl<C: HttpConsumer> Consumer for Responding<C> {
    type Input = Message;

    const LAYER: &'static str = C::LAYER;
    const PROTOCOL: Protocol = Protocol::Http;

    fn type_name() -> &'static str {
        std::any::type_name::<C>()
    }

    fn groups(&self, scope: &Scope) -> Vec<String> {
        self.0.groups(scope)
    }

    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        let limit = cx.port().config.max_message_size;
        let input = C::Input::from_body(Body::new(cx.port().take_payload()), limit).await?;
        self.0.handle(cx, input).await
    }

    async fn disconnect(&mut self, cx: &mut Context, close: &Close) {
        self.0.disconnect(cx, close).await;
    }

    async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
        self.0.dispatch(cx, event).await
    }

    fn render(event: &Envelope) -> Option<Result<Message>> {
        C::render(event)
    }
}
