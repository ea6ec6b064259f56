#[cfg(feature = "chat")]
impl Consumer for ChatConsumer {
    #[cfg(feature = "json")]
    async fn receive(&mut self, cx: &mut Context, Json(message): Json<Inbound>) -> Result<()> {
        Ok(())
    }

    #[cfg(feature = "notices")]
    #[handler("chat.notice")]
    fn chat_notice(event: &Notice) -> Result<Message> {
        Ok(event.text.as_str().into())
    }

    #[cfg(not(feature = "notices"))]
    #[handler("chat.notice")]
    async fn ignore(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}
