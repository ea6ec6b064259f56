impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }
}
