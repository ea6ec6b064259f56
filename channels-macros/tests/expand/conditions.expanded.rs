#[cfg(feature = "chat")]
impl ChatConsumer {
    #[cfg(feature = "notices")]
    fn chat_notice(event: &Notice) -> Result<Message> {
        Ok(event.text.as_str().into())
    }
    #[cfg(not(feature = "notices"))]
    async fn ignore(&mut self, _cx: &mut Context, _event: &RawEvent) -> Result<()> {
        Ok(())
    }
}
#[cfg(feature = "chat")]
impl Consumer for ChatConsumer {
    #[cfg(feature = "json")]
    async fn receive(&mut self, cx: &mut Context, Json(message): Json<Inbound>) -> Result<()> {
        Ok(())
    }
    #[cfg(feature = "json")]
    type Input = Json<Inbound>;
    #[cfg(not(any(all(feature = "json"))))]
    type Input = ::channels::Message;
    #[allow(unused_variables)]
    async fn dispatch(
        &mut self,
        cx: &mut ::channels::Context,
        event: &::channels::Envelope,
    ) -> ::channels::Result<::channels::Dispatch> {
        if let ::core::option::Option::Some(message) = Self::render(event) {
            cx.send(message?)?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        #[cfg(not(feature = "notices"))]
        if event.is("chat.notice") {
            let payload = event.decode::<RawEvent>()?;
            let _done: () = Self::ignore(self, cx, payload).await?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        ::core::result::Result::Ok(::channels::Dispatch::Unhandled)
    }
    #[allow(unused_variables, clippy::useless_conversion)]
    fn render(event: &::channels::Envelope) -> ::core::option::Option<::channels::Result<::channels::Message>> {
        #[cfg(feature = "notices")]
        if event.is("chat.notice") {
            return ::core::option::Option::Some(match event.decode::<Notice>() {
                ::core::result::Result::Ok(payload) => match Self::chat_notice(payload) {
                    ::core::result::Result::Ok(message) => ::core::result::Result::Ok(message.into()),
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(error.into()),
                },
                ::core::result::Result::Err(error) => ::core::result::Result::Err(::channels::Error::from(error)),
            });
        }
        ::core::option::Option::None
    }
}
#[cfg(feature = "chat")]
#[cfg(feature = "notices")]
#[cfg(not(feature = "notices"))]
const _: () = if ::channels::__private::same_event("chat.notice", "chat.notice") {
    ::core::panic!(
        "`ignore` is for the event that `chat_notice` is for already: remove one of the two, or name another event"
    )
};
#[cfg(feature = "chat")]
::channels::__private::inventory::submit!(::channels::__private::ConsumerEntry {
    name: ::core::concat!(::core::module_path!(), "::", "ChatConsumer"),
    file: ::core::file!(),
    line: ::core::line!(),
    #[cfg(feature = "json")]
    input: "Json<Inbound>",
    #[cfg(not(any(all(feature = "json"))))]
    input: "Message",
    handlers: &[
        #[cfg(feature = "notices")]
        ::channels::__private::HandlerEntry {
            event: "chat.notice",
            method: "chat_notice",
            payload: "Notice",
            pure: true,
            line: ::core::line!(),
        },
        #[cfg(not(feature = "notices"))]
        ::channels::__private::HandlerEntry {
            event: "chat.notice",
            method: "ignore",
            payload: "RawEvent",
            pure: false,
            line: ::core::line!(),
        }
    ],
});
