//! Listening for HTTP, with the sockets where sessions can take them over.

use std::{
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_rt::net::TcpStream;
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{dev::AppConfig, web::ServiceConfig};
use tokio_util::sync::CancellationToken;

use super::{Front, Listener, Socket, mount::service, takeover::Io};
use crate::ProtocolTypeRouter;

/// What is served on every address.
#[derive(Clone)]
pub(super) struct Http<M> {
    pub(super) app: ProtocolTypeRouter,
    pub(super) mount: M,
    pub(super) front: Front,
    pub(super) stall_timeout: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls_timeout: Duration,
    /// Connections on which no request is under way end when it is cancelled.
    pub(super) stopping: CancellationToken,
}

/// What comes out of a socket that was accepted.
type Opened = (Io, Protocol, Option<SocketAddr>);

impl<M> Http<M>
where
    M: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    /// Adds an address.
    pub(super) fn serve(&self, listener: Listener, server: ServerBuilder) -> io::Result<ServerBuilder> {
        let (http, name) = (self.clone(), listener.to_string());
        // actix-web wants an address for every listener.
        let address = listener.address().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        match listener {
            Listener::Tcp(listener) => server.listen(name, listener, move || {
                let opening = http.clone();
                let open = move |stream: TcpStream| {
                    let peer = opening.prepare(&stream);
                    ready(Ok(opening.open(Socket::Tcp(stream), Protocol::Http1, peer)))
                };
                fn_service(open).and_then(http.http(address, false))
            }),
            #[cfg(unix)]
            Listener::Unix(listener) => server.listen_uds(name, listener, move || {
                let opening = http.clone();
                let open = move |stream| ready(Ok(opening.open(Socket::Unix(stream), Protocol::Http1, None)));
                fn_service(open).and_then(http.http(address, false))
            }),
            #[cfg(feature = "tls")]
            Listener::Tls(listener, config) => server.listen(name, listener, move || {
                let (opening, acceptor) = (http.clone(), tokio_rustls::TlsAcceptor::from(config.clone()));
                let open = move |stream: TcpStream| {
                    let (opening, acceptor) = (opening.clone(), acceptor.clone());
                    async move {
                        let peer = opening.prepare(&stream);
                        match super::tls::accept(acceptor, stream, opening.tls_timeout).await {
                            Ok((socket, protocol)) => Ok(opening.open(socket, protocol, peer)),
                            Err(error) => {
                                tracing::debug!(?peer, %error, "a TLS handshake failed");
                                Err(DispatchError::Io(error))
                            }
                        }
                    }
                };
                fn_service(open).and_then(http.http(address, true))
            }),
        }
    }

    /// The HTTP server of one listener, on one thread.
    fn http(
        &self,
        address: SocketAddr,
        secure: bool,
    ) -> impl ServiceFactory<Opened, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<M> {
        let Self { app, mount, front, .. } = self.clone();
        let app = service(app, mount, front).into_factory().map_err(|error: actix_web::Error| error.error_response());
        // The only way to tell actix-web an address; its own test server goes it as well.
        let config = AppConfig::__priv_test_new(secure, address.to_string(), address);
        HttpService::build()
            .client_disconnect_timeout(Duration::ZERO)
            .on_connect_ext(|io: &Io, data| {
                data.insert(io.takeover());
            })
            .finish(map_config(app, move |()| config.clone()))
    }

    fn open(&self, socket: Socket, protocol: Protocol, peer: Option<SocketAddr>) -> Opened {
        (Io::new(socket, protocol, &self.stopping), protocol, peer)
    }

    /// Without delay, and ended by the kernel when the client takes no bytes for so long, even if it answers probes. Says
    /// who it is.
    fn prepare(&self, stream: &TcpStream) -> Option<SocketAddr> {
        // Without them bursts are slower, and a stalled connection costs its buffers until its peer is gone: no reason to
        // refuse it.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(self.stall_timeout));
        #[cfg(not(target_os = "linux"))]
        let _ = self.stall_timeout;
        stream.peer_addr().ok()
    }
}
