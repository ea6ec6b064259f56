//! Those who take their time: handshakes without an end, and clients that never read.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::target::Target;
use crate::{
    raw::{BINARY, FIN, Raw, frame, handshake},
    support::within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_come_byte_by_byte_are_given_up() {
    let target = Target::start().await;
    let trickle = (0..200).map(async |_| {
        let mut client = Raw::connect(target.address).await;
        let endless = handshake("/slow", &format!("X-Padding: {}\r\n", "x".repeat(10_000)));
        let talk = async {
            for byte in endless.bytes() {
                if !client.try_write([byte]).await {
                    return false;
                }
                let mut answer = [0; 512];
                // The pause of the attack, in which an answer may come.
                match timeout(Duration::from_millis(100), client.stream.read(&mut answer)).await {
                    Ok(Ok(read)) if read > 0 => {
                        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..read]));
                        return true;
                    }
                    Ok(_) => return false,
                    Err(_) => {}
                }
            }
            panic!("the whole of a handshake was waited for");
        };
        within(talk).await
    });
    // Some are cut while they write, and cannot be told.
    let told = join_all(trickle).await.into_iter().filter(|told| *told).count();
    assert!(told > 100, "{told} of 200 were told 408");
    target.survives_within(32).await;
}

/// The HTTP server gives up the first request of a connection alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_a_later_request_of_a_connection_waited_for() {
    const FIRST: &str = "GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const SECOND: &str = "GET /slow HTTP/1.1\r\nX-Padding: ";
    let target = Target::start().await;
    let both = [FIRST, SECOND].concat();
    let given_up = [(FIRST, "G", false), (FIRST, SECOND, false), (FIRST, SECOND, true), (&*both, "", true)].map(
        async |(first, second, trickles)| {
            let mut client = Raw::connect(target.address).await;
            client.write(first).await;
            assert_eq!(client.response().await.status, 426);
            client.write(second).await;
            let end = async {
                // The pause of the attack, in which the end may come.
                while timeout(Duration::from_millis(100), client.stream.read(&mut [0])).await.is_err() {
                    if trickles && !client.try_write("x").await {
                        break;
                    }
                }
            };
            within(end).await;
        },
    );
    join_all(given_up).await;
    target.survives_within(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_whose_headers_never_end_is_refused() {
    let target = Target::start().await;
    let mut client = Raw::connect(target.address).await;
    client.write("GET / HTTP/1.1\r\nHost: localhost\r\n").await;
    let line = format!("X-Padding: {}\r\n", "x".repeat(8_000));
    let mut sent = 0;
    while sent < 64 << 20 && client.try_write(&line).await {
        sent += line.len();
    }
    assert!(sent < 64 << 20, "all of it is read");
    target.survives_within(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_and_never_read_are_cut_and_cost_no_more_than_what_may_wait() {
    const CLIENTS: usize = 16;
    let target = Target::start().await;
    let message = frame(FIN | BINARY, vec![7; 1 << 16]);
    let talk = (0..CLIENTS).map(async |_| {
        let mut client = Raw::connect_narrow(target.address).await.upgrade("/deaf").await;
        // Until nothing more is taken for a while, or the server has had enough.
        while let Ok(Ok(())) = timeout(Duration::from_millis(500), client.stream.write_all(&message)).await {}
        client
    });
    let clients = join_all(talk).await;
    for _ in 0..CLIENTS {
        // There is nobody to tell a code. Whether the server or its kernel is the first to give up is a matter of chance.
        let end = target.end_of("/deaf");
        assert!(end.starts_with("1006"), "{end}");
    }
    // A mebibyte of what may wait for each, and as much on its way in.
    target.survives_within(2 * CLIENTS as u64 + 32).await;
    drop(clients);
}
