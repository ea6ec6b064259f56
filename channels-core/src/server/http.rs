//! Listening for HTTP, with the sockets where sessions can take them over.

use std::{future::ready, io, net::TcpListener, time::Duration};

use actix_http::{HttpService, Protocol};
use actix_rt::net::TcpStream;
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{dev::AppConfig, web::ServiceConfig};
use tokio_util::sync::CancellationToken;

use super::{service, takeover::Io};
use crate::ProtocolTypeRouter;

/// What is served on every address.
#[derive(Clone)]
pub(super) struct Http<M> {
    pub(super) app: ProtocolTypeRouter,
    pub(super) mount: M,
    pub(super) stall_timeout: Duration,
}

impl<M> Http<M>
where
    M: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    /// Adds an address. Connections on which no request is under way end when `stopping` is cancelled.
    pub(super) fn serve(
        &self,
        listener: TcpListener,
        server: ServerBuilder,
        stopping: &CancellationToken,
    ) -> io::Result<ServerBuilder> {
        let address = listener.local_addr()?;
        let (http, stopping) = (self.clone(), stopping.clone());
        server.listen(address.to_string(), listener, move || {
            let Http { app, mount, stall_timeout } = http.clone();
            let stopping = stopping.clone();
            let app = service(app, mount).into_factory().map_err(|error: actix_web::Error| error.error_response());
            // The only way to tell actix-web an address; its own test server goes it as well.
            let config = AppConfig::__priv_test_new(false, address.to_string(), address);
            let open = move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                prepare(&stream, stall_timeout);
                ready(Ok((Io::new(stream, &stopping), Protocol::Http1, peer)))
            };
            let http = HttpService::build()
                .client_disconnect_timeout(Duration::ZERO)
                .on_connect_ext(|io: &Io, data| {
                    data.insert(io.takeover());
                })
                .finish(map_config(app, move |()| config.clone()));
            fn_service(open).and_then(http)
        })
    }
}

/// Without delay, and ended by the kernel when the client takes no bytes for so long, even if it answers probes.
fn prepare(stream: &TcpStream, stall_timeout: Duration) {
    // Without them bursts are slower, and a stalled connection costs its buffers until its peer is gone: no reason to
    // refuse it.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(stall_timeout));
    #[cfg(not(target_os = "linux"))]
    let _ = stall_timeout;
}
