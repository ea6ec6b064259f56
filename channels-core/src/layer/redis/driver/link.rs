//! The driver over the `redis` crate.

use std::{
    error::Error as _,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Msg, Pipeline, RedisError, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSubSink, PubSubStream},
    cmd, from_redis_value, pipe,
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, mpsc, watch},
    time::timeout,
};

use super::{Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState, roll, wanted::Wanted};
use crate::layer::redis::{
    host::{Connector, Host, backoff},
    mailbox,
};

/// Connections for blocking commands that are kept when nobody waits.
const SPARE: usize = 8;

/// One broker.
pub(in crate::layer::redis) struct Link {
    name: String,
    connector: Connector,
    timeout: Duration,
    /// For commands: everybody's at once.
    shared: AsyncMutex<Option<MultiplexedConnection>>,
    /// For commands that block: one caller's at a time.
    spare: Mutex<Vec<MultiplexedConnection>>,
    wanted: Wanted,
    /// The connection for subscriptions, while there is one.
    sink: AsyncMutex<Option<PubSubSink>>,
    connected: watch::Sender<bool>,
    reset: Notify,
}

impl Link {
    pub(in crate::layer::redis) fn new(host: &Host, timeout: Duration) -> Result<Self, RedisError> {
        Ok(Self {
            name: host.to_string(),
            connector: host.connector()?,
            timeout,
            shared: AsyncMutex::default(),
            spare: Mutex::default(),
            wanted: Wanted::default(),
            sink: AsyncMutex::default(),
            connected: watch::Sender::new(false),
            reset: Notify::new(),
        })
    }

    /// Asks for one answer.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DriverError> {
        self.run(async {
            let mut connection = self.shared().await?;
            let answer = connection.req_packed_command(command).await;
            self.judge(answer).and_then(read)
        })
        .await
    }

    /// Asks for several, in one round trip.
    async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, DriverError> {
        self.run(async {
            let mut connection = self.shared().await?;
            let answer = connection.req_packed_commands(commands, 0, commands.len()).await;
            let values = self.judge(answer)?;
            values.into_iter().map(|value| value.extract_error().map_err(error)).collect()
        })
        .await
    }

    /// All that a call does has one deadline: to connect, to wait for one who connects, to ask. A connection that was not
    /// in time may be one that carries nothing any more.
    async fn run<T>(&self, call: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        timeout(self.timeout, call).await.unwrap_or_else(|late| {
            self.forget_connections();
            Err(DriverError::Lost(Arc::new(late)))
        })
    }

    async fn shared(&self) -> Result<MultiplexedConnection, DriverError> {
        let mut shared = self.shared.lock().await;
        if shared.is_none() {
            *shared = Some(self.connect(self.timeout).await?);
        }
        Ok(shared.clone().expect("it was just made"))
    }

    /// A Sentinel that knows no master means that there is none.
    async fn client(&self) -> Result<Client, DriverError> {
        self.connector.client().await.map_err(|none| DriverError::Lost(Arc::new(none)))
    }

    async fn connect(&self, patience: Duration) -> Result<MultiplexedConnection, DriverError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(patience));
        let client = self.client().await?;
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(error)
    }

    /// After a failure of the connection the next call makes another one.
    fn judge<T>(&self, answer: Result<T, RedisError>) -> Result<T, DriverError> {
        let answer = answer.map_err(error);
        if matches!(answer, Err(DriverError::Lost(_))) {
            self.forget_connections();
        }
        answer
    }

    /// When one connection is lost the others most likely are: they are made anew, before anybody's call finds out.
    fn forget_connections(&self) {
        // Who holds it is making another one.
        if let Ok(mut shared) = self.shared.try_lock() {
            *shared = None;
        }
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn pop_blocking(&self, key: &str, wait: Duration, most: usize) -> Result<Vec<Popped>, DriverError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match spare {
            Some(connection) => connection,
            None => self.run(self.connect(wait + self.timeout)).await?,
        };
        connection.set_response_timeout(wait + self.timeout);
        let first: Option<(String, Vec<u8>, f64)> = {
            // Redis 5 takes whole seconds only.
            let command = cmd("BZPOPMIN").arg(key).arg(mailbox::seconds(wait)).to_owned();
            let answer = connection.req_packed_command(&command).await;
            read(self.judge(answer)?)?
        };
        let mut all = Vec::new();
        if let Some((_, body, sent)) = first {
            all.push(Popped { body, sent });
            if most > 1 {
                let rest = connection.req_packed_command(&take(key, most - 1)).await.map_err(error).and_then(read);
                // What came first is not given up because the rest cannot be had.
                all.extend(popped(rest.unwrap_or_default()));
            }
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(connection);
        }
        Ok(all)
    }

    /// Connects for subscriptions, and renews them all.
    async fn subscribe_all(&self) -> Result<PubSubStream, DriverError> {
        let pubsub = self
            .run(async {
                let client = self.client().await?;
                client.get_async_pubsub().await.map_err(error)
            })
            .await?;
        let (mut sink, stream) = pubsub.split();
        // Under the lock, so that nobody's subscription falls between the list and the connection.
        let mut current = self.sink.lock().await;
        let wanted = self.wanted.all();
        let (patterns, channels): (Vec<_>, Vec<_>) =
            wanted.iter().map(String::as_str).partition(|name| is_pattern(name));
        for channels in channels.chunks(1_000) {
            self.run(async { sink.subscribe(channels).await.map_err(error) }).await?;
        }
        for pattern in patterns {
            self.run(async { sink.psubscribe(pattern).await.map_err(error) }).await?;
        }
        *current = Some(sink);
        self.connected.send_replace(true);
        Ok(stream)
    }
}

impl Driver for Link {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<bool>> {
        Box::pin(async move { self.ask(&push(&messages)).await })
    }

    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>> {
        Box::pin(async move {
            match wait.is_zero() {
                true => Ok(popped(self.ask(&take(key, most)).await?)),
                false => self.pop_blocking(key, wait, most).await,
            }
        })
    }

    fn join<'a>(&'a self, key: &'a str, members: Vec<String>, now: f64, expiry: Duration) -> DriverFuture<'a, ()> {
        Box::pin(async move { self.ask_all(&join(key, members, now, expiry)).await.map(drop) })
    }

    fn leave<'a>(&'a self, key: &'a str, members: Vec<String>) -> DriverFuture<'a, ()> {
        Box::pin(async move { self.ask(cmd("ZREM").arg(key).arg(members)).await })
    }

    fn members<'a>(&'a self, key: &'a str, oldest: f64) -> DriverFuture<'a, (usize, Vec<String>)> {
        Box::pin(async move {
            let mut answers = self.ask_all(&members(key, oldest)).await?.into_iter();
            let mut next = || answers.next().unwrap_or(Value::Nil);
            Ok((read(next())?, read(next())?))
        })
    }

    fn lease<'a>(&'a self, key: &'a str, time: Duration) -> DriverFuture<'a, ()> {
        Box::pin(async move { self.ask(cmd("SET").arg(key).arg(1).arg("PX").arg(time.as_millis() as u64)).await })
    }

    fn leases(&self, keys: Vec<String>) -> DriverFuture<'_, Vec<Option<Duration>>> {
        Box::pin(async move {
            let mut commands = pipe();
            for key in keys {
                commands.cmd("PTTL").arg(key);
            }
            self.ask_all(&commands).await?.into_iter().map(|answer| read(answer).map(roll::left)).collect()
        })
    }

    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>> {
        Box::pin(async move { self.ask(&roll::change(&change, "PUBLISH")).await.map(roll::changed) })
    }

    fn roll<'a>(&'a self, key: &'a str, known: u64, expiry: Duration) -> DriverFuture<'a, Option<RollState>> {
        Box::pin(async move { roll::state(self.ask(&roll::read(key, known, expiry)).await?) })
    }

    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize> {
        Box::pin(async move { self.ask(cmd("PUBLISH").arg(channel).arg(body)).await })
    }

    fn subscribe<'a>(&'a self, channel: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.run(async move {
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
        Box::pin(self.run(async move {
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
            let mut attempt = 0;
            loop {
                match self.subscribe_all().await {
                    Ok(mut stream) => {
                        attempt = 0;
                        if notices.send(Notice::Back).await.is_err() {
                            return;
                        }
                        self.forward(&mut stream, &notices, &*overflow).await;
                        self.connected.send_replace(false);
                        self.forget_connections();
                        *self.sink.lock().await = None;
                        if notices.send(Notice::Lost).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tell(&self.name, attempt, &error),
                }
                let wait = backoff(attempt);
                attempt += 1;
                tokio::select! {
                    () = notices.closed() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        })
    }

    fn reset(&self) {
        self.reset.notify_one();
    }

    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let pattern = format!("{}*", escape(prefix));
            self.ask(cmd("EVAL").arg(mailbox::FLUSH).arg(0).arg(pattern)).await
        })
    }
}

impl Link {
    /// Hands on what comes, until the connection ends or is to be made anew. The `redis` crate's own queue has no bound, so it
    /// is emptied at once; the bound is that of `notices`.
    async fn forward(
        &self,
        stream: &mut PubSubStream,
        notices: &mpsc::Sender<Notice>,
        overflow: &(dyn Fn() + Send + Sync),
    ) {
        loop {
            let message: Option<Msg> = tokio::select! {
                message = stream.next() => message,
                () = self.reset.notified() => None,
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

/// Says why there is no connection, loudly the first time.
pub(in crate::layer::redis) fn tell(broker: &str, attempt: u32, error: &DriverError) {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    if attempt == 0 {
        tracing::warn!(broker, cause, "{error}; trying again");
    } else {
        tracing::debug!(broker, cause, "{error}; trying again");
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

pub(super) fn join(key: &str, members: Vec<String>, now: f64, expiry: Duration) -> Pipeline {
    let mut commands = pipe();
    let add = commands.cmd("ZADD").arg(key);
    for member in members {
        add.arg(now).arg(member);
    }
    commands.cmd("EXPIRE").arg(key).arg(mailbox::seconds(expiry));
    commands
}

pub(super) fn members(key: &str, oldest: f64) -> Pipeline {
    let mut commands = pipe();
    commands.cmd("ZREMRANGEBYSCORE").arg(key).arg(0).arg(oldest);
    commands.cmd("ZRANGE").arg(key).arg(0).arg(-1);
    commands
}

/// Takes the oldest out of a mailbox, without waiting for one.
pub(super) fn take(key: &str, most: usize) -> Cmd {
    cmd("ZPOPMIN").arg(key).arg(most).to_owned()
}

pub(super) fn popped(all: Vec<(Vec<u8>, f64)>) -> Vec<Popped> {
    all.into_iter().map(|(body, sent)| Popped { body, sent }).collect()
}

pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, DriverError> {
    from_redis_value(value).map_err(|why| error(RedisError::from(why)))
}

pub(super) fn error(error: RedisError) -> DriverError {
    let lost =
        error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || error.is_unrecoverable_error();
    // A broker that was a master and is a replica now, or that is still loading, is as good as away; so is the part of a
    // cluster whose master is lost, until another node takes its place.
    let away =
        matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "TRYAGAIN"))
            || error.kind() == ErrorKind::ClusterConnectionNotFound;
    if lost || away { DriverError::Lost(Arc::new(error)) } else { DriverError::Refused(Arc::new(error)) }
}
