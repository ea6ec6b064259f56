::core::compile_error! { "`connect` must be async: write `async fn connect(&mut self, cx: &mut Context) -> Result<()>`" }
::core::compile_error! { "an event's name cannot begin with `_`: write `private`" }
::core::compile_error! { "`greet` is neither a hook nor a handler: put `#[handler]` on it if it is for an event; otherwise move it to `impl ChatConsumer { … }`" }
impl ChatConsumer {
    async fn private(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        Ok(())
    }
    fn greet(&self, cx: &mut Context) -> Result<()> {
        cx.send("hello")?;
        Ok(())
    }
}
impl Consumer for ChatConsumer {
    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        self.greet(cx)
    }
    type Input = Text;
}
