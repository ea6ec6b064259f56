impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)?;
        Ok(())
    }
    type Input = Message;
}
::channels::__private::inventory::submit!(::channels::__private::ConsumerEntry {
    name: ::core::concat!(::core::module_path!(), "::", "Echo"),
    file: ::core::file!(),
    line: ::core::line!(),
    input: "Message",
    handlers: &[],
});
