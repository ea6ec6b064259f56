//! A crowd in one room.

use std::time::Duration;

use channels::{InMemoryChannelLayer, prelude::*};
use futures_util::future::try_join_all;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    raw::{CLOSE, FIN, Raw, TEXT, frame},
    support::{raise_file_limit, serve},
};

const MEMBERS: usize = 1_000;
const BROADCASTS: usize = 1_000;

/// A million messages take a while where nothing is optimized.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Serialize, Deserialize, Event)]
#[event("broadcast")]
struct Broadcast {
    text: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event("broadcast.pure")]
struct PureBroadcast {
    text: String,
}

/// Tells the room what its client says: to handlers of each member on `/`, to a pure one on `/pure`.
struct Member;

#[consumer]
impl Consumer for Member {
    fn groups(&self, _: &Scope) -> Vec<String> {
        vec!["room".to_owned()]
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        let text = text.to_string();
        let report = match cx.scope().path() {
            "/pure" => cx.group_send("room", PureBroadcast { text }).report().await?,
            _ => cx.group_send("room", Broadcast { text }).report().await?,
        };
        assert_eq!((report.delivered, report.full, report.expired), (MEMBERS, 0, 0));
        Ok(())
    }

    #[handler]
    async fn broadcast(&mut self, cx: &mut Context, event: &Broadcast) -> Result<()> {
        cx.send(event.text.as_str())?;
        Ok(())
    }

    #[handler]
    fn broadcast_pure(event: &PureBroadcast) -> Result<Message> {
        Ok(event.text.as_str().into())
    }
}

/// What a server sends of a text.
fn unmasked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    [&[FIN | TEXT, length], text.as_bytes()].concat()
}

async fn everybody_gets_everything_once_and_in_order(path: &'static str) {
    raise_file_limit();
    // A member's queue holds what one that is scheduled last may have to take at once.
    let layer = InMemoryChannelLayer::default().capacity(BROADCASTS);
    let config = Config { ping_interval: None, ..Config::default() };
    let app = ProtocolTypeRouter::new().websocket(|| Member);
    let server = serve(Server::new(app).layers(layer).config(config).workers(2));
    let members = try_join_all((0..MEMBERS).map(|_| tokio::spawn(Raw::open(server.address, path)))).await.unwrap();

    let texts: Vec<_> = (0..BROADCASTS).map(|n| format!("broadcast {n}")).collect();
    let expected: Vec<u8> = texts.iter().flat_map(|text| unmasked(text)).collect();
    let mut members = members.into_iter();
    let mut speaker = members.next().unwrap();
    let readers: Vec<_> = members.map(|member| tokio::spawn(hear(member, expected.clone()))).collect();
    let speech: Vec<_> = texts.iter().flat_map(|text| frame(FIN | TEXT, text)).collect();
    speaker.write(speech).await;
    hear(speaker, expected).await;
    try_join_all(readers).await.unwrap();
}

/// Reads as much as is expected, then closes, and finds nothing but the answer behind it.
async fn hear(mut member: Raw, expected: Vec<u8>) {
    let mut heard = vec![0; expected.len()];
    let read = timeout(PATIENCE, member.stream.read_exact(&mut heard)).await;
    read.expect("everything comes in the end").expect("the connection is open");
    assert!(heard == expected, "something is missing, doubled or out of order");
    member.write(frame(FIN | CLOSE, 1000u16.to_be_bytes())).await;
    assert_eq!(member.close().await, (1000, String::new()), "something came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_1000_broadcasts_reaches_1000_members_exactly_once_and_in_order() {
    everybody_gets_everything_once_and_in_order("/").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_1000_rendered_broadcasts_reaches_1000_members_exactly_once_and_in_order() {
    everybody_gets_everything_once_and_in_order("/pure").await;
}
