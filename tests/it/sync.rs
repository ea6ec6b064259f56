//! Consumers whose hooks block.

use std::{
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Duration,
};

use channels::{
    Dispatch, Envelope, Layer, Layers, Server, SyncConsumer, SyncContext, SyncError, actix_web::http::StatusCode,
    prelude::*, testing::WebsocketCommunicator,
};

use crate::{echo::Echo, support::serve};

/// What hooks say of themselves.
type Log = Arc<Mutex<Vec<String>>>;

#[derive(Serialize, Deserialize, Event)]
#[event("chat.message")]
struct ChatMessage {
    text: String,
}

/// A chat as somebody writes it who comes from `WebsocketConsumer`.
#[derive(Clone, Default)]
struct Chat {
    log: Log,
    count: usize,
}

#[consumer]
impl SyncConsumer for Chat {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["everybody".to_owned()]
    }

    fn connect(&mut self, cx: &mut SyncContext) -> Result<(), SyncError> {
        let room: String = cx.scope(|scope| scope.query("room"))?.ok_or_else(|| Deny::new(StatusCode::BAD_REQUEST))?;
        cx.group_add(format!("chat_{room}"))?;
        cx.accept()?;
        cx.send(format!("in {room}"))
    }

    fn receive(&mut self, cx: &mut SyncContext, Text(text): Text) -> Result<(), SyncError> {
        match &*text {
            "fail" => return Err(SyncError::msg("as it was told")),
            "panic" => panic!("as it was told"),
            "refuse" => return Err(InputError::content("not this").into()),
            "groups" => {
                let groups = cx.with(|cx| cx.groups().len())?;
                return cx.send_json(&groups);
            }
            _ => {}
        }
        self.count += 1;
        thread::sleep(Duration::from_millis(u64::from(self.count % 3 == 1)));
        let text = format!("{text} {}", self.count);
        cx.group_send("everybody", ChatMessage { text })?;
        Ok(())
    }

    #[handler]
    fn chat_message(&mut self, cx: &mut SyncContext, event: &ChatMessage) -> Result<(), SyncError> {
        cx.send(event.text.as_str())
    }

    #[handler]
    fn shout(event: &RawEvent) -> Result<Message> {
        Ok(event.get::<String>("text").unwrap_or_default().to_uppercase().into())
    }

    fn disconnect(&mut self, _: &mut SyncContext, close: &Close) {
        self.log.lock().unwrap().push(format!("{} after {}", close.code, self.count));
    }
}

#[test]
fn plain_functions_are_a_consumer() {
    channels::run(async {
        let layer = Layer::new(channels::InMemoryChannelLayer::default());
        let chat = Chat::default();
        let make = {
            let chat = chat.clone();
            move || chat.clone()
        };
        let mut client = WebsocketCommunicator::new(make.clone(), "/?room=blue").layers(layer.clone());
        assert!(client.connect().await.unwrap().accepted);
        assert_eq!(client.receive_text_from().await.unwrap(), "in blue");
        client.send_to("hi").await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), "hi 1");
        layer.group_send("chat_blue", channels::event!({"type": "shout", "text": "hey"})).await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), "HEY");
        client.send_to("groups").await.unwrap();
        assert_eq!(client.receive_json_from::<usize>().await.unwrap(), 2);
        client.disconnect(1001).await.unwrap();
        assert_eq!(*chat.log.lock().unwrap(), ["1001 after 1"]);
        let mut refused = WebsocketCommunicator::new(make, "/");
        assert_eq!(refused.connect().await.unwrap().status, 400);
        refused.vanish().await.unwrap();
        assert_eq!(chat.log.lock().unwrap().len(), 2, "`disconnect` runs after a refusal, too");
    });
}

#[test]
fn messages_of_one_connection_are_handled_in_order() {
    channels::run(async {
        let mut client = WebsocketCommunicator::new(Chat::default, "/?room=blue");
        client.connect().await.unwrap();
        client.receive_from().await.unwrap();
        for n in 1..=30 {
            client.send_to(n.to_string()).await.unwrap();
        }
        for n in 1..=30 {
            assert_eq!(client.receive_text_from().await.unwrap(), format!("{n} {n}"));
        }
    });
}

#[test]
fn errors_and_panics_close_one_connection_and_disconnect_still_runs() {
    channels::run(async {
        for (text, code) in [("fail", 1011), ("panic", 1011), ("refuse", 1007)] {
            let chat = Chat::default();
            let log = chat.log.clone();
            let mut client = WebsocketCommunicator::new(move || chat.clone(), "/?room=blue");
            client.connect().await.unwrap();
            client.send_to(text).await.unwrap();
            assert_eq!(client.closed().await.unwrap().code.get(), code, "{text}");
            client.disconnect(1000).await.unwrap();
            assert_eq!(log.lock().unwrap().len(), 1, "{text}");
        }
    });
}

/// Blocks until two have met; by hand, without the macro.
struct Meets(Arc<Barrier>);

impl SyncConsumer for Meets {
    type Input = Message;

    fn receive(&mut self, cx: &mut SyncContext, _: Message) -> Result<(), SyncError> {
        cx.send("blocks")?;
        self.0.wait();
        cx.send("met")
    }

    fn dispatch(&mut self, _: &mut SyncContext, _: &Envelope) -> Result<Dispatch, SyncError> {
        Ok(Dispatch::Unhandled)
    }
}

/// As `Meets`, with one blocking call in an async hook.
struct MeetsOnce(Arc<Barrier>);

#[consumer]
impl Consumer for MeetsOnce {
    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        let barrier = self.0.clone();
        cx.send("blocks")?;
        let leader = cx.block(move || barrier.wait().is_leader()).await;
        cx.send(if leader { "met first" } else { "met" })
    }
}

#[tokio::test]
async fn a_slow_blocking_handler_never_delays_another_connections_async_handler() {
    let barrier = Arc::new(Barrier::new(2));
    let (meets, once) = (barrier.clone(), barrier.clone());
    let routes = [
        path("sync/", move || Meets(meets.clone())),
        path("block/", move || MeetsOnce(once.clone())),
        path("echo/", Echo::default),
    ];
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new(routes).unwrap());
    // All of them on one thread.
    let served = serve(Server::new(app).layers(Layers::default()).workers(1).blocking_threads(2));
    for blocking in ["/sync/", "/block/"] {
        let mut slow = served.connect(blocking).await;
        slow.send("x").await;
        assert_eq!(slow.text().await, "blocks");
        // It stands still until somebody meets it. Meanwhile:
        let mut quick = served.connect("/echo/").await;
        for n in 0..50 {
            quick.send(n.to_string()).await;
            assert_eq!(quick.text().await, n.to_string());
        }
        let mut other = served.connect("/sync/").await;
        other.send("x").await;
        assert_eq!(other.text().await, "blocks");
        assert_eq!(other.text().await, "met");
        assert!(slow.text().await.starts_with("met"));
    }
}

#[tokio::test]
async fn what_blocks_beyond_the_pool_waits_and_is_done_later() {
    /// Logs its inputs, and waits for somebody with each of them.
    struct Logs(Arc<Barrier>, Log);

    impl SyncConsumer for Logs {
        type Input = Text;

        fn receive(&mut self, cx: &mut SyncContext, Text(text): Text) -> Result<(), SyncError> {
            let log = |what: &str| self.1.lock().unwrap().push(format!("{text} {what}"));
            log("begins");
            cx.send("blocks")?;
            self.0.wait();
            log("ends");
            cx.send("met")
        }
    }

    let (barrier, log) = (Arc::new(Barrier::new(2)), Log::default());
    let (meets, logs) = (barrier.clone(), log.clone());
    let routes = [path("sync/", move || Logs(meets.clone(), logs.clone())), path("echo/", Echo::default)];
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new(routes).unwrap());
    let served = serve(Server::new(app).workers(1).blocking_threads(1));
    let (mut first, mut second) = (served.connect("/sync/").await, served.connect("/sync/").await);
    let mut quick = served.connect("/echo/").await;
    first.send("first").await;
    assert_eq!(first.text().await, "blocks");
    // The pool's one thread is taken. The second one's hook has come to the pool before the echo: all are on one thread.
    second.send("second").await;
    for n in 0..100 {
        quick.send(n.to_string()).await;
        assert_eq!(quick.text().await, n.to_string());
    }
    for client in [&mut first, &mut second] {
        let barrier = barrier.clone();
        tokio::task::spawn_blocking(move || barrier.wait()).await.unwrap();
        while client.text().await != "met" {}
    }
    assert_eq!(*log.lock().unwrap(), ["first begins", "first ends", "second begins", "second ends"]);
}

#[test]
fn a_hook_that_blocks_past_the_end_is_given_up_and_disconnect_runs_when_it_returns() {
    struct Late(Arc<Barrier>, Log);

    impl SyncConsumer for Late {
        type Input = Message;

        fn receive(&mut self, cx: &mut SyncContext, _: Message) -> Result<(), SyncError> {
            cx.send("blocks")?;
            self.0.wait();
            self.0.wait();
            let gone = cx.send("too late").unwrap_err();
            self.1.lock().unwrap().push(gone.to_string());
            Ok(())
        }

        fn disconnect(&mut self, _: &mut SyncContext, _: &Close) {
            self.1.lock().unwrap().push("disconnect".to_owned());
        }
    }

    channels::run(async {
        let (barrier, log) = (Arc::new(Barrier::new(2)), Log::default());
        let config = Config { hook_grace: Duration::ZERO, ..Config::default() };
        let make = {
            let (barrier, log) = (barrier.clone(), log.clone());
            move || Late(barrier.clone(), log.clone())
        };
        let mut client = WebsocketCommunicator::new(make, "/").config(config);
        client.connect().await.unwrap();
        client.send_to("x").await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), "blocks");
        let ending = channels::actix_web::rt::spawn(client.vanish());
        tokio::task::spawn_blocking(move || {
            barrier.wait();
            barrier.wait();
        })
        .await
        .unwrap();
        ending.await.unwrap().unwrap();
        assert_eq!(*log.lock().unwrap(), ["the connection is closed", "disconnect"]);
    });
}
