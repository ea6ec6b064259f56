impl<T> Tagged<T>
where
    T: Tag,
{
    async fn tagged(&mut self, cx: &mut Context, event: &Tagged<T>) -> Result<()> {
        cx.send_json(event)
    }
    async fn said(&mut self, cx: &mut Context, event: &Said) -> Result<()> {
        cx.send_json(event)
    }
    async fn asked(&mut self, cx: &mut Context, event: &Asked) -> Result<()> {
        cx.send_json(event)
    }
}
impl<T> Consumer for Tagged<T>
where
    T: Tag,
{
    type Input = ::channels::Message;
    #[allow(unused_variables)]
    async fn dispatch(
        &mut self,
        cx: &mut ::channels::Context,
        event: &::channels::Envelope,
    ) -> ::channels::Result<::channels::Dispatch> {
        const {
            if ::channels::__private::same_event(
                ::channels::__private::handler_name::<Tagged<T>>("tagged"),
                ::channels::__private::handler_name::<Said>("said"),
            ) {
                ::core::panic!(
                    "`said` is for the event that `tagged` is for already: remove one of the two, or name another event"
                )
            }
        }
        const {
            if ::channels::__private::same_event(
                ::channels::__private::handler_name::<Tagged<T>>("tagged"),
                ::channels::__private::handler_name::<Asked>("asked"),
            ) {
                ::core::panic!(
                    "`asked` is for the event that `tagged` is for already: remove one of the two, or name another event"
                )
            }
        }
        if event.is(::channels::__private::handler_name::<Tagged<T>>("tagged")) {
            let payload = event.decode::<Tagged<T>>()?;
            let _done: () = Self::tagged(self, cx, payload).await?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        if event.is(::channels::__private::handler_name::<Said>("said")) {
            let payload = event.decode::<Said>()?;
            let _done: () = Self::said(self, cx, payload).await?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        if event.is(::channels::__private::handler_name::<Asked>("asked")) {
            let payload = event.decode::<Asked>()?;
            let _done: () = Self::asked(self, cx, payload).await?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        ::core::result::Result::Ok(::channels::Dispatch::Unhandled)
    }
}
const _: () = if ::channels::__private::same_event(
    ::channels::__private::handler_name::<Said>("said"),
    ::channels::__private::handler_name::<Asked>("asked"),
) {
    ::core::panic!("`asked` is for the event that `said` is for already: remove one of the two, or name another event")
};
