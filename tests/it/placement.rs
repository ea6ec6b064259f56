//! The connections of one room are served by one worker thread; a crowd, and what is no room, by all.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use channels::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async;

use crate::{
    raw::{FIN, Raw, TEXT, frame, handshake},
    support::{Served, Socket, serve, serve_bound, within},
};

/// Says on which thread it is served, whenever it is asked.
struct Where;

#[consumer]
impl Consumer for Where {
    async fn receive(&mut self, cx: &mut Context, _: Text) -> Result<()> {
        cx.send(format!("{:?}", thread::current().id()))
    }
}

fn server(workers: usize) -> Server {
    let rooms = URLRouter::new([path("ws/<slug:room>/", || Where), path("lobby/", || Where)]).unwrap();
    Server::new(ProtocolTypeRouter::new().websocket(rooms)).workers(workers)
}

/// The threads that serve so many connections, which stay open meanwhile, and how many each has.
async fn threads(server: &Served, path: &str, connections: usize) -> BTreeMap<String, usize> {
    threads_of(connections, async || server.connect(path).await).await
}

async fn threads_of<S>(connections: usize, connect: impl AsyncFn() -> Socket<S>) -> BTreeMap<String, usize>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut open, mut threads) = (Vec::new(), BTreeMap::new());
    for _ in 0..connections {
        let mut client = connect().await;
        client.send("where?").await;
        *threads.entry(client.text().await).or_default() += 1;
        open.push(client);
    }
    threads
}

async fn thread_of(client: &mut Raw) -> String {
    client.write(frame(FIN | TEXT, "where?")).await;
    client.text().await
}

#[tokio::test]
async fn a_room_is_on_one_thread_and_rooms_are_on_all() {
    let server = serve(server(3));
    let mut all = BTreeSet::new();
    for room in 0..16 {
        let threads = threads(&server, &format!("/ws/room-{room}/?token={room}"), 5).await;
        assert_eq!(threads.len(), 1, "room {room} is on {threads:?}");
        all.extend(threads.into_keys());
    }
    assert_eq!(all.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn a_crowd_is_on_all_threads() {
    let server = serve(server(2));
    let threads = threads(&server, "/ws/crowd/", 200).await;
    assert_eq!(threads.len(), 2);
    assert!(threads.values().all(|count| *count >= 70), "{threads:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_room_whose_thread_is_full_by_its_own_limit_goes_on_on_another() {
    let few = path("few/<slug:room>/", || Where).config(|config| config.max_connections = 4);
    let rooms = URLRouter::new([few]).unwrap();
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(rooms)).workers(2));
    let threads = threads(&server, "/few/a/", 8).await;
    assert_eq!(threads.into_values().collect::<Vec<_>>(), [4, 4]);
    server.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn rooms_have_their_threads_behind_a_unix_socket_too() {
    let place = crate::listening::Place::new();
    let served = serve_bound(server(2).bind_uds(place.socket()).unwrap());
    let connect = async || {
        let stream = tokio::net::UnixStream::connect(place.socket()).await.unwrap();
        Socket(within(client_async("ws://localhost/ws/a/", stream)).await.unwrap().0)
    };
    assert_eq!(threads_of(6, connect).await.len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn what_has_no_argument_is_no_room() {
    let server = serve(server(2));
    let threads = threads(&server, "/lobby/", 6).await;
    assert_eq!(threads.into_values().collect::<Vec<_>>(), [3, 3], "they stay where they were accepted: in turns");
    server.stop().await;
}

#[tokio::test]
async fn rooms_are_found_below_the_root_path() {
    let server = serve(server(2).root_path("/chat"));
    let threads = threads(&server, "/chat/ws/a/", 6).await;
    assert_eq!(threads.len(), 1);
    server.stop().await;
}

/// More than is read to see what is asked for, and more than the request; each is accepted by both threads in turns.
#[tokio::test]
async fn all_that_was_sent_moves_with_the_socket() {
    let server = serve(server(2));
    let long = handshake("/ws/a/", &format!("X-Long: {}\r\n", "x".repeat(8 * 1024)));
    let with_more = [handshake("/ws/a/", "").into_bytes(), frame(FIN | TEXT, "where?")].concat();
    let mut threads = BTreeSet::new();
    for _ in 0..2 {
        let mut client = Raw::connect(server.address).await;
        client.write(&long).await;
        assert_eq!(client.response().await.status, 101);
        threads.insert(thread_of(&mut client).await);
    }
    for _ in 0..2 {
        let mut client = Raw::connect(server.address).await;
        client.write(&with_more).await;
        assert_eq!(client.response().await.status, 101);
        threads.insert(client.text().await);
    }
    assert_eq!(threads.len(), 1, "{threads:?}");
    server.stop().await;
}

/// Longer than the server waits to see what is asked for.
#[tokio::test]
async fn a_client_may_think_before_its_handshake() {
    let server = serve(server(2));
    let mut clients = [Raw::connect(server.address).await, Raw::connect(server.address).await];
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for client in &mut clients {
        client.write(handshake("/ws/a/", "")).await;
        assert_eq!(client.response().await.status, 101);
        thread_of(client).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_was_moved_is_told_of_the_end() {
    let server = serve(server(2));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.connect("/ws/a/").await);
    }
    let stopped = server.stop();
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 1012);
    }
    stopped.await;
}
