#[allow(clippy::unused_async)]
impl ChatConsumer {
    #[doc = " Typed."]
    async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
        cx.send_json(event)
    }
    pub fn xx_oo(&self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event.name())?;
        Ok(())
    }
    fn chat_notice(event: &Notice) -> Result<Message> {
        Ok(event.text.as_str().into())
    }
}
#[doc = " A chat."]
#[allow(clippy::unused_async)]
impl Consumer for ChatConsumer {
    const LAYER: &'static str = "chat";
    async fn receive(&mut self, cx: &mut Context, Json(message): Json<Inbound>) -> Result<()> {
        cx.group_send("lobby", ChatMessage { text: message.text }).await?;
        Ok(())
    }
    type Input = Json<Inbound>;
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
        if event.is(::channels::__private::handler_name::<ChatMessage>("chat_message")) {
            let payload = event.decode::<ChatMessage>()?;
            let _done: () = Self::chat_message(self, cx, payload).await?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        if event.is("xx.oo") {
            let payload = event.decode::<RawEvent>()?;
            let _done: () = Self::xx_oo(self, cx, payload)?;
            return ::core::result::Result::Ok(::channels::Dispatch::Handled);
        }
        ::core::result::Result::Ok(::channels::Dispatch::Unhandled)
    }
    #[allow(unused_variables, clippy::useless_conversion)]
    fn render(event: &::channels::Envelope) -> ::core::option::Option<::channels::Result<::channels::Message>> {
        if event.is(::channels::__private::handler_name::<Notice>("chat_notice")) {
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
const _: () =
    if ::channels::__private::same_event(::channels::__private::handler_name::<ChatMessage>("chat_message"), "xx.oo") {
        ::core::panic!(
            "`xx_oo` is for the event that `chat_message` is for already: remove one of the two, or name another event"
        )
    };
const _: () = if ::channels::__private::same_event(
    ::channels::__private::handler_name::<ChatMessage>("chat_message"),
    ::channels::__private::handler_name::<Notice>("chat_notice"),
) {
    ::core::panic!(
        "`chat_notice` is for the event that `chat_message` is for already: remove one of the two, or name another event"
    )
};
const _: () =
    if ::channels::__private::same_event("xx.oo", ::channels::__private::handler_name::<Notice>("chat_notice")) {
        ::core::panic!(
            "`chat_notice` is for the event that `xx_oo` is for already: remove one of the two, or name another event"
        )
    };
::channels::__private::inventory::submit!(::channels::__private::ConsumerEntry {
    name: ::core::concat!(::core::module_path!(), "::", "ChatConsumer"),
    file: ::core::file!(),
    line: ::core::line!(),
    input: "Json<Inbound>",
    handlers: &[
        ::channels::__private::HandlerEntry {
            event: ::channels::__private::handler_name::<ChatMessage>("chat_message"),
            method: "chat_message",
            payload: "ChatMessage",
            pure: false,
            line: ::core::line!(),
        },
        ::channels::__private::HandlerEntry {
            event: "xx.oo",
            method: "xx_oo",
            payload: "RawEvent",
            pure: false,
            line: ::core::line!(),
        },
        ::channels::__private::HandlerEntry {
            event: ::channels::__private::handler_name::<Notice>("chat_notice"),
            method: "chat_notice",
            payload: "Notice",
            pure: true,
            line: ::core::line!(),
        }
    ],
});
