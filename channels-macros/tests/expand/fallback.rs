impl Consumer for ChatConsumer {
    fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.greet(cx)
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        self.greet(cx)
    }

    #[handler("_private")]
    async fn private(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        Ok(())
    }

    fn greet(&self, cx: &mut Context) -> Result<()> {
        cx.send("hello")?;
        Ok(())
    }
}
