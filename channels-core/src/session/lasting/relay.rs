//! Requests for sessions of other processes, over the channel layer that these share.

use std::{future::Future, rc::Weak, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Given, Home, Reply, SessionId,
    ask::{Ask, Asked, Question, Replied},
    peers::Peers,
};
use crate::{
    ChannelName, Close, CloseCode, EventError, Layer, LayerError, SendError, after::after, transport::batch::End,
};

/// How long another process may take to answer, besides what it is asked to wait. It is asked twice, and a client that opens
/// must hear in less than its own 5 s that its session is gone.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long it is asked to wait at once: so an answer that is lost is soon asked for again.
const SLICE: Duration = Duration::from_secs(10);
/// How soon a full channel is tried again, at most, in milliseconds; each time it takes twice as long.
const PAUSE: u64 = 20;

/// Answers what other processes ask of this thread's sessions.
pub(super) async fn listen(home: Weak<Home>, layer: Layer, channel: ChannelName) {
    loop {
        let event = match layer.receive(&channel).await {
            Ok(event) => event,
            Err(error) => return tracing::error!(%channel, %error, "requests of other processes cannot be read"),
        };
        let Some(home) = home.upgrade() else { return };
        let (reply_to, question) = match event.decode::<Asked>() {
            Ok(Asked { reply_to, question }) => (reply_to.clone(), question.clone()),
            Err(error) => {
                tracing::warn!(%error, "a request of another process cannot be read");
                continue;
            }
        };
        let layer = layer.clone();
        actix_rt::spawn(async move {
            let (key, mut reply) = match question {
                Question::Home => (None, Reply::Done),
                Question::Session { key, secret } if home.has(key, &secret) => (Some(key), Reply::Done),
                Question::Session { key, .. } => (Some(key), Reply::Gone),
                Question::Wish(ask) => (Some(ask.key), home.answer(ask).await),
            };
            let Some(reply_to) = reply_to else { return };
            while let Err(error) = layer.send(&reply_to, Replied { reply: reply.clone() }).await {
                let Some(limit) = most(&error) else {
                    return tracing::warn!(%error, "an answer to another process could not be sent");
                };
                reply = match reply {
                    Reply::Given(given) if given.messages.len() > 1 => Reply::Given(given.first_half()),
                    Reply::Given(Given { from, messages, taken, subprotocol, .. }) if !messages.is_empty() => {
                        tracing::warn!(%error, "a message is too long for the process that carries its session");
                        let close =
                            Close::new(CloseCode::MESSAGE_TOO_BIG, format!("the message is over {limit} bytes"));
                        let end = Some(End::from(&close));
                        if let Some(key) = key {
                            home.end(key, close);
                        }
                        Reply::Given(Given { from, messages: Vec::new(), close: end, taken, subprotocol })
                    }
                    _ => return tracing::warn!(%error, "an answer to another process could not be sent"),
                };
            }
        });
    }
}

/// How many bytes the layer carries between processes, if that is why it did not.
fn most(error: &SendError) -> Option<usize> {
    match error {
        SendError::Event(EventError::TooLarge { limit, .. })
        | SendError::Layer(LayerError::Event(EventError::TooLarge { limit, .. })) => Some(*limit),
        _ => None,
    }
}

/// Asks the process that has this session, and once more if nothing comes back: the numbers see to it that nothing is done
/// twice. A client may have made the id up, so what it sends goes there only when that process has said that it is known.
pub(super) async fn ask(layer: &Layer, peers: &Peers, id: &SessionId, ask: Ask, wait: Duration) -> Reply {
    let SessionId { home, key, secret } = id;
    let wish = Question::Wish(ask);
    for _ in 0..2 {
        if !peers.know(id) {
            let Ok(_leave) = peers.leave_to_ask(home) else { return Reply::Unreachable };
            let question = Question::Session { key: *key, secret: secret.clone() };
            match ask_once(layer, home, &question, Duration::ZERO).await {
                Some(Reply::Done) => peers.remember(id),
                Some(reply) => return reply,
                None => {
                    peers.lose(home);
                    continue;
                }
            }
        }
        let watch = peers.watch(layer, home);
        let reply = tokio::select! {
            reply = ask_once(layer, home, &wish, wait) => reply,
            () = watch.gone() => {
                peers.lose(home);
                return Reply::Gone;
            }
        };
        match reply {
            Some(reply) => {
                if let Reply::Gone = reply {
                    peers.forget(id);
                }
                return reply;
            }
            None => peers.lose(home),
        }
    }
    // The process is not there any more, or what it says is lost.
    if layer.is_ready() { Reply::Gone } else { Reply::Unreachable }
}

/// Whether a process that was there does not answer, though the broker is there.
pub(super) async fn is_gone(layer: &Layer, home: &ChannelName, grace: Duration) -> bool {
    for _ in 0..2 {
        if ask_once(layer, home, &Question::Home, grace).await.is_some() {
            return false;
        }
    }
    layer.is_ready()
}

/// `None` when there is no answer in time.
async fn ask_once(layer: &Layer, home: &ChannelName, question: &Question, wait: Duration) -> Option<Reply> {
    let Ok(reply_to) = layer.new_channel().await else { return Some(Reply::Unreachable) };
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    let asked = || Asked { reply_to: Some(reply_to.to_string()), question: question.clone() };
    while let Err(error) = layer.send(home, asked()).await {
        if let Some(limit) = most(&error) {
            return Some(Reply::TooLong(limit));
        }
        if !matches!(error, SendError::ChannelFull { .. }) || Instant::now() >= deadline {
            tracing::warn!(%error, "a session of another process could not be asked");
            return Some(Reply::Unreachable);
        }
        sleep(Duration::from_millis(fastrand::u64(1..=pause))).await;
        pause *= 2;
    }
    let answered = timeout(wait + PATIENCE, layer.receive(&reply_to)).await.ok()?;
    Some(match answered.as_ref().map(|event| event.decode::<Replied>()) {
        Ok(Ok(Replied { reply })) => reply.clone(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "an answer of another process cannot be read");
            Reply::Unreachable
        }
        Err(_) => Reply::Unreachable,
    })
}

/// Tells the process that has this channel something that it does not answer.
pub(super) async fn tell(layer: &Layer, home: &ChannelName, ask: Ask) {
    if let Err(error) = layer.send(home, Asked { reply_to: None, question: Question::Wish(ask) }).await {
        tracing::debug!(%error, "a session of another process could not be told");
    }
}

/// Takes in slices.
pub(super) async fn take<R>(wait: Duration, begins: bool, ask: impl Fn(bool, Duration) -> R) -> Reply
where
    R: Future<Output = Reply>,
{
    let deadline = after(Instant::now(), wait);
    let mut begins = begins;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask(begins, left.min(SLICE)).await {
            Reply::Given(given) if given.messages.is_empty() && given.close.is_none() && left > SLICE => {
                begins = false;
            }
            reply => return reply,
        }
    }
}
