//! A network that may fail without a word.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy before a server on this machine.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// How often it was silenced.
    silenced: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let silenced = watch::Sender::new(0);
        let silence = silenced.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, silence.clone()));
            }
        });
        Self { port, silenced }
    }

    /// From now on nothing comes back on the connections that there are; they stay open. New ones are as before.
    pub(crate) fn silence(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }
}

async fn carry(client: TcpStream, server: u16, mut silenced: watch::Receiver<u32>) {
    silenced.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let back = async {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let is_silenced = silenced.has_changed().unwrap_or(true);
            if !is_silenced && to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        () = back => {}
    }
}
