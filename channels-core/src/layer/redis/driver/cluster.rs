//! The driver of a Redis Cluster: the `redis` crate knows the slots, and follows those that move.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, ServerErrorKind,
    TlsCertificates, Value,
    aio::ConnectionLike,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo},
    cmd,
};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState,
    link::{NotConnected, error, join, members, popped, push, read, take, tell},
    roll,
    wanted::Wanted,
};
use crate::layer::redis::{
    host::{Host, backoff},
    mailbox,
};

/// How often a command is sent again for a slot that has moved.
const REDIRECTS: u32 = 4;

/// How many subscriptions are asked for at once. Each is a command of its own: those of one command have to be in one slot.
const AT_ONCE: usize = 256;

/// Connections for blocking commands that are kept when nobody waits.
const SPARE: usize = 8;

/// A cluster, as one broker.
///
/// Nothing here needs two keys at once, so that nothing needs them in one slot but what a group's braces keep there. Messages go
/// through sharded publish and subscribe (Redis 7): an ordinary `PUBLISH` goes to every node of a cluster.
pub(in crate::layer::redis) struct Cluster {
    name: String,
    nodes: Vec<String>,
    certificates: Option<TlsCertificates>,
    timeout: Duration,
    /// For what may be done twice without harm: when a connection is lost on the way, it is.
    shared: AsyncMutex<Option<ClusterConnection>>,
    /// For messages, which are sent at most once.
    once: AsyncMutex<Option<ClusterConnection>>,
    /// For commands that block: one caller's at a time.
    spare: Mutex<Vec<ClusterConnection>>,
    wanted: Wanted,
    /// The connection for subscriptions, while there is one.
    sink: AsyncMutex<Option<ClusterConnection>>,
    connected: watch::Sender<bool>,
    reset: Notify,
}

impl Cluster {
    pub(in crate::layer::redis) fn new(host: &Host, nodes: Vec<String>, timeout: Duration) -> Result<Self, RedisError> {
        let cluster = Self {
            name: host.to_string(),
            nodes,
            certificates: host.certificates(),
            timeout,
            shared: AsyncMutex::default(),
            once: AsyncMutex::default(),
            spare: Mutex::default(),
            wanted: Wanted::default(),
            sink: AsyncMutex::default(),
            connected: watch::Sender::new(false),
            reset: Notify::new(),
        };
        cluster.client(timeout, 0).build()?;
        Ok(cluster)
    }

    fn client(&self, patience: Duration, retries: u32) -> ClusterClientBuilder {
        let builder = ClusterClient::builder(self.nodes.iter().map(String::as_str));
        let builder = match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        };
        builder
            .connection_timeout(self.timeout)
            .response_timeout(patience)
            .retries(retries)
            .min_retry_wait(10)
            .max_retry_wait(200)
    }

    async fn connect(&self, patience: Duration, retries: u32) -> Result<ClusterConnection, DriverError> {
        let client = self.client(patience, retries).build().map_err(error)?;
        client.get_async_connection().await.map_err(error)
    }

    /// All that a call does has one deadline: to connect, to wait for one who connects, to ask. A connection that was not
    /// in time may be one that carries nothing any more.
    async fn run<T>(&self, call: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        timeout(self.timeout, call).await.unwrap_or_else(|late| {
            self.forget_connections();
            Err(DriverError::Lost(Arc::new(late)))
        })
    }

    async fn shared(&self) -> Result<ClusterConnection, DriverError> {
        let mut shared = self.shared.lock().await;
        if shared.is_none() {
            *shared = Some(self.connect(self.timeout, REDIRECTS).await?);
        }
        Ok(shared.clone().expect("it was just made"))
    }

    async fn once(&self) -> Result<ClusterConnection, DriverError> {
        let mut once = self.once.lock().await;
        if once.is_none() {
            *once = Some(self.connect(self.timeout, 0).await?);
        }
        Ok(once.clone().expect("it was just made"))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DriverError> {
        self.run(async {
            let mut connection = self.shared().await?;
            let answer = connection.req_packed_command(command).await;
            self.judge(answer).and_then(read)
        })
        .await
    }

    async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, DriverError> {
        self.run(async {
            let mut connection = self.shared().await?;
            let answer = connection.req_packed_commands(commands, 0, commands.len()).await;
            let values = self.judge(answer)?;
            values.into_iter().map(|value| value.extract_error().map_err(error)).collect()
        })
        .await
    }

    /// Asks for what must not be done twice: it is sent again only to the node that a slot has moved to, since the one that says
    /// so has done nothing.
    async fn ask_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DriverError> {
        self.run(async {
            let mut connection = self.once().await?;
            for redirect in 0.. {
                let answer = connection.req_packed_command(command).await;
                match answer.as_ref().map_err(RedisError::kind) {
                    // By now the connection asks for the slots anew.
                    Err(ErrorKind::Server(ServerErrorKind::Moved)) if redirect < REDIRECTS => {
                        sleep(Duration::from_millis(10 << redirect)).await;
                    }
                    // The slot is on its way: the other connection knows how to ask both nodes.
                    Err(ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain)) => break,
                    _ => return self.judge(answer).and_then(read),
                }
            }
            let answer = self.shared().await?.req_packed_command(command).await;
            self.judge(answer).and_then(read)
        })
        .await
    }

    /// After a failure of a connection the next call makes another one, which sees who is a master now.
    fn judge<T>(&self, answer: Result<T, RedisError>) -> Result<T, DriverError> {
        let answer = answer.map_err(error);
        if matches!(answer, Err(DriverError::Lost(_))) {
            self.forget_connections();
        }
        answer
    }

    fn forget_connections(&self) {
        // Who holds one is making another.
        for connection in [&self.shared, &self.once] {
            if let Ok(mut connection) = connection.try_lock() {
                *connection = None;
            }
        }
        self.spare().clear();
    }

    async fn pop_blocking(&self, key: &str, wait: Duration, most: usize) -> Result<Vec<Popped>, DriverError> {
        let spare = self.spare().pop();
        let mut connection = match spare {
            Some(connection) => connection,
            None => self.run(self.connect(wait + self.timeout, REDIRECTS)).await?,
        };
        let command = cmd("BZPOPMIN").arg(key).arg(mailbox::seconds(wait)).to_owned();
        let answer = connection.req_packed_command(&command).await;
        let first: Option<(String, Vec<u8>, f64)> = read(self.judge(answer)?)?;
        let mut all = Vec::new();
        if let Some((_, body, sent)) = first {
            all.push(Popped { body, sent });
            if most > 1 {
                let rest = connection.req_packed_command(&take(key, most - 1)).await.map_err(error).and_then(read);
                // What came first is not given up because the rest cannot be had.
                all.extend(popped(rest.unwrap_or_default()));
            }
        }
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(connection);
        }
        Ok(all)
    }

    /// Connects for subscriptions, and renews them all.
    async fn subscribe_all(&self) -> Result<mpsc::UnboundedReceiver<PushInfo>, DriverError> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let connection = self
            .run(async {
                let builder = self.client(self.timeout, REDIRECTS).use_protocol(ProtocolVersion::RESP3);
                let client = builder.push_sender(sender).build().map_err(error)?;
                client.get_async_connection().await.map_err(error)
            })
            .await?;
        // Under the lock, so that nobody's subscription falls between the list and the connection.
        let mut current = self.sink.lock().await;
        stream::iter(self.wanted.all())
            .map(|channel| {
                let mut connection = connection.clone();
                self.run(async move { connection.ssubscribe(channel).await.map_err(error) })
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        *current = Some(connection);
        self.connected.send_replace(true);
        Ok(pushes)
    }

    /// Hands on what comes, until a connection to one of the nodes ends, a slot that is subscribed to moves away, or the
    /// connection is to be made anew. The `redis` crate's own queue has no bound, so it is emptied at once; the bound is that of
    /// `notices`.
    async fn forward(
        &self,
        pushes: &mut mpsc::UnboundedReceiver<PushInfo>,
        notices: &mpsc::Sender<Notice>,
        overflow: &(dyn Fn() + Send + Sync),
    ) {
        loop {
            let push = tokio::select! {
                push = pushes.recv() => push,
                () = self.reset.notified() => None,
                () = notices.closed() => None,
            };
            let Some(PushInfo { kind, data, .. }) = push else { return };
            let mut data = data.into_iter();
            match kind {
                PushKind::SMessage => {
                    let (Some(channel), Some(body)) = (data.next(), data.next()) else { continue };
                    let (Ok(channel), Ok(body)) = (read(channel), read(body)) else { continue };
                    if let Err(mpsc::error::TrySendError::Full(_)) = notices.try_send(Notice::Message { channel, body })
                    {
                        overflow();
                    }
                }
                // Nobody asked for it: the node has the slot no more.
                PushKind::SUnsubscribe => {
                    let channel: Option<String> = data.next().and_then(|channel| read(channel).ok());
                    if channel.is_some_and(|channel| self.wanted.contains(&channel)) {
                        return;
                    }
                }
                PushKind::Disconnection => return,
                _ => {}
            }
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<ClusterConnection>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Cluster {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<bool>> {
        Box::pin(async move {
            let mut taken = Vec::new();
            // One by one: their mailboxes are in different slots.
            for message in messages {
                taken.extend(self.ask_once::<Vec<bool>>(&push(&[message])).await?);
            }
            Ok(taken)
        })
    }

    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>> {
        Box::pin(async move {
            match wait.is_zero() {
                true => Ok(popped(self.ask_once(&take(key, most)).await?)),
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
            let asked = stream::iter(keys)
                .map(|key| async move { self.ask(cmd("PTTL").arg(key)).await.map(roll::left) })
                .buffered(AT_ONCE);
            asked.try_collect().await
        })
    }

    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>> {
        Box::pin(async move { self.ask(&roll::change(&change, "SPUBLISH")).await.map(roll::changed) })
    }

    fn roll<'a>(&'a self, key: &'a str, known: u64, expiry: Duration) -> DriverFuture<'a, Option<RollState>> {
        Box::pin(async move { roll::state(self.ask(&roll::read(key, known, expiry)).await?) })
    }

    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize> {
        Box::pin(async move { self.ask_once(cmd("SPUBLISH").arg(channel).arg(body)).await })
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
            sink.ssubscribe(channel).await.map_err(error)?;
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
            sink.sunsubscribe(channel).await.map_err(error)
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
                    Ok(mut pushes) => {
                        attempt = 0;
                        if notices.send(Notice::Back).await.is_err() {
                            return;
                        }
                        self.forward(&mut pushes, &notices, &*overflow).await;
                        self.connected.send_replace(false);
                        self.forget_connections();
                        *self.sink.lock().await = None;
                        if notices.send(Notice::Lost).await.is_err() {
                            return;
                        }
                    }
                    Err(DriverError::Refused(refusal)) if attempt == 0 => {
                        tracing::warn!(
                            broker = self.name,
                            error = %refusal,
                            "the cluster refuses subscriptions; it has to be Redis 7 or newer, or Valkey"
                        );
                    }
                    Err(error) => tell(&self.name, attempt, &error),
                }
                let wait = backoff(attempt);
                attempt += 1;
                tokio::select! {
                    () = notices.closed() => return,
                    () = sleep(wait) => {}
                }
            }
        })
    }

    fn reset(&self) {
        self.reset.notify_one();
    }

    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.run(async move {
            let script = cmd("EVAL").arg(mailbox::FLUSH).arg(0).arg(format!("{}*", super::escape(prefix))).to_owned();
            let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::AllSucceeded)));
            let answer = self.shared().await?.route_command(script, all).await;
            self.judge(answer).map(drop)
        }))
    }
}
