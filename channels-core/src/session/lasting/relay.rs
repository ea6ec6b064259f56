//! Requests for sessions of other processes, over the channel layer that these share.

use std::{future::Future, rc::Weak, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Given, Home, Reply,
    ask::{Ask, Asked, Replied},
};
use crate::{ChannelName, Close, CloseCode, EventError, Layer, LayerError, SendError, transport::batch::End};

/// How long another process may take to answer, besides what it is asked to wait. It is asked twice, and a client that opens
/// must hear in less than its own 5 s that its session is gone.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long it is asked to wait at once: so an answer that is lost is soon asked for again.
const SLICE: Duration = Duration::from_secs(10);
/// How soon a full channel is tried again, at most.
const PAUSE: u64 = 20;

/// Answers what other processes ask of this thread's sessions.
pub(super) async fn listen(home: Weak<Home>, layer: Layer, channel: ChannelName) {
    loop {
        let event = match layer.receive(&channel).await {
            Ok(event) => event,
            Err(error) => return tracing::error!(%channel, %error, "requests of other processes cannot be read"),
        };
        let Some(home) = home.upgrade() else { return };
        let (reply_to, ask) = match event.decode::<Asked>() {
            Ok(Asked { reply_to, ask }) => (reply_to.clone(), ask.clone()),
            Err(error) => {
                tracing::warn!(%error, "a request of another process cannot be read");
                continue;
            }
        };
        let layer = layer.clone();
        actix_rt::spawn(async move {
            let key = ask.as_ref().map(|ask| ask.key);
            let mut reply = match ask {
                Some(ask) => home.answer(ask).await,
                None => Reply::Done,
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

/// Asks the process that has this channel, and once more if nothing comes back: the numbers see to it that nothing is
/// done twice.
pub(super) async fn ask(layer: &Layer, home: &ChannelName, ask: Option<Ask>, wait: Duration) -> Reply {
    for _ in 0..2 {
        if let Some(reply) = ask_once(layer, home, &ask, wait).await {
            return reply;
        }
    }
    // The process is not there any more, or what it says is lost.
    if layer.is_ready() { Reply::Gone } else { Reply::Unreachable }
}

/// `None` when there is no answer in time.
async fn ask_once(layer: &Layer, home: &ChannelName, ask: &Option<Ask>, wait: Duration) -> Option<Reply> {
    let Ok(reply_to) = layer.new_channel().await else { return Some(Reply::Unreachable) };
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = layer.send(home, Asked { reply_to: Some(reply_to.to_string()), ask: ask.clone() }).await {
        if let Some(limit) = most(&error) {
            return Some(Reply::TooLong(limit));
        }
        if !matches!(error, SendError::ChannelFull { .. }) || Instant::now() >= deadline {
            tracing::warn!(%error, "a session of another process could not be asked");
            return Some(Reply::Unreachable);
        }
        sleep(Duration::from_millis(fastrand::u64(1..=PAUSE))).await;
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
    if let Err(error) = layer.send(home, Asked { reply_to: None, ask: Some(ask) }).await {
        tracing::debug!(%error, "a session of another process could not be told");
    }
}

/// Takes in slices.
pub(super) async fn take<R>(wait: Duration, begins: bool, ask: impl Fn(bool, Duration) -> R) -> Reply
where
    R: Future<Output = Reply>,
{
    let deadline = Instant::now() + wait;
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
