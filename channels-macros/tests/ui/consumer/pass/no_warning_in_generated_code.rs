#![deny(warnings, unused, missing_docs, unreachable_pub, rust_2018_idioms, let_underscore)]
#![forbid(unsafe_code)]
//! What is generated obeys the lints of the crate that it lands in.

use channels::prelude::*;
use serde::{Deserialize, Serialize};

/// Said in a room.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event("chat.message")]
pub struct ChatMessage {
    text: String,
}

/// Said to all rooms.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event("chat.notice")]
pub struct Notice;

/// A chat.
#[derive(Debug)]
pub struct Chat;

/// What it does.
#[consumer]
#[allow(clippy::unused_async)]
impl Consumer for Chat {
    /// Answers.
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }

    /// Passes on.
    #[handler]
    pub async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
        cx.send(event.text.as_str())?;
        Ok(())
    }

    /// The same for all.
    #[handler]
    fn chat_notice(_event: &Notice) -> Result<Message> {
        Ok("notice".into())
    }

    #[handler("xx.oo")]
    fn xx_oo(&self, cx: &mut Context, _event: &RawEvent) -> Result<()> {
        cx.send("xx")?;
        Ok(())
    }
}

/// All of whose handlers are left out.
#[derive(Debug)]
pub struct Quiet;

#[consumer]
impl Consumer for Quiet {
    #[cfg(any())]
    #[handler]
    fn chat_notice(_event: &Notice) -> Result<Message> {
        Ok("notice".into())
    }
}
