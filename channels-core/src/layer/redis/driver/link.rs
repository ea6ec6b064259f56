//! The driver over the `redis` crate.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Msg, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
    cmd, pipe,
};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, watch},
    time::sleep,
};

use super::{
    Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState,
    calls::{Calls, Dial, Eras, error, popped, read, take},
    roll,
    wanted::Wanted,
};
use crate::layer::redis::{
    host::{Connector, Host},
    mailbox,
    retries::Retries,
};

/// One broker.
pub(in crate::layer::redis) struct Link {
    name: String,
    calls: Calls<Master>,
    wanted: Wanted,
    /// The connection for subscriptions, while there is one.
    sink: AsyncMutex<Option<PubSubSink>>,
    connected: watch::Sender<bool>,
}

/// Wherever the broker is now.
struct Master {
    connector: Connector,
    timeout: Duration,
}

impl Master {
    /// A Sentinel that knows no master means that there is none.
    async fn client(&self, eras: &Eras) -> Result<(u64, Client), DriverError> {
        let client = self.connector.client().await.map_err(|none| DriverError::Lost(Arc::new(none)))?;
        let era = eras.of_master_at(client.get_connection_info().addr().to_string());
        Ok((era, client))
    }
}

impl Dial for Master {
    type Connection = MultiplexedConnection;

    async fn dial(&self, patience: Duration, eras: &Eras) -> Result<(u64, MultiplexedConnection), DriverError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(patience));
        let (era, client) = self.client(eras).await?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(error)?;
        Ok((era, connection))
    }
}

impl Link {
    pub(in crate::layer::redis) fn new(host: &Host, timeout: Duration) -> Result<Self, RedisError> {
        Ok(Self {
            name: host.to_string(),
            calls: Calls::new(Master { connector: host.connector()?, timeout }, timeout),
            wanted: Wanted::default(),
            sink: AsyncMutex::default(),
            connected: watch::Sender::new(false),
        })
    }

    /// Connects for subscriptions, and renews them all. Gives the era that this is in.
    async fn subscribe_all(&self) -> Result<(u64, PubSubStream), DriverError> {
        let (era, pubsub) = self
            .calls
            .run(async {
                let (era, client) = self.calls.dial().client(&self.calls.eras).await?;
                Ok((era, client.get_async_pubsub().await.map_err(error)?))
            })
            .await?;
        let (mut sink, stream) = pubsub.split();
        // Under the lock, so that nobody's subscription falls between the list and the connection.
        let mut current = self.sink.lock().await;
        let wanted = self.wanted.all();
        let (patterns, channels): (Vec<_>, Vec<_>) =
            wanted.iter().map(String::as_str).partition(|name| is_pattern(name));
        for channels in channels.chunks(1_000) {
            self.calls.run(async { sink.subscribe(channels).await.map_err(error) }).await?;
        }
        for pattern in patterns {
            self.calls.run(async { sink.psubscribe(pattern).await.map_err(error) }).await?;
        }
        *current = Some(sink);
        self.connected.send_replace(true);
        Ok((era, stream))
    }

    /// Hands on what comes, until the connection ends or is to be made anew. The `redis` crate's own queue has no bound, so it
    /// is emptied at once; the bound is that of `notices`.
    async fn forward(
        &self,
        era: u64,
        stream: &mut PubSubStream,
        notices: &mpsc::Sender<Notice>,
        overflow: &(dyn Fn() + Send + Sync),
    ) {
        let over = self.calls.eras.is_over(era);
        tokio::pin!(over);
        loop {
            let message: Option<Msg> = tokio::select! {
                message = stream.next() => message,
                () = &mut over => None,
                () = notices.closed() => None,
            };
            let Some(message) = message else { return };
            let channel = message.get_channel_name().to_owned();
            let notice = Notice::Message { channel, body: message.get_payload_bytes().to_vec() };
            if let Err(mpsc::error::TrySendError::Full(_)) = notices.try_send(notice) {
                overflow();
            }
        }
    }
}

impl Driver for Link {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<Result<bool, DriverError>>> {
        Box::pin(async move { self.calls.ask_each(&push(&messages)).await })
    }

    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>> {
        Box::pin(async move {
            match wait.is_zero() {
                true => Ok(popped(self.calls.ask::<Vec<_>>(&take(key, most)).await?)),
                false => self.calls.pop_blocking(key, wait, most).await,
            }
        })
    }

    fn join<'a>(&'a self, key: &'a str, members: Vec<String>, now: f64, expiry: Duration) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.join(key, members, now, expiry))
    }

    fn leave<'a>(&'a self, key: &'a str, members: Vec<String>) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.leave(key, members))
    }

    fn members<'a>(&'a self, key: &'a str, oldest: f64) -> DriverFuture<'a, (usize, Vec<String>)> {
        Box::pin(self.calls.members(key, oldest))
    }

    fn lease<'a>(&'a self, key: &'a str, time: Duration) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.lease(key, time))
    }

    fn leases(&self, keys: Vec<String>) -> DriverFuture<'_, Vec<Option<Duration>>> {
        Box::pin(async move {
            let mut commands = pipe();
            for key in keys {
                commands.cmd("PTTL").arg(key);
            }
            self.calls.ask_all(&commands).await?.into_iter().map(|answer| read(answer).map(roll::left)).collect()
        })
    }

    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>> {
        Box::pin(async move { self.calls.ask(&roll::change(&change, "PUBLISH")).await.map(roll::changed) })
    }

    fn roll<'a>(&'a self, key: &'a str, known: u64, expiry: Duration) -> DriverFuture<'a, Option<RollState>> {
        Box::pin(self.calls.roll(key, known, expiry))
    }

    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize> {
        Box::pin(async move { self.calls.ask(cmd("PUBLISH").arg(channel).arg(body)).await })
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.run(async move {
            // It may be about to be there: the deadline is that of the call.
            let _ = self.connected.subscribe().wait_for(|connected| *connected).await;
            let (added, mut sink) = {
                let sink = self.sink.lock().await;
                let Some(sink) = sink.as_ref() else { return Err(DriverError::Lost(Arc::new(NotConnected))) };
                (self.wanted.add(channel), sink.clone())
            };
            // Without the lock, so that many subscriptions are one round trip.
            let subscribed = match is_pattern(channel) {
                true => sink.psubscribe(channel).await,
                false => sink.subscribe(channel).await,
            };
            subscribed.map_err(error)?;
            added.keep();
            Ok(())
        }))
    }

    fn unsubscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.run(async move {
            let sink = {
                let sink = self.sink.lock().await;
                self.wanted.remove(channel);
                sink.clone()
            };
            let Some(mut sink) = sink else { return Ok(()) };
            let unsubscribed = match is_pattern(channel) {
                true => sink.punsubscribe(channel).await,
                false => sink.unsubscribe(channel).await,
            };
            unsubscribed.map_err(error)
        }))
    }

    fn listen(
        &self,
        notices: mpsc::Sender<Notice>,
        overflow: Arc<dyn Fn() + Send + Sync>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let mut retries = Retries::default();
            loop {
                match self.subscribe_all().await {
                    Ok((era, mut stream)) => {
                        retries.succeeded();
                        if notices.send(Notice::Back).await.is_err() {
                            return;
                        }
                        self.forward(era, &mut stream, &notices, &*overflow).await;
                        self.connected.send_replace(false);
                        self.calls.forget_connections();
                        *self.sink.lock().await = None;
                        if notices.send(Notice::Lost).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => retries.tell(&self.name, &error),
                }
                tokio::select! {
                    () = notices.closed() => return,
                    () = sleep(retries.wait()) => {}
                }
            }
        })
    }

    fn reset(&self) {
        self.calls.eras.end();
    }

    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let pattern = format!("{}*", escape(prefix));
            self.calls.ask(cmd("EVAL").arg(mailbox::FLUSH).arg(0).arg(pattern)).await
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no connection for subscriptions now")]
pub(super) struct NotConnected;

/// Whether a subscription is for all channels that begin so.
fn is_pattern(channel: &str) -> bool {
    channel.ends_with('*')
}

/// A text as a glob pattern that fits only it.
pub(in crate::layer::redis) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The script that adds messages to their mailboxes.
pub(super) fn push(messages: &[Push]) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(mailbox::PUSH).arg(messages.len());
    for message in messages {
        script.arg(message.key.as_str());
    }
    for message in messages {
        script.arg(message.body.as_slice()).arg(message.capacity);
        script.arg(message.sent).arg(mailbox::seconds(message.expiry));
    }
    script
}
