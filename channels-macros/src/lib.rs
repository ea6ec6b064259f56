//! The macros of the `channels` crate, which re-exports them: use them from there.
//!
//! | macro | stands on | does |
//! |---|---|---|
//! | [`#[consumer]`](macro@consumer) | `impl Consumer for …` | writes what connects events to handlers, and registers the consumer |
//! | [`#[handler]`](macro@handler) | a method in that block | lets an event reach the method |
//! | [`#[derive(Event)]`](macro@Event) | a struct or an enum | gives an event its name |
//! | [`#[test]`](macro@test) | an `async fn` | runs a test on actix's runtime, in real time or under a paused clock |
//!
//! A mistake is a compile error at the place where it was made, with what to write instead; all mistakes are told at
//! once.

mod consumer;
mod diagnostics;
mod event;
mod handler;
mod name;
mod paths;
mod spell;
mod test;

use proc_macro::TokenStream;

/// Makes an `impl Consumer for …` block a consumer whose handlers are found by the names of events.
///
/// # Examples
///
/// ```
/// use channels::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("chat.message")]
/// struct ChatMessage {
///     text: String,
/// }
///
/// #[derive(Default)]
/// struct ChatConsumer;
///
/// #[consumer]
/// impl Consumer for ChatConsumer {
///     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
///         cx.group_add("lobby").await?;
///         Ok(())
///     }
///
///     async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
///         cx.group_send("lobby", ChatMessage { text: text.to_string() }).await?;
///         Ok(())
///     }
///
///     #[handler]
///     async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
///         cx.send(event.text.as_str())?;
///         Ok(())
///     }
/// }
/// ```
///
/// On an `impl SyncConsumer for …` it does the same, and every hook and handler is a plain `fn`.
///
/// # What it writes
///
/// - Methods with [`#[handler]`](macro@handler) move to an `impl ChatConsumer` block, with their attributes, visibility
///   and documentation; the hooks (`connect`, `receive`, `disconnect`, `groups`) stay where they are.
/// - `dispatch`, which gives an event to the handler of its name, and `render`, which does so for handlers without
///   `self`. Both can be written by hand instead, where there is no `#[handler]`.
/// - `type Input`, which is the type of `receive`'s last parameter, or `Message` if there is no `receive`. Written down, it
///   is left alone.
/// - An entry in `channels::registry()`: the consumer, its input, its handlers, and the lines where they stand.
///
/// Hooks may be written in any order, and as `fn … -> impl Future` instead of `async fn`. `#[cfg]` on a hook or handler
/// holds for all that is generated from it.
///
/// # Generic consumers
///
/// They work, but they are not in the registry, which knows types with one name only.
///
/// ```
/// use channels::prelude::*;
///
/// struct Tagged<T>(T);
///
/// #[consumer]
/// impl<T: ToString + 'static> Consumer for Tagged<T> {
///     async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
///         cx.send(format!("{}: {text}", self.0.to_string()))?;
///         Ok(())
///     }
/// }
/// ```
///
/// # Options
///
/// `#[consumer(crate = path)]` says where the `channels` crate is, if not at `::channels`: in a crate that re-exports it,
/// or under another name.
///
/// ```
/// mod sockets {
///     pub use channels;
/// }
/// use sockets::channels::prelude::*;
///
/// struct Echo;
///
/// #[consumer(crate = crate::sockets::channels)]
/// impl Consumer for Echo {
///     async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
///         cx.send(message)?;
///         Ok(())
///     }
/// }
/// # fn main() {}
/// ```
///
/// # What goes wrong
///
/// A method that is neither a hook nor a handler: a helper belongs in a block of its own.
///
/// ```compile_fail
/// use channels::prelude::*;
///
/// struct Echo;
///
/// #[consumer]
/// impl Consumer for Echo {
///     async fn recieve(&mut self, cx: &mut Context, message: Message) -> Result<()> {
///         cx.send(message)?;
///         Ok(())
///     }
/// }
/// ```
///
/// Further: a hook whose signature is not the trait's; two handlers for one event; a consumer that borrows (it outlives the
/// function that makes it); `dispatch` or `render` by hand beside `#[handler]` methods.
#[proc_macro_attribute]
pub fn consumer(args: TokenStream, item: TokenStream) -> TokenStream {
    consumer::consumer(args.into(), item.into()).into()
}

/// Lets an event reach a method of a [`#[consumer]`](macro@consumer).
///
/// No event reaches a method without it, whatever the method's name is.
///
/// # Examples
///
/// ```
/// use channels::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("chat.message")]
/// struct ChatMessage {
///     text: String,
/// }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("chat.notice")]
/// struct Notice {
///     text: String,
/// }
///
/// struct ChatConsumer {
///     name: String,
/// }
///
/// #[consumer]
/// impl Consumer for ChatConsumer {
///     // Typed: the event's name is that of `ChatMessage`.
///     #[handler]
///     async fn chat_message(&mut self, cx: &mut Context, event: &ChatMessage) -> Result<()> {
///         cx.send(format!("to {}: {}", self.name, event.text))?;
///         Ok(())
///     }
///
///     // By name.
///     #[handler("xx.oo")]
///     async fn xx_oo(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
///         cx.send(event.name())?;
///         Ok(())
///     }
///
///     // Pure: the same for every member, so it runs once.
///     #[handler]
///     fn chat_notice(event: &Notice) -> Result<Message> {
///         Ok(event.text.as_str().into())
///     }
/// }
/// ```
///
/// # The name
///
/// - `#[handler("chat.message")]` answers to the event of that name, whatever the type.
/// - `#[handler]` takes the name from the type: that in its `#[event("…")]`.
/// - `#[handler]` with a `&RawEvent`, which has none, takes the name of the method.
///
/// `.` and `_` are the same in a name, as in Channels: `xx.oo` finds the handler `xx_oo`. A name is made of ASCII letters
/// and digits, `.`, `_` and `-`, and begins with neither `.` nor `_`. An event has one handler in a consumer.
///
/// # The signature
///
/// `&mut self` or `&self`, then `cx: &mut Context`, then the event by reference, since all who receive it share it. The
/// handler is an `async fn`, or an `fn` if it waits for nothing. It returns a `Result<()>`; its error may be of any type
/// that `?` makes an `Error` of.
///
/// # Handlers without `self`
///
/// What a handler cannot see, its answer cannot depend on: without `self` and context it is the same for every member. So
/// it runs once per event for all members in the process, and its answer is framed once and shared. It is a plain `fn`
/// that takes the event alone, and returns a `Result` of a `Message` or what becomes one.
///
/// # Untrusted input
///
/// Events come from your own processes and from whoever may write to your channel layer. One whose content does not fit
/// the handler's type is an error of that connection, and the handler does not run.
///
/// # What goes wrong
///
/// An event that is taken by value:
///
/// ```compile_fail
/// # use channels::prelude::*;
/// # struct ChatConsumer;
/// #[consumer]
/// impl Consumer for ChatConsumer {
///     #[handler("xx.oo")]
///     async fn xx_oo(&mut self, cx: &mut Context, event: RawEvent) -> Result<()> {
///         Ok(())
///     }
/// }
/// ```
///
/// Further: a name that no event may have; a second handler for an event; a type that is not an event; type parameters; a
/// hook as handler; a handler without `self` that is `async`; `#[handler]` in a block without `#[consumer]`.
#[proc_macro_attribute]
pub fn handler(_args: TokenStream, _item: TokenStream) -> TokenStream {
    handler::stray().into()
}

/// Makes a type an event, by the name in its `#[event("…")]`.
///
/// # Examples
///
/// ```
/// use channels::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("chat.message")]
/// struct ChatMessage {
///     text: String,
/// }
///
/// assert_eq!(ChatMessage::NAME, "chat.message");
/// ```
///
/// # Rules
///
/// - The type also derives serde's `Serialize` and `Deserialize`, whose attributes work as ever: that is how it looks to
///   other processes.
/// - It is a struct or an enum that is written as a map (a struct with named fields or none, an enum with
///   `#[serde(tag = "…")]`), since an event's name stands among its fields as `type`.
/// - A name is made of ASCII letters and digits, `.`, `_` and `-`, and begins with neither `.` nor `_`. `.` and `_` are the
///   same in it.
/// - One name is one type, and the type owns what it holds: no type parameters, no lifetimes.
///
/// `#[event("chat.message", crate = path)]` says where the `channels` crate is, if not at `::channels`.
///
/// # What goes wrong
///
/// A name that no event may have, or none:
///
/// ```compile_fail
/// # use channels::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, Event)]
/// #[event("_chat")]
/// struct ChatMessage {
///     text: String,
/// }
/// ```
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    event::derive(input.into()).into()
}

/// Makes an `async fn` a test that runs on actix's runtime: for communicators, layers, and all else that needs one. It is
/// in the feature `testing`.
///
/// With `start_paused = true` the clock stands still while anything can run, and jumps to the next timer when nothing can:
/// pings, lifetimes and deadlines are tested without waiting. Keep such a test from real sockets, for which the clock does
/// not wait.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use channels::{prelude::*, testing::{TestError, WebsocketCommunicator}};
///
/// #[derive(Default)]
/// struct Echo;
///
/// #[consumer]
/// impl Consumer for Echo {
///     async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
///         cx.send(message)?;
///         Ok(())
///     }
/// }
/// # use channels::Message;
///
/// #[channels::test]
/// async fn what_is_sent_comes_back() -> Result<(), TestError> {
///     let mut client = WebsocketCommunicator::new(Echo::default, "/");
///     client.connect().await?;
///     client.send_to("hi").await?;
///     assert_eq!(client.receive_text_from().await?, "hi");
///     client.disconnect(1000).await
/// }
///
/// #[channels::test(start_paused = true)]
/// async fn a_connection_lasts_an_hour() -> Result<(), TestError> {
///     let hour = Duration::from_secs(3_600);
///     let config = Config { max_lifetime: Some(hour), ..Config::default() };
///     let mut client = WebsocketCommunicator::new(Echo::default, "/").config(config).timeout(2 * hour);
///     client.connect().await?;
///     assert_eq!(client.closed().await?.code.get(), 4000); // at once
///     Ok(())
/// }
/// # fn main() {}
/// ```
///
/// # Options
///
/// - `start_paused = true`: the clock stands still, as said above.
/// - `crate = path`: where the `channels` crate is, when it is not `::channels`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(arguments.into(), item.into()).into()
}
