//! The server with the contract that every peer has too: a text goes, as it is, to every member of its room.
//!
//! An ordinary application, written as the tutorial teaches; nothing in it is made for the measurement.
//! `/ws/<room>/` has a pure handler, which runs once for all members; `/each/<room>/` has one that runs for each of them.
//! An argument says how many worker threads there are, if not one for each processor.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::{env, io};

use channels::{Layer, Layers, prelude::*};
use socket2::{Domain, Socket, Type};

/// Somebody said something in a room.
#[derive(Serialize, Deserialize, Event)]
#[event("room.said")]
struct Said {
    text: String,
}

/// A member of a room, where what is said is rendered once for all.
#[derive(Default)]
struct Shared {
    room: String,
}

#[consumer]
impl Consumer for Shared {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.room = format!("room_{}", cx.scope().kwarg("room")?);
        cx.group_add(&self.room).await?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.group_send(&self.room, Said { text: text.into() }).await?;
        Ok(())
    }

    #[handler]
    fn room_said(event: &Said) -> Result<Message> {
        Ok(Message::from(event.text.as_str()))
    }
}

/// A member of a room, who could answer as nobody else does.
#[derive(Default)]
struct Each {
    room: String,
}

#[consumer]
impl Consumer for Each {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.room = format!("each_{}", cx.scope().kwarg("room")?);
        cx.group_add(&self.room).await?;
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.group_send(&self.room, Said { text: text.into() }).await?;
        Ok(())
    }

    #[handler]
    async fn room_said(&mut self, cx: &mut Context, event: &Said) -> Result<()> {
        cx.send(event.text.as_str())?;
        Ok(())
    }
}

/// A connection whose messages come straight back.
struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }
}

/// A socket on an address that several processes listen on: the kernel divides the connections among them.
fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(2048)?;
    Ok(socket.into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([
        path("ws/<slug:room>/", Shared::default),
        path("each/<slug:room>/", Each::default),
        path("echo/", || Echo),
    ])?);
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let mut server = Server::new(app);
    if let Ok(url) = env::var("LAYER") {
        server = server.layers(Layers::from(Layer::from_url(&url)?));
    }
    server = match env::var_os("REUSE_PORT") {
        Some(_) => server.listen(shared(format!("{host}:{port}").parse()?)?),
        None => server.bind(format!("{host}:{port}"))?,
    };
    if let Some(workers) = env::args().nth(1) {
        server = server.workers(workers.parse()?);
    }
    for address in server.addresses() {
        println!("http://{address}/");
    }
    channels::run(server.run())?;
    Ok(())
}
