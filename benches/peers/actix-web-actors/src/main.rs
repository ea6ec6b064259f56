//! Rooms by plain actix-web-actors, after actix's chat example: one actor has the rooms and knows each member's mailbox.
//!
//! As it is usual there: a thread for each processor, and the chat actor on the thread of `main`.

use std::collections::{HashMap, HashSet};
use std::{env, io};

use actix::prelude::*;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use actix_web_actors::ws;
use actix_web_actors::ws::{Message as Frame, ProtocolError, WebsocketContext};

/// Something that was said, on its way to one member.
#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Said(bytestring::ByteString);

#[derive(Message)]
#[rtype(result = "()")]
struct Join {
    room: String,
    member: Recipient<Said>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Leave {
    room: String,
    member: Recipient<Said>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Say {
    room: String,
    said: Said,
}

#[derive(Default)]
struct Chat {
    rooms: HashMap<String, HashSet<Recipient<Said>>>,
}

impl Actor for Chat {
    type Context = Context<Self>;
}

impl Handler<Join> for Chat {
    type Result = ();

    fn handle(&mut self, Join { room, member }: Join, _: &mut Context<Self>) {
        self.rooms.entry(room).or_default().insert(member);
    }
}

impl Handler<Leave> for Chat {
    type Result = ();

    fn handle(&mut self, Leave { room, member }: Leave, _: &mut Context<Self>) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.remove(&member);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

impl Handler<Say> for Chat {
    type Result = ();

    fn handle(&mut self, Say { room, said }: Say, _: &mut Context<Self>) {
        for member in self.rooms.get(&room).into_iter().flatten() {
            member.do_send(said.clone());
        }
    }
}

struct Member {
    room: String,
    chat: Addr<Chat>,
}

impl Actor for Member {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.chat.do_send(Join { room: self.room.clone(), member: context.address().recipient() });
    }

    fn stopped(&mut self, context: &mut Self::Context) {
        self.chat.do_send(Leave { room: self.room.clone(), member: context.address().recipient() });
    }
}

impl Handler<Said> for Member {
    type Result = ();

    fn handle(&mut self, Said(text): Said, context: &mut Self::Context) {
        context.text(text);
    }
}

impl StreamHandler<Result<Frame, ProtocolError>> for Member {
    fn handle(&mut self, frame: Result<Frame, ProtocolError>, context: &mut Self::Context) {
        match frame {
            Ok(Frame::Text(text)) => self.chat.do_send(Say { room: self.room.clone(), said: Said(text) }),
            Ok(Frame::Ping(bytes)) => context.pong(&bytes),
            Ok(Frame::Close(reason)) => {
                context.close(reason);
                context.stop();
            }
            Ok(_) => {}
            Err(_) => context.stop(),
        }
    }
}

struct Echo;

impl Actor for Echo {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Frame, ProtocolError>> for Echo {
    fn handle(&mut self, frame: Result<Frame, ProtocolError>, context: &mut Self::Context) {
        match frame {
            Ok(Frame::Text(text)) => context.text(text),
            Ok(Frame::Ping(bytes)) => context.pong(&bytes),
            Ok(Frame::Close(reason)) => {
                context.close(reason);
                context.stop();
            }
            Ok(_) => {}
            Err(_) => context.stop(),
        }
    }
}

async fn room(
    request: HttpRequest,
    room: Path<String>,
    payload: Payload,
    chat: Data<Addr<Chat>>,
) -> Result<HttpResponse, Error> {
    let chat = Addr::clone(&chat);
    ws::start(Member { room: room.into_inner(), chat }, &request, payload)
}

async fn echo(request: HttpRequest, payload: Payload) -> Result<HttpResponse, Error> {
    ws::start(Echo, &request, payload)
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let chat = Data::new(Chat::default().start());
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8000);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::clone(&chat))
            .route("/ws/{room}/", web::get().to(room))
            .route("/echo/", web::get().to(echo))
    })
    .tcp_nodelay(true)
    .bind(("127.0.0.1", port))?;
    println!("http://{}/", server.addrs()[0]);
    server.run().await
}
