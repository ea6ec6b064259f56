//! One person in one room.

use std::time::{SystemTime, UNIX_EPOCH};

use channels::{
    prelude::*,
    presence::{Change, Person, PresenceDiff},
};
use serde::{Deserialize, Serialize};

/// Characters that a name has at most.
const NAME_LIMIT: usize = 30;
/// Characters that a text has at most.
const TEXT_LIMIT: usize = 2_000;

/// What the page sends.
#[derive(Deserialize)]
pub(crate) struct Said {
    text: String,
}

/// What the page is told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tell<'a> {
    Welcome { text: &'a str, you: &'a Member, room: &'a str },
    People { people: Vec<Seen> },
    Presence { joins: Vec<Seen>, leaves: Vec<Seen> },
    Message { from: &'a Member, text: &'a str, at: u64 },
}

/// Who speaks: two windows of one person are two members.
#[derive(Clone, Serialize, Deserialize)]
struct Member {
    id: String,
    name: String,
}

/// What a window says of itself to the room.
#[derive(Serialize, Deserialize)]
struct Window {
    /// Milliseconds since 1970.
    since: u64,
}

/// A person, as the others see them: who has the same name is the same person.
#[derive(Serialize)]
struct Seen {
    name: String,
    windows: usize,
    since: u64,
}

/// Somebody said something.
#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    from: Member,
    text: String,
    /// Milliseconds since 1970.
    at: u64,
}

#[derive(Default)]
pub(crate) struct ChatConsumer {
    here: Option<Here>,
}

/// Where one is, once one is there.
struct Here {
    group: String,
    me: Member,
}

#[consumer]
impl Consumer for ChatConsumer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let room = cx.scope().kwarg("group")?.to_owned();
        let group = format!("chat_{room}");
        let name: String = cx.scope().query("name").unwrap_or_default().trim().chars().take(NAME_LIMIT).collect();
        let name = if name.is_empty() { "somebody".to_owned() } else { name };
        let id = cx.channel_name().rsplit('!').next().unwrap_or_default().to_owned();

        cx.presence(&group).join(&name, Window { since: now()? }).await?;
        cx.accept()?;
        let me = Member { id, name };
        cx.send_json(&Tell::Welcome { text: "来了呀年轻人!", you: &me, room: &room })?;
        // Whoever comes or goes from here on is told by `presence_diff`, in this process or another.
        let people = cx.presence(&group).list::<Window>().await?;
        cx.send_json(&Tell::People { people: people.iter().map(Seen::from).collect() })?;
        self.here = Some(Here { group, me });
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Json(said): Json<Said>) -> Result<()> {
        let Some(here) = &self.here else { return Ok(()) };
        if said.text.chars().count() > TEXT_LIMIT {
            cx.close(CloseCode::MESSAGE_TOO_BIG, format!("a text has {TEXT_LIMIT} characters at most"));
            return Ok(());
        }
        let message = ChatMessage { from: here.me.clone(), text: said.text, at: now()? };
        cx.group_send(&here.group, message).await?;
        Ok(())
    }

    // What follows is the same for every member: without `self`, it is made once for all of them.

    #[handler]
    fn chat_message(event: &ChatMessage) -> Result<Message> {
        Ok(Message::json(&Tell::Message { from: &event.from, text: &event.text, at: event.at })?)
    }

    #[handler]
    fn presence_diff(diff: &PresenceDiff<Window>) -> Result<Message> {
        let seen = |changes: &[Change<Window>]| changes.iter().map(Seen::from).collect();
        Ok(Message::json(&Tell::Presence { joins: seen(&diff.joins), leaves: seen(&diff.leaves) })?)
    }
}

impl From<&Person<Window>> for Seen {
    fn from(person: &Person<Window>) -> Self {
        let since = person.entries.iter().map(|entry| entry.meta.since).min().unwrap_or_default();
        Self { name: person.who.clone(), windows: person.entries.len(), since }
    }
}

impl From<&Change<Window>> for Seen {
    fn from(change: &Change<Window>) -> Self {
        Self { name: change.who.clone(), windows: change.entries, since: change.meta.since }
    }
}

/// Milliseconds since 1970.
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().try_into()?)
}
