//! One person in one room.

use std::time::{SystemTime, UNIX_EPOCH};

use channels::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rooms::{Member, Rooms};

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
    Members { members: &'a [Member] },
    Joined { member: &'a Member },
    Here { member: &'a Member },
    Left { member: &'a Member },
    Message { from: &'a Member, text: &'a str, at: u64 },
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

/// Somebody came.
#[derive(Serialize, Deserialize, Event)]
#[event("chat.joined")]
struct Joined {
    member: Member,
}

/// Somebody who came wants to know who is there, in other processes too.
#[derive(Serialize, Deserialize, Event)]
#[event("chat.who")]
struct Who {
    reply_to: String,
}

/// The answer to it.
#[derive(Serialize, Deserialize, Event)]
#[event("chat.here")]
struct IsHere {
    member: Member,
}

/// Somebody left.
#[derive(Serialize, Deserialize, Event)]
#[event("chat.left")]
struct Left {
    member: Member,
}

pub(crate) struct ChatConsumer {
    rooms: Rooms,
    here: Option<Here>,
}

/// Where one is, once one is there.
struct Here {
    room: String,
    group: String,
    me: Member,
}

impl ChatConsumer {
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self { rooms, here: None }
    }
}

#[consumer]
impl Consumer for ChatConsumer {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let room = cx.scope().kwarg("group")?.to_owned();
        let group = format!("chat_{room}");
        let name: String = cx.scope().query("name").unwrap_or_default().trim().chars().take(NAME_LIMIT).collect();
        let name = if name.is_empty() { "somebody".to_owned() } else { name };
        let id = cx.channel_name().rsplit('!').next().unwrap_or_default().to_owned();
        let me = Member { id, name };

        cx.group_add(&group).await?;
        cx.accept()?;
        cx.send_json(&Tell::Welcome { text: "来了呀年轻人!", you: &me, room: &room })?;
        let members = self.rooms.enter(&room, me.clone());
        cx.send_json(&Tell::Members { members: &members })?;
        self.here = Some(Here { room, group: group.clone(), me: me.clone() });
        cx.group_send(&group, Who { reply_to: cx.channel_name().to_string() }).await?;
        cx.group_send(group, Joined { member: me }).await?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Json(said): Json<Said>) -> Result<()> {
        let Some(here) = &self.here else { return Ok(()) };
        if said.text.chars().count() > TEXT_LIMIT {
            cx.close(CloseCode::MESSAGE_TOO_BIG, format!("a text has {TEXT_LIMIT} characters at most"));
            return Ok(());
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let message = ChatMessage { from: here.me.clone(), text: said.text, at: at.try_into()? };
        cx.group_send(&here.group, message).await?;
        Ok(())
    }

    #[handler]
    async fn chat_who(&mut self, cx: &mut Context, event: &Who) -> Result<()> {
        let process = |channel: &str| channel.split('!').next().map(ToOwned::to_owned);
        let Some(here) = &self.here else { return Ok(()) };
        // Those of this process the newcomer has from its `Rooms`.
        if process(&event.reply_to) != process(cx.channel_name())
            && let Err(error) = cx.send_to(&event.reply_to, IsHere { member: here.me.clone() }).await
        {
            tracing::debug!(%error, "a newcomer was not told who is here");
        }
        Ok(())
    }

    #[handler]
    async fn chat_here(&mut self, cx: &mut Context, event: &IsHere) -> Result<()> {
        cx.send_json(&Tell::Here { member: &event.member })
    }

    // What follows is the same for every member: without `self`, it is made once for all of them.

    #[handler]
    fn chat_message(event: &ChatMessage) -> Result<Message> {
        Ok(Message::json(&Tell::Message { from: &event.from, text: &event.text, at: event.at })?)
    }

    #[handler]
    fn chat_joined(event: &Joined) -> Result<Message> {
        Ok(Message::json(&Tell::Joined { member: &event.member })?)
    }

    #[handler]
    fn chat_left(event: &Left) -> Result<Message> {
        Ok(Message::json(&Tell::Left { member: &event.member })?)
    }

    async fn disconnect(&mut self, cx: &mut Context, _: &Close) {
        let Some(Here { room, group, me }) = self.here.take() else { return };
        self.rooms.leave(&room, &me);
        if let Err(error) = cx.group_send(group, Left { member: me }).await {
            tracing::warn!(%error, "the others were not told that somebody left");
        }
    }
}
