//! The socket: everybody who is logged in hears everybody.

use channels::prelude::*;

use super::users::User;

const ROOM: &str = "members";

#[derive(Serialize, Deserialize, Event)]
#[event("member.said")]
struct Said {
    name: String,
    text: String,
}

#[derive(Default)]
pub(crate) struct Member {
    name: String,
}

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        // `require_auth` stands before this consumer; without it, a stranger still is no member.
        self.name = cx.scope().user::<User>().ok_or_else(Deny::forbidden)?.name.clone();
        cx.group_add(ROOM).await?;
        cx.accept()?;
        cx.send(format!("Welcome, {}. Say something.", self.name))
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.group_send(ROOM, Said { name: self.name.clone(), text: text.into() }).await?;
        Ok(())
    }

    #[handler]
    fn member_said(event: &Said) -> Result<Message> {
        Ok(format!("{}: {}", event.name, event.text).into())
    }
}
