//! What a route says of time and of crowds holds on that route, and not on its neighbour.

use std::{net::SocketAddr, time::Duration};

use channels::{Config, path, prelude::*};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
};

use crate::{
    raw::{CLOSE, FIN, PING, Raw, TEXT, frame, handshake},
    support::{serve, within},
};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3_600);

/// Stays in the hook that its path names, or closes, and tells where it is.
struct Sitter {
    tell: UnboundedSender<String>,
    route: String,
}

impl Sitter {
    fn tell(&self, what: &str) {
        let _ = self.tell.send(format!("{} {what}", self.route));
    }

    async fn stays_in(&self, cx: &Context, hook: &str) -> Result<()> {
        if cx.scope().kwarg("how")? == hook {
            self.tell(hook);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[consumer]
impl Consumer for Sitter {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.route = cx.scope().path().split('/').nth(1).unwrap_or_default().to_owned();
        self.stays_in(cx, "connect").await?;
        cx.accept()?;
        if cx.scope().kwarg("how")? == "close" {
            cx.close(4001, "");
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, _: Message) -> Result<()> {
        self.stays_in(cx, "receive").await
    }

    async fn disconnect(&mut self, cx: &mut Context, _: &Close) {
        self.tell("left");
        let _ = self.stays_in(cx, "disconnect").await;
    }
}

impl Drop for Sitter {
    fn drop(&mut self) {
        self.tell("dropped");
    }
}

/// A client of a route that says one thing, answers nothing, and tells what it sees.
fn visit(address: SocketAddr, route: &'static str, how: &str, tell: UnboundedSender<String>) -> JoinHandle<()> {
    let hello = [handshake(&format!("/{route}/{how}/"), "").into_bytes(), frame(FIN | TEXT, "hello")].concat();
    tokio::spawn(async move {
        let tell = |what: String| tell.send(format!("{route} {what}"));
        let mut client = Raw::connect(address).await;
        client.write(hello).await;
        let _ = tell(format!("answer {}", client.response().await.status));
        while let Some((first, payload)) = client.frame().await {
            let _ = match (first, payload.first_chunk()) {
                (first, Some(code)) if first == FIN | CLOSE => tell(format!("close {}", u16::from_be_bytes(*code))),
                (first, _) if first == FIN | PING => tell("ping".to_owned()),
                (first, _) => tell(format!("frame {first}")),
            };
        }
        let _ = tell("end".to_owned());
    })
}

/// All that is told up to a line.
async fn up_to(wanted: &str, told: &mut UnboundedReceiver<String>, all: &mut Vec<String>) {
    while all.last().is_none_or(|last| last != wanted) {
        all.push(within(told.recv()).await.expect("the test keeps a sender"));
    }
}

#[tokio::test]
async fn a_routes_own_times_and_crowds_are_not_its_neighbours() {
    // The setting, where a consumer stays, what is seen of it first, whether its client leaves then, and what the setting does.
    type Row = (&'static str, fn(&mut Config), &'static str, &'static str, bool, &'static str);
    let table: [Row; 9] = [
        ("max_handshakes", |config| config.max_handshakes = 0, "open", "answer 101", false, "answer 503"),
        (
            "max_connections_per_address",
            |config| config.max_connections_per_address = Some(0),
            "open",
            "answer 101",
            false,
            "answer 429",
        ),
        ("max_lifetime", |config| config.max_lifetime = Some(SHORT), "open", "answer 101", false, "close 4000"),
        ("ping_interval", |config| config.ping_interval = Some(SHORT), "open", "answer 101", false, "ping"),
        ("ping_timeout", |config| config.ping_timeout = SHORT, "open", "ping", false, "close 4408"),
        ("handshake_timeout", |config| config.handshake_timeout = SHORT, "connect", "connect", false, "answer 503"),
        ("close_timeout", |config| config.close_timeout = SHORT, "close", "close 4001", false, "end"),
        ("hook_grace", |config| config.hook_grace = SHORT, "receive", "receive", true, "left"),
        ("disconnect_timeout", |config| config.disconnect_timeout = SHORT, "disconnect", "answer 101", true, "dropped"),
    ];
    for (setting, change, how, first, leaves, then) in table {
        let (tell, mut told) = mpsc::unbounded_channel();
        let make = {
            let tell = tell.clone();
            move || Sitter { tell: tell.clone(), route: String::new() }
        };
        let routes = URLRouter::new([path("own/<how>/", make.clone()).config(change), path("other/<how>/", make)]);
        let config = Config {
            ping_interval: Some(if setting == "ping_timeout" { SHORT } else { HOUR }),
            ping_timeout: HOUR,
            handshake_timeout: HOUR,
            close_timeout: HOUR,
            hook_grace: HOUR,
            disconnect_timeout: HOUR,
            drain_timeout: Duration::ZERO,
            ..Config::default()
        };
        let server = serve(Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).config(config).workers(1));
        // The neighbour is first: were the setting its own, too, it would be seen there first.
        let mut seen = Vec::new();
        let mut clients = Vec::new();
        for route in ["other", "own"] {
            let client = visit(server.address, route, how, tell.clone());
            if route == "other" || leaves {
                up_to(&format!("{route} {first}"), &mut told, &mut seen).await;
            }
            if leaves {
                client.abort();
            }
            clients.push(client);
        }
        up_to(&format!("own {then}"), &mut told, &mut seen).await;
        assert!(!seen.contains(&format!("other {then}")), "{setting}: {seen:?}");
        clients.iter().for_each(JoinHandle::abort);
    }
}
