impl<T> Consumer for Tagged<T>
where
    T: Tag,
{
    #[handler]
    async fn tagged(&mut self, cx: &mut Context, event: &Tagged<T>) -> Result<()> {
        cx.send_json(event)
    }

    #[handler]
    async fn said(&mut self, cx: &mut Context, event: &Said) -> Result<()> {
        cx.send_json(event)
    }

    #[handler]
    async fn asked(&mut self, cx: &mut Context, event: &Asked) -> Result<()> {
        cx.send_json(event)
    }
}
