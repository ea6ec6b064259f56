//! What is said in the room, and the way to it that stays open.

use std::time::{SystemTime, UNIX_EPOCH};

use channels::prelude::*;

/// The group of all who listen.
pub(super) const ROOM: &str = "room";
/// Characters that a name has at most; the rest is cut.
const NAME_LIMIT: usize = 30;
/// Characters that a text has at most.
const TEXT_LIMIT: usize = 2_000;
/// What is told to those who send something else.
pub(super) const LIMITS: &str = "a text has 1 to 2000 characters";

/// What a page sends.
#[derive(Deserialize)]
pub(super) struct Saying {
    name: String,
    text: String,
}

/// What the room hears.
#[derive(Clone, Serialize, Deserialize, Event)]
#[event("chat.said")]
pub(super) struct Said {
    from: String,
    text: String,
    /// By which way it came: `request` or `socket`.
    by: String,
    /// When, in milliseconds since 1970 by this machine's clock.
    at: f64,
}

impl Saying {
    /// What the room hears of it; `None` if it is empty or too long.
    pub(super) fn heard(self, by: &str) -> Option<Said> {
        let name: String = self.name.trim().chars().take(NAME_LIMIT).collect();
        let text = self.text.trim();
        let fits = !text.is_empty() && text.chars().count() <= TEXT_LIMIT;
        fits.then(|| Said {
            from: if name.is_empty() { "somebody".to_owned() } else { name },
            text: text.to_owned(),
            by: by.to_owned(),
            at: now(),
        })
    }
}

/// Milliseconds since 1970, and parts of them.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

/// How many bytes a request of HTTP/1.1 has, which a page cannot know: browsers add headers that scripts do not see.
pub(super) fn size(scope: &Scope) -> usize {
    let query = if scope.query_string().is_empty() { 0 } else { 1 + scope.query_string().len() };
    let target = scope.raw_path().len() + query;
    let line = scope.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let headers: usize = scope.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let body = scope.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    line + headers + "\r\n".len() + body
}

/// The socket.
#[derive(Default)]
pub(super) struct Socket;

#[consumer]
impl Consumer for Socket {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add(ROOM).await?;
        cx.accept()?;
        // The handshake's size: the page counts it.
        cx.send_json(&serde_json::json!({"handshake": size(cx.scope())}))
    }

    async fn receive(&mut self, cx: &mut Context, Json(saying): Json<Saying>) -> Result<()> {
        match saying.heard("socket") {
            Some(said) => cx.group_send(ROOM, said).await?,
            None => cx.close(CloseCode::MESSAGE_TOO_BIG, LIMITS),
        }
        Ok(())
    }

    // Without `self`: made once, for all sockets.
    #[handler]
    fn chat_said(event: &Said) -> Result<Message> {
        Ok(Message::json(event)?)
    }
}
