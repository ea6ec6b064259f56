//! A connection that does what its client's texts say, and tells what it does.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::DEADLINE;
use crate::{
    Consumer, Context, Dispatch, Envelope, Error, Event, Layer, RawEvent, Result, Text,
    presence::{Change, Person, PresenceDiff},
    testing::WebsocketCommunicator,
};

#[derive(Clone)]
struct Member {
    gate: Arc<Semaphore>,
}

impl Consumer for Member {
    type Input = Text;

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        match text.split_once(' ') {
            Some(("join", group)) => cx.group_add(group).await?,
            Some(("leave", group)) => cx.group_discard(group).await?,
            Some(("present", what)) => {
                let (who, meta) = what.split_once(' ').unwrap_or((what, ""));
                if let Err(error) = cx.presence(GROUP).join(who, meta).await {
                    cx.send(error.to_string())?;
                }
            }
            Some(("update", meta)) => {
                if let Err(error) = cx.presence(GROUP).update(meta).await {
                    cx.send(error.to_string())?;
                }
            }
            None if text == "absent" => cx.presence(GROUP).leave().await?,
            None if text == "people" => {
                let here = people(&cx.presence(GROUP).list().await?);
                cx.send(here)?;
            }
            None if text == "panic" => panic!("on purpose"),
            None if text == "fail" => return Err(Error::msg("as it was asked to")),
            _ => {
                cx.send("waits")?;
                self.gate.acquire().await?.forget();
            }
        }
        cx.send(format!("did {text}"))?;
        Ok(())
    }

    async fn dispatch(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch> {
        if event.is(PresenceDiff::<String>::NAME) {
            cx.send(told(event.decode()?))?;
            return Ok(Dispatch::Handled);
        }
        if !event.is("numbered") {
            return Ok(Dispatch::Unhandled);
        }
        cx.send(event.decode::<RawEvent>()?["n"].to_string())?;
        Ok(Dispatch::Handled)
    }
}

/// Where members are present.
pub(super) const GROUP: &str = "room";

/// Who is here, in short: `ada[phone,tablet] bob[phone]`.
pub(super) fn people(people: &[Person<String>]) -> String {
    let short = |person: &Person<String>| {
        let mut metas: Vec<_> = person.entries.iter().map(|entry| entry.meta.as_str()).collect();
        metas.sort_unstable();
        format!("{}[{}]", person.who, metas.join(","))
    };
    people.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// Who came and went, in short: `+ada[phone]1` for a join after which Ada has one entry.
fn told(diff: &PresenceDiff<String>) -> String {
    let short =
        |sign: char| move |change: &Change<String>| format!("{sign}{}[{}]{}", change.who, change.meta, change.entries);
    let joins = diff.joins.iter().map(short('+'));
    let updates = diff.updates.iter().map(short('~'));
    joins.chain(updates).chain(diff.leaves.iter().map(short('-'))).collect::<Vec<_>>().join(" ")
}

/// The client of such a connection.
pub(super) struct Client {
    pub(super) channel: String,
    gate: Arc<Semaphore>,
    pub(super) socket: WebsocketCommunicator,
}

impl Client {
    pub(super) async fn new(layer: &Layer) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let member = Member { gate: gate.clone() };
        let mut socket =
            WebsocketCommunicator::new(move || member.clone(), "/").layers(layer.clone()).timeout(DEADLINE);
        assert!(socket.connect().await.expect("it is answered").accepted);
        let channel = socket.receive_text_from().await.expect("it tells its channel");
        Self { channel, gate, socket }
    }

    pub(super) async fn told(&mut self) -> String {
        self.socket.receive_text_from().await.expect("it tells something")
    }

    /// Has it do something to the end.
    pub(super) async fn does(&mut self, what: &str) {
        self.socket.send_to(what).await.expect("it is connected");
        assert_eq!(self.told().await, format!("did {what}"));
    }

    /// Who is here, as it sees it.
    pub(super) async fn people(&mut self) -> String {
        self.socket.send_to("people").await.expect("it is connected");
        let people = self.told().await;
        assert_eq!(self.told().await, "did people");
        people
    }

    /// Keeps it busy until it is [let go](Self::let_go).
    pub(super) async fn hold(&mut self) {
        self.socket.send_to("wait").await.expect("it is connected");
        assert_eq!(self.told().await, "waits");
    }

    pub(super) async fn let_go(&mut self) {
        self.gate.add_permits(1);
        assert_eq!(self.told().await, "did wait");
    }
}
