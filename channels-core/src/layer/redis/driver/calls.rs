//! What is asked of a broker, and the connections that carry it.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value, aio::ConnectionLike, cmd,
    from_redis_value, pipe,
};
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::timeout,
};

use super::{DriverError, Popped, RollState, roll};
use crate::layer::redis::mailbox;

/// Connections for blocking commands that are kept when nobody waits.
const SPARE: usize = 8;

/// The answer to a blocking command has a deadline of its own, which is sooner.
const PATIENT: Duration = Duration::from_secs(3_600);

/// Makes connections to a broker.
pub(super) trait Dial: Send + Sync {
    type Connection: ConnectionLike + Clone + Send;

    /// A connection that waits so long for an answer, and the era that it is of.
    fn dial(
        &self,
        patience: Duration,
        eras: &Eras,
    ) -> impl Future<Output = Result<(u64, Self::Connection), DriverError>> + Send;
}

/// The times between which all connections to a broker are made anew: when another node is the master, or when what is sent
/// does not come back.
#[derive(Default)]
pub(super) struct Eras(watch::Sender<Era>);

#[derive(Default)]
struct Era {
    number: u64,
    /// Where the master is.
    address: Option<String>,
}

impl Eras {
    /// The present one.
    pub(super) fn present(&self) -> u64 {
        self.0.borrow().number
    }

    /// The master is at this address; if it was at another one, an era ends. The present one.
    pub(super) fn of_master_at(&self, address: String) -> u64 {
        let mut present = 0;
        self.0.send_if_modified(|era| {
            let before = era.address.replace(address);
            let has_moved = before.is_some() && before != era.address;
            era.number += u64::from(has_moved);
            present = era.number;
            has_moved
        });
        present
    }

    pub(super) fn end(&self) {
        self.0.send_modify(|era| era.number += 1);
    }

    /// Waits for the end of an era.
    pub(super) async fn is_over(&self, number: u64) {
        // The sender is `self`.
        let _ = self.0.subscribe().wait_for(|era| era.number != number).await;
    }
}

/// Asks a broker.
pub(super) struct Calls<D: Dial> {
    dial: D,
    pub(super) eras: Eras,
    timeout: Duration,
    /// For commands: everybody's at once.
    shared: AsyncMutex<Option<(u64, D::Connection)>>,
    /// For commands that block: one caller's at a time.
    spare: Mutex<Vec<(u64, D::Connection)>>,
}

impl<D: Dial> Calls<D> {
    pub(super) fn new(dial: D, timeout: Duration) -> Self {
        Self { dial, eras: Eras::default(), timeout, shared: AsyncMutex::default(), spare: Mutex::default() }
    }

    pub(super) fn dial(&self) -> &D {
        &self.dial
    }

    /// Asks for one answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, DriverError> {
        self.run(async {
            let answer = self.shared().await?.req_packed_command(command).await;
            self.judge(answer)
        })
        .await
    }

    /// Asks for several, in one round trip.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, DriverError> {
        self.run(async {
            let answers = self.shared().await?.req_packed_commands(commands, 0, commands.len()).await;
            self.judge(answers.map(Value::Array))
        })
        .await
    }

    /// Asks for one answer that is a list, of which each may be a refusal.
    pub(super) async fn ask_each<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<Vec<Result<T, DriverError>>, DriverError> {
        self.run(async {
            match self.shared().await?.req_packed_command(command).await {
                Ok(Value::Array(answers)) => Ok(answers.into_iter().map(|answer| self.judge(Ok(answer))).collect()),
                answer => self.judge::<()>(answer).map(|()| Vec::new()),
            }
        })
        .await
    }

    /// Adds members to a set, as of now.
    pub(super) async fn join(
        &self,
        key: &str,
        members: Vec<String>,
        now: f64,
        expiry: Duration,
    ) -> Result<(), DriverError> {
        let mut commands = pipe();
        let add = commands.cmd("ZADD").arg(key);
        for member in members {
            add.arg(now).arg(member);
        }
        commands.cmd("EXPIRE").arg(key).arg(mailbox::seconds(expiry));
        self.ask_all(&commands).await.map(drop)
    }

    pub(super) async fn leave(&self, key: &str, members: Vec<String>) -> Result<(), DriverError> {
        self.ask(cmd("ZREM").arg(key).arg(members)).await
    }

    /// Takes those out of a set that joined before `oldest`: how many they were, and the others.
    pub(super) async fn members(&self, key: &str, oldest: f64) -> Result<(usize, Vec<String>), DriverError> {
        let mut commands = pipe();
        commands.cmd("ZREMRANGEBYSCORE").arg(key).arg(0).arg(oldest);
        commands.cmd("ZRANGE").arg(key).arg(0).arg(-1);
        let mut answers = self.ask_all(&commands).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        Ok((read(next())?, read(next())?))
    }

    pub(super) async fn lease(&self, key: &str, time: Duration) -> Result<(), DriverError> {
        self.ask(cmd("SET").arg(key).arg(1).arg("PX").arg(time.as_millis() as u64)).await
    }

    pub(super) async fn roll(&self, key: &str, known: u64, expiry: Duration) -> Result<Option<RollState>, DriverError> {
        roll::state(self.ask(&roll::read(key, known, expiry)).await?)
    }

    /// All that a call does has one deadline: to connect, to wait for one who connects, to ask. A connection that was not
    /// in time may be one that carries nothing any more.
    pub(super) async fn run<T>(&self, call: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        self.within(self.timeout, call).await
    }

    async fn within<T>(
        &self,
        time: Duration,
        call: impl Future<Output = Result<T, DriverError>>,
    ) -> Result<T, DriverError> {
        timeout(time, call).await.unwrap_or_else(|late| {
            self.forget_connections();
            Err(DriverError::Lost(Arc::new(late)))
        })
    }

    pub(super) async fn shared(&self) -> Result<D::Connection, DriverError> {
        let mut shared = self.shared.lock().await;
        if let Some((era, connection)) = &*shared
            && *era == self.eras.present()
        {
            return Ok(connection.clone());
        }
        let (_, connection) = shared.insert(self.dial.dial(self.timeout, &self.eras).await?);
        Ok(connection.clone())
    }

    /// What the broker answered, or refused. After a failure of the connection the next call makes another one.
    pub(super) fn judge<T: FromRedisValue>(&self, answer: RedisResult<Value>) -> Result<T, DriverError> {
        let answer = answer.and_then(Value::extract_error).map_err(error).and_then(read);
        if matches!(answer, Err(DriverError::Lost(_))) {
            self.forget_connections();
        }
        answer
    }

    /// When one connection is lost the others most likely are: they are made anew, before anybody's call finds out.
    pub(super) fn forget_connections(&self) {
        // Who holds it is making another one.
        if let Ok(mut shared) = self.shared.try_lock() {
            *shared = None;
        }
        self.spare().clear();
    }

    /// Waits for the oldest message of a mailbox, and takes others with it, at most `most`. The era's end ends that too: a
    /// connection may wait in peace at a node that is the master no more.
    pub(super) async fn pop_blocking(
        &self,
        key: &str,
        wait: Duration,
        most: usize,
    ) -> Result<Vec<Popped>, DriverError> {
        let spare = self.spare().pop();
        let (era, mut connection) = match spare {
            Some(spare) => spare,
            None => self.run(self.dial.dial(PATIENT, &self.eras)).await?,
        };
        // Redis 5 takes whole seconds only.
        let first = cmd("BZPOPMIN").arg(key).arg(mailbox::seconds(wait)).to_owned();
        // In one round trip: what came first is not given up because the rest cannot be had.
        let mut both = pipe();
        both.add_command(first.clone()).add_command(take(key, most - 1));
        let asked = self.within(wait + self.timeout, async {
            let answers = match most {
                1 => connection.req_packed_command(&first).await.map(|first| vec![first]),
                _ => connection.req_packed_commands(&both, 0, both.len()).await,
            };
            self.judge(answers.map(Value::Array))
        });
        let answers: Vec<Value> = tokio::select! {
            answers = asked => answers?,
            () = self.eras.is_over(era) => return Err(DriverError::Lost(Arc::new(MadeAnew))),
        };
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let first: Option<(String, Vec<u8>, f64)> = read(next())?;
        let rest: Option<Vec<(Vec<u8>, f64)>> = read(next())?;
        let first = first.map(|(_, body, sent)| (body, sent));
        let all = popped(first.into_iter().chain(rest.unwrap_or_default()));
        let mut spare = self.spare();
        if spare.len() < SPARE && era == self.eras.present() {
            spare.push((era, connection));
        }
        Ok(all)
    }

    /// Those of this era.
    fn spare(&self) -> MutexGuard<'_, Vec<(u64, D::Connection)>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.eras.present();
        spare.retain(|(era, _)| *era == present);
        spare
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is made anew")]
struct MadeAnew;

/// Takes the oldest out of a mailbox, without waiting for one.
pub(super) fn take(key: &str, most: usize) -> Cmd {
    cmd("ZPOPMIN").arg(key).arg(most).to_owned()
}

pub(super) fn popped(all: impl IntoIterator<Item = (Vec<u8>, f64)>) -> Vec<Popped> {
    all.into_iter().map(|(body, sent)| Popped { body, sent }).collect()
}

pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, DriverError> {
    from_redis_value(value).map_err(|why| error(RedisError::from(why)))
}

pub(super) fn error(error: RedisError) -> DriverError {
    let is_refusal = error.kind() == ErrorKind::AuthenticationFailed;
    let is_lost =
        error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || error.is_unrecoverable_error();
    let is_away = error.code().is_some_and(|code| AWAY.contains(&code));
    if (is_lost || is_away) && !is_refusal {
        DriverError::Lost(Arc::new(error))
    } else {
        DriverError::Refused(Arc::new(error))
    }
}

/// What a broker says that is as good as away: it was a master and is a replica now, which ends commands that wait there, or it is
/// still loading; so is the part of a cluster whose master is lost, until another node takes its place.
const AWAY: [&str; 7] = ["READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "TRYAGAIN"];
