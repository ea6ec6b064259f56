//! Rooms by actix-ws, after the chat example in its repository: a list of sessions behind a lock for each room.
//!
//! As it is usual there: a thread for each processor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, io};

use actix_web::web::{self, Data, Path, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, rt};
use actix_ws::{AggregatedMessage, Session};
use bytestring::ByteString;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// The sessions of one room.
#[derive(Clone, Default)]
struct Room(Arc<tokio::sync::Mutex<Vec<Session>>>);

impl Room {
    async fn join(&self, session: Session) {
        self.0.lock().await.push(session);
    }

    /// Sends to everyone, and forgets those that have left.
    async fn say(&self, text: ByteString) {
        let mut sessions = self.0.lock().await;
        let mut sending = FuturesUnordered::new();
        for mut session in sessions.drain(..) {
            let text = text.clone();
            sending.push(async move { session.text(text).await.map(|()| session) });
        }
        while let Some(sent) = sending.next().await {
            sessions.extend(sent);
        }
    }
}

#[derive(Default)]
struct Rooms(Mutex<HashMap<String, Room>>);

impl Rooms {
    fn room(&self, name: String) -> Room {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }
}

async fn room(
    request: HttpRequest,
    name: Path<String>,
    payload: Payload,
    rooms: Data<Rooms>,
) -> Result<HttpResponse, Error> {
    let (response, mut session, stream) = actix_ws::handle(&request, payload)?;
    let mut stream = stream.aggregate_continuations();
    let room = rooms.room(name.into_inner());
    room.join(session.clone()).await;
    rt::spawn(async move {
        while let Some(Ok(message)) = stream.recv().await {
            let sent = match message {
                AggregatedMessage::Text(text) => {
                    room.say(text).await;
                    Ok(())
                }
                AggregatedMessage::Ping(bytes) => session.pong(&bytes).await,
                AggregatedMessage::Close(reason) => {
                    let _ = session.close(reason).await;
                    return;
                }
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

async fn echo(request: HttpRequest, payload: Payload) -> Result<HttpResponse, Error> {
    let (response, mut session, stream) = actix_ws::handle(&request, payload)?;
    let mut stream = stream.aggregate_continuations();
    rt::spawn(async move {
        while let Some(Ok(message)) = stream.recv().await {
            let sent = match message {
                AggregatedMessage::Text(text) => session.text(text).await,
                AggregatedMessage::Ping(bytes) => session.pong(&bytes).await,
                AggregatedMessage::Close(reason) => {
                    let _ = session.close(reason).await;
                    return;
                }
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let rooms = Data::new(Rooms::default());
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&rooms))
            .route("/ws/{room}/", web::get().to(room))
            .route("/echo/", web::get().to(echo))
    })
    .tcp_nodelay(true)
    .bind(("127.0.0.1", port))?;
    println!("http://{}/", server.addrs()[0]);
    server.run().await
}
