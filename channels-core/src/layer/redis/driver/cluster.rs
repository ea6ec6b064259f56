//! The driver of a Redis Cluster: the `redis` crate knows the slots, and follows those that move.

use std::{error::Error as _, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{
    Cmd, ErrorKind, FromRedisValue, ProtocolVersion, PushInfo, PushKind, RedisError, ServerErrorKind, TlsCertificates,
    aio::ConnectionLike,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo},
    cmd,
};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, watch},
    time::sleep,
};

use super::{
    Driver, DriverError, DriverFuture, Notice, Popped, Push, RollChange, RollState,
    calls::{Calls, Dial, Eras, error, popped, read, take},
    link::{NotConnected, push},
    roll,
    wanted::Wanted,
};
use crate::layer::redis::{host::Host, mailbox, retries::Retries};

/// How often a command is sent again for a slot that has moved.
const REDIRECTS: u32 = 4;

/// How many subscriptions are asked for at once. Each is a command of its own: those of one command have to be in one slot.
const AT_ONCE: usize = 256;

/// A cluster, as one broker.
///
/// Nothing here needs two keys at once, so that nothing needs them in one slot but what a group's braces keep there. Messages go
/// through sharded publish and subscribe (Redis 7): an ordinary `PUBLISH` goes to every node of a cluster.
pub(in crate::layer::redis) struct Cluster {
    name: String,
    /// For what may be done twice without harm: when a connection is lost on the way, it is.
    calls: Calls<Nodes>,
    /// For messages, which are sent at most once.
    once: Calls<Nodes>,
    wanted: Wanted,
    /// The connection for subscriptions, while there is one.
    sink: AsyncMutex<Option<ClusterConnection>>,
    connected: watch::Sender<bool>,
}

/// The nodes that were named; the others they know.
#[derive(Clone)]
struct Nodes {
    urls: Vec<String>,
    certificates: Option<TlsCertificates>,
    timeout: Duration,
    /// How often a command is sent again.
    retries: u32,
}

impl Nodes {
    fn client(&self, patience: Duration) -> ClusterClientBuilder {
        let builder = ClusterClient::builder(self.urls.iter().map(String::as_str));
        let builder = match &self.certificates {
            Some(certificates) => builder.certs(certificates.clone()),
            None => builder,
        };
        builder
            .connection_timeout(self.timeout)
            .response_timeout(patience)
            .retries(self.retries)
            .min_retry_wait(10)
            .max_retry_wait(200)
    }
}

impl Dial for Nodes {
    type Connection = ClusterConnection;

    async fn dial(&self, patience: Duration, eras: &Eras) -> Result<(u64, ClusterConnection), DriverError> {
        let era = eras.present();
        let client = self.client(patience).build().map_err(error)?;
        Ok((era, client.get_async_connection().await.map_err(error)?))
    }
}

impl Cluster {
    pub(in crate::layer::redis) fn new(host: &Host, urls: Vec<String>, timeout: Duration) -> Result<Self, RedisError> {
        let nodes = Nodes { urls, certificates: host.certificates(), timeout, retries: REDIRECTS };
        nodes.client(timeout).build()?;
        Ok(Self {
            name: host.to_string(),
            once: Calls::new(Nodes { retries: 0, ..nodes.clone() }, timeout),
            calls: Calls::new(nodes, timeout),
            wanted: Wanted::default(),
            sink: AsyncMutex::default(),
            connected: watch::Sender::new(false),
        })
    }

    /// Asks for what must not be done twice: it is sent again only to the node that a slot has moved to, since the one that says
    /// so has done nothing.
    async fn ask_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DriverError> {
        let asked = self.once.run(async {
            let mut connection = self.once.shared().await?;
            for redirect in 0.. {
                let answer = connection.req_packed_command(command).await;
                match answer.as_ref().map_err(RedisError::kind) {
                    // By now the connection asks for the slots anew.
                    Err(ErrorKind::Server(ServerErrorKind::Moved)) if redirect < REDIRECTS => {
                        sleep(Duration::from_millis(10 << redirect)).await;
                    }
                    // The slot is on its way: the other connection knows how to ask both nodes.
                    Err(ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain)) => break,
                    _ => return self.once.judge(answer),
                }
            }
            self.calls.ask(command).await
        });
        asked.await.inspect_err(|error| {
            if let DriverError::Lost(_) = error {
                self.forget_connections();
            }
        })
    }

    /// The next calls make others, which see who is a master now.
    fn forget_connections(&self) {
        self.calls.forget_connections();
        self.once.forget_connections();
    }

    /// Connects for subscriptions, and renews them all. Gives the era that this is in.
    async fn subscribe_all(&self) -> Result<(u64, mpsc::UnboundedReceiver<PushInfo>), DriverError> {
        let era = self.calls.eras.present();
        let (sender, pushes) = mpsc::unbounded_channel();
        let connection = self
            .calls
            .run(async {
                let nodes = self.calls.dial();
                let builder = nodes.client(nodes.timeout).use_protocol(ProtocolVersion::RESP3);
                let client = builder.push_sender(sender).build().map_err(error)?;
                client.get_async_connection().await.map_err(error)
            })
            .await?;
        // Under the lock, so that nobody's subscription falls between the list and the connection.
        let mut current = self.sink.lock().await;
        stream::iter(self.wanted.all())
            .map(|channel| {
                let mut connection = connection.clone();
                self.calls.run(async move { connection.ssubscribe(channel).await.map_err(error) })
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        *current = Some(connection);
        self.connected.send_replace(true);
        Ok((era, pushes))
    }

    /// Hands on what comes, until a connection to one of the nodes ends, a slot that is subscribed to moves away, or the
    /// connection is to be made anew. The `redis` crate's own queue has no bound, so it is emptied at once; the bound is that of
    /// `notices`.
    async fn forward(
        &self,
        era: u64,
        pushes: &mut mpsc::UnboundedReceiver<PushInfo>,
        notices: &mpsc::Sender<Notice>,
        overflow: &(dyn Fn() + Send + Sync),
    ) {
        let over = self.calls.eras.is_over(era);
        tokio::pin!(over);
        loop {
            let push = tokio::select! {
                push = pushes.recv() => push,
                () = &mut over => None,
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
}

impl Driver for Cluster {
    fn name(&self) -> &str {
        &self.name
    }

    fn push(&self, messages: Vec<Push>) -> DriverFuture<'_, Vec<Result<bool, DriverError>>> {
        Box::pin(async move {
            let mut taken = Vec::new();
            // One by one: their mailboxes are in different slots.
            for message in messages {
                match self.ask_once(&push(&[message])).await {
                    Err(lost @ DriverError::Lost(_)) => return Err(lost),
                    answer => taken.push(answer.map(|taken: Vec<bool>| taken == [true])),
                }
            }
            Ok(taken)
        })
    }

    fn pop<'a>(&'a self, key: &'a str, wait: Duration, most: usize) -> DriverFuture<'a, Vec<Popped>> {
        Box::pin(async move {
            match wait.is_zero() {
                true => Ok(popped(self.ask_once::<Vec<_>>(&take(key, most)).await?)),
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
            let asked = stream::iter(keys)
                .map(|key| async move { self.calls.ask(cmd("PTTL").arg(key)).await.map(roll::left) })
                .buffered(AT_ONCE);
            asked.try_collect().await
        })
    }

    fn change_roll(&self, change: RollChange) -> DriverFuture<'_, Option<u64>> {
        Box::pin(async move { self.calls.ask(&roll::change(&change, "SPUBLISH")).await.map(roll::changed) })
    }

    fn roll<'a>(&'a self, key: &'a str, known: u64, expiry: Duration) -> DriverFuture<'a, Option<RollState>> {
        Box::pin(self.calls.roll(key, known, expiry))
    }

    fn publish<'a>(&'a self, channel: &'a str, body: Vec<u8>) -> DriverFuture<'a, usize> {
        Box::pin(async move { self.ask_once(cmd("SPUBLISH").arg(channel).arg(body)).await })
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
            sink.ssubscribe(channel).await.map_err(error)?;
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
            sink.sunsubscribe(channel).await.map_err(error)
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
                    Ok((era, mut pushes)) => {
                        retries.succeeded();
                        if notices.send(Notice::Back).await.is_err() {
                            return;
                        }
                        self.forward(era, &mut pushes, &notices, &*overflow).await;
                        self.connected.send_replace(false);
                        self.forget_connections();
                        *self.sink.lock().await = None;
                        if notices.send(Notice::Lost).await.is_err() {
                            return;
                        }
                    }
                    Err(error @ DriverError::Refused(_)) if retries.is_new(&error) => {
                        tracing::warn!(
                            broker = self.name,
                            cause = error.source(),
                            "the cluster refuses subscriptions; it has to be Redis 7 or newer, or Valkey"
                        );
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
        self.once.eras.end();
    }

    fn flush<'a>(&'a self, prefix: &'a str) -> DriverFuture<'a, ()> {
        Box::pin(self.calls.run(async move {
            let script = cmd("EVAL").arg(mailbox::FLUSH).arg(0).arg(format!("{}*", super::escape(prefix))).to_owned();
            let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::AllSucceeded)));
            let answer = self.calls.shared().await?.route_command(script, all).await;
            self.calls.judge(answer)
        }))
    }
}
