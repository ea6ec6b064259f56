//! From a request to the session that it is for, wherever that lives.

use std::{rc::Rc, time::Duration};

use tokio::sync::oneshot;

use super::{
    Home, Reply, SessionId,
    ask::{Ask, Asker, Wish},
    relay,
};
use crate::{
    Layer,
    transport::batch::{End, Said},
};

/// How long a push waits for room.
const ROOM: Duration = Duration::from_secs(5);

/// A carrier's way to its session.
#[derive(Clone)]
pub(crate) struct Link {
    home: Rc<Home>,
    layer: Layer,
    id: SessionId,
    asker: Asker,
    /// Tells this carrier from the others that the session had.
    carrier: u64,
}

impl Link {
    pub(crate) fn new(home: Rc<Home>, layer: Layer, id: SessionId, asker: Asker) -> Self {
        // 0 is nobody.
        Self { home, layer, id, asker, carrier: fastrand::u64(1..) }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// The messages behind `after`: at once if there are some, else when there are, or none after `wait`. The first take
    /// of a carrier `begins` it: any other carrier is over then.
    pub(crate) async fn take(&self, begins: bool, after: u64, ack: u64, wait: Duration) -> Reply {
        let take = |begins, wait| Wish::Take { begins, after, ack, wait };
        let Some(gone) = self.far() else { return self.ask(take(begins, wait), wait).await };
        let leave = Leave { link: self, armed: true };
        let taken = relay::take(wait, begins, |begins, wait| self.ask(take(begins, wait), wait));
        let reply = tokio::select! {
            reply = taken => reply,
            () = gone.cancelled() => return Reply::Stopping,
        };
        leave.disarm();
        reply
    }

    /// Messages for the consumer: as many as it takes, and where it takes none now, after a while none.
    pub(crate) async fn push(&self, from: u64, messages: Vec<Said>, ack: u64) -> Reply {
        let wait = if messages.is_empty() { Duration::ZERO } else { ROOM };
        self.ask(Wish::Push { from, messages, ack, wait }, wait).await
    }

    pub(crate) async fn close(&self, end: End) -> Reply {
        self.ask(Wish::Close(end), Duration::ZERO).await
    }

    /// The same, said by what carries the session.
    pub(crate) async fn close_carrier(&self, end: End) -> Reply {
        self.ask(Wish::CloseCarrier(end), Duration::ZERO).await
    }

    pub(crate) async fn fail(&self, end: End) -> Reply {
        self.ask(Wish::Fail(end), Duration::ZERO).await
    }

    /// What tells of this server's stop, if the session is another one's.
    fn far(&self) -> Option<&tokio_util::sync::CancellationToken> {
        let homes = self.home.homes();
        let is_near = self.home.is_at(&self.id.home) || homes.door(&self.id.home).is_some();
        (!is_near).then(|| homes.stopping())
    }

    async fn ask(&self, wish: Wish, wait: Duration) -> Reply {
        let SessionId { home, key, secret } = &self.id;
        let ask = Ask { key: *key, secret: secret.clone(), asker: self.asker.clone(), carrier: self.carrier, wish };
        if self.home.is_at(home) {
            return self.home.answer(ask).await;
        }
        if let Some(door) = self.home.homes().door(home) {
            let (answer, answered) = oneshot::channel();
            // A thread that has ended has taken its sessions with it.
            return match door.send((ask, answer)).await {
                Ok(()) => answered.await.unwrap_or(Reply::Gone),
                Err(_) => Reply::Gone,
            };
        }
        if !self.layer.get_ref().is_shared() {
            return Reply::Gone;
        }
        let Some(_relaying) = self.home.relaying() else { return Reply::Unreachable };
        // By itself: what is asked of a session that is near has no room for it.
        Box::pin(relay::ask(&self.layer, self.home.homes().peers(), &self.id, ask, wait)).await
    }
}

/// Tells a session of another process that its carrier has gone, which it cannot see.
struct Leave<'a> {
    link: &'a Link,
    armed: bool,
}

impl Leave<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.armed && self.link.home.homes().peers().know(&self.link.id) {
            let Link { layer, id, asker, carrier, .. } = self.link.clone();
            let ask = Ask { key: id.key, secret: id.secret, asker, carrier, wish: Wish::Leave };
            actix_rt::spawn(async move { relay::tell(&layer, &id.home, ask).await });
        }
    }
}
