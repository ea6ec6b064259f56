//! How often a client may send.

use std::time::Duration;

use channels::{auth::AuthMiddleware, middleware::RateLimit, prelude::*, testing::WebsocketCommunicator};

use crate::echo::{Echo, Trusting};

const HOUR: Duration = Duration::from_secs(3_600);

async fn echoed(client: &mut WebsocketCommunicator, times: usize) {
    for _ in 0..times {
        client.send_to("x").await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), "x");
    }
}

#[test]
fn who_sends_more_than_a_connection_may_is_closed_with_4429() {
    channels::run(async {
        let limited = || RateLimit::per_connection(3, HOUR).wrap(Echo::default);
        let mut client = WebsocketCommunicator::new(limited(), "/");
        client.connect().await.unwrap();
        echoed(&mut client, 3).await;
        client.send_to("x").await.unwrap();
        let close = client.closed().await.unwrap();
        assert_eq!(close.to_string(), "4429 (more messages than the rate limit allows)");
        let mut small =
            WebsocketCommunicator::new(RateLimit::per_connection(60, HOUR).burst(1).wrap(Echo::default), "/");
        small.connect().await.unwrap();
        echoed(&mut small, 1).await;
        small.send_to("x").await.unwrap();
        assert_eq!(small.closed().await.unwrap().code.get(), 4429);
    });
}

#[test]
fn a_limit_on_a_route_that_does_not_fit_limits_nobody() {
    channels::run(async {
        let elsewhere = URLRouter::new([path("else/", Echo::default)]).unwrap();
        let limited = RateLimit::per_connection(1, HOUR).wrap(elsewhere);
        let routes = URLRouter::new([path("ws/", limited), path("ws/", Echo::default)]).unwrap();
        let mut client = WebsocketCommunicator::new(routes, "/ws/");
        client.connect().await.unwrap();
        echoed(&mut client, 3).await;
    });
}

#[test]
fn a_bucket_fills_with_time() {
    channels::run(async {
        // A token each 2 ms. What is dropped is told once, and then silently: the client waits a while for nothing.
        let limit = RateLimit::per_connection(500, Duration::from_secs(1)).burst(1).tell("slow down");
        let mut client = WebsocketCommunicator::new(limit.wrap(Echo::default), "/");
        client.connect().await.unwrap();
        echoed(&mut client, 1).await;
        let mut again = false;
        for _ in 0..10 {
            client.send_to("y").await.unwrap();
            if client.receive_from().await.is_ok_and(|message| message.as_text() == Some("y")) {
                again = true;
                break;
            }
        }
        assert!(again);
    });
}

#[test]
fn what_is_too_much_may_be_dropped_and_told_once() {
    channels::run(async {
        let limit = RateLimit::per_connection(2, HOUR).tell("slow down");
        let layer = channels::Layer::new(channels::InMemoryChannelLayer::default());
        struct Joins;
        #[consumer]
        impl Consumer for Joins {
            fn groups(&self, _: &Scope) -> Vec<String> {
                vec!["all".to_owned()]
            }
            async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
                cx.send(message)
            }
            #[handler]
            fn tick(_: &RawEvent) -> Result<Message> {
                Ok("tick".into())
            }
        }
        let mut client = WebsocketCommunicator::new(limit.wrap(|| Joins), "/").layers(layer.clone());
        client.connect().await.unwrap();
        echoed(&mut client, 2).await;
        for _ in 0..5 {
            client.send_to("too much").await.unwrap();
        }
        assert_eq!(client.receive_text_from().await.unwrap(), "slow down");
        assert!(client.receive_nothing().await);
        layer.group_send("all", channels::event!({"type": "tick"})).await.unwrap();
        assert_eq!(client.receive_text_from().await.unwrap(), "tick", "events are not the client's");
    });
}

#[test]
fn a_user_has_one_bucket_for_all_connections() {
    channels::run(async {
        let routes = (AuthMiddleware::new(Trusting), RateLimit::per_user(3, HOUR)).wrap(Echo::default);
        let routes = URLRouter::new([path("ws/", routes)]).unwrap();
        let app = ProtocolTypeRouter::new().websocket(routes);
        let client = |token: Option<&str>| {
            let client = WebsocketCommunicator::new(app.clone(), "/ws/");
            match token {
                Some(token) => client.header(("Authorization", format!("Bearer {token}"))),
                None => client,
            }
        };
        let (mut one, mut two, mut other) = (client(Some("ann")), client(Some("ann")), client(Some("bob")));
        let mut strangers = [client(None), client(None)];
        for client in [&mut one, &mut two, &mut other].into_iter().chain(&mut strangers) {
            assert!(client.connect().await.unwrap().accepted);
        }
        echoed(&mut one, 2).await;
        echoed(&mut two, 1).await;
        two.send_to("x").await.unwrap();
        assert_eq!(two.closed().await.unwrap().code.get(), 4429);
        echoed(&mut other, 3).await;
        for stranger in &mut strangers {
            echoed(stranger, 3).await;
        }
        // To come back is not to begin anew.
        let mut again = client(Some("ann"));
        again.connect().await.unwrap();
        again.send_to("x").await.unwrap();
        assert_eq!(again.closed().await.unwrap().code.get(), 4429);
    });
}

#[test]
#[should_panic(expected = "a limit of no messages lets nobody speak")]
fn a_limit_of_nothing_is_a_mistake() {
    let _ = RateLimit::per_connection(0, HOUR);
}
