/// A chat.
#[allow(clippy::unused_async)]
impl Consumer for ChatConsumer {
    const LAYER: &'static str = "chat";

    async fn receive(&mut self, cx: &mut Context, Json(message): Json<Inbound>) -> Result<()> {
        cx.group_send("lobby", ChatMessage { text: message.text }).await?;
        Ok(())
    }

    /// Typed.
    #[handler]
    async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
        cx.send_json(event)
    }

    #[handler("xx.oo")]
    pub fn xx_oo(&self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event.name())?;
        Ok(())
    }

    #[handler]
    fn chat_notice(event: &Notice) -> Result<Message> {
        Ok(event.text.as_str().into())
    }
}
