//! Listening for HTTP, with the sockets where sessions can take them over.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_rt::net::TcpStream;
#[cfg(unix)]
use actix_rt::net::UnixStream;
use actix_server::ServerBuilder;
use actix_service::{
    IntoServiceFactory as _, Service as _, ServiceFactory, ServiceFactoryExt as _,
    boxed::{RcService, rc_service},
    fn_factory, fn_service, map_config,
};
use actix_web::{dev::AppConfig, web::ServiceConfig};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config, Front, Listener, Socket,
    mount::service,
    placement::{Moved, Placement, Threads},
    takeover::Io,
};
use crate::ProtocolTypeRouter;
#[cfg(target_os = "linux")]
use crate::session::TICK;

/// What is served on every address.
#[derive(Clone)]
pub(super) struct Http<M> {
    pub(super) app: ProtocolTypeRouter,
    pub(super) mount: M,
    pub(super) front: Front,
    pub(super) config: Arc<Config>,
    /// Connections on which no request is under way end when it is cancelled.
    pub(super) stopping: CancellationToken,
    /// The connections that HTTP still needs.
    pub(super) connections: TaskTracker,
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
        let threads = Threads::default();
        // actix-web wants an address for every listener.
        let address = listener.address().unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let stall_timeout = self.config.stall_timeout;
        match listener {
            Listener::Tcp(listener) => server.listen(name, listener, move || {
                http.clone().doors(address, false, threads.clone(), move |door, stream: TcpStream| async move {
                    let peer = prepare(&stream, stall_timeout);
                    door.enter(stream.into(), peer).await
                })
            }),
            #[cfg(unix)]
            Listener::Unix(listener) => server.listen_uds(name, listener, move || {
                http.clone().doors(address, false, threads.clone(), |door, stream: UnixStream| async move {
                    door.enter(stream.into(), None).await
                })
            }),
            #[cfg(feature = "tls")]
            Listener::Tls(listener, config) => server.listen(name, listener, move || {
                let (acceptor, timeout) =
                    (tokio_rustls::TlsAcceptor::from(config.clone()), http.config.handshake_timeout);
                http.clone().doors(address, true, threads.clone(), move |door, stream: TcpStream| {
                    let acceptor = acceptor.clone();
                    async move {
                        let (peer, is_late) = (prepare(&stream, stall_timeout), door.stopping.is_cancelled());
                        match super::tls::accept(acceptor, stream, timeout).await {
                            Ok((mut socket, protocol)) => {
                                socket.put(door.placement.here.place());
                                door.serve(socket, protocol, peer, !is_late).await
                            }
                            Err(error) => {
                                tracing::debug!(?peer, %error, "a TLS handshake failed");
                                Err(DispatchError::Io(error))
                            }
                        }
                    }
                })
            }),
        }
    }

    /// Opens a door for one listener, on each thread; `enter` is how the streams that are accepted there go through it.
    fn doors<S, F>(
        self,
        address: SocketAddr,
        secure: bool,
        threads: Threads,
        enter: impl Fn(Rc<Door>, S) -> F + Clone + 'static,
    ) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()>
    where
        S: 'static,
        F: Future<Output = Result<(), DispatchError>> + 'static,
    {
        fn_factory(move || {
            let (http, threads, enter) = (self.clone(), threads.clone(), enter.clone());
            async move {
                let connections = http.connections.clone();
                let door = http.door(address, secure, threads).await?;
                Ok(fn_service(move |stream| {
                    // Who comes when only the last requests are waited for is served, and not waited for.
                    let waited_for = (!door.stopping.is_cancelled()).then(|| connections.token());
                    let served = enter(door.clone(), stream);
                    async move {
                        let _waited_for = waited_for;
                        served.await
                    }
                }))
            }
        })
    }

    async fn door(self, address: SocketAddr, secure: bool, threads: Threads) -> Result<Rc<Door>, ()> {
        let Self { app, mount, front, config: settings, stopping, connections } = self;
        let root_path = front.root_path.clone();
        let services =
            service(app.clone(), mount, front).into_factory().map_err(|error: actix_web::Error| error.error_response());
        // The only way to tell actix-web an address; its own test server goes it as well.
        let config = AppConfig::__priv_test_new(secure, address.to_string(), address);
        let http = HttpService::build()
            .client_disconnect_timeout(Duration::ZERO)
            .on_connect_ext(|io: &Io, data| {
                data.insert(io.takeover());
            })
            .finish(map_config(services, move |()| config.clone()));
        let http = rc_service(http.new_service(()).await?);
        let (here, arrivals) = threads.enter();
        let door = Rc::new(Door {
            http,
            stopping,
            connections,
            placement: Placement { app, root_path, config: settings, threads, here },
        });
        actix_rt::spawn(door.clone().receive(arrivals));
        Ok(door)
    }
}

/// The HTTP server of one listener, on one thread.
struct Door {
    http: RcService<Opened, (), DispatchError>,
    stopping: CancellationToken,
    connections: TaskTracker,
    placement: Placement,
}

impl Door {
    /// Serves a socket on the thread where it belongs.
    async fn enter(&self, mut socket: Socket, peer: Option<SocketAddr>) -> Result<(), DispatchError> {
        let is_late = self.stopping.is_cancelled();
        let thread = tokio::select! {
            thread = self.placement.of(&mut socket) => thread,
            () = self.stopping.cancelled() => self.placement.here.clone(),
        };
        socket.put(thread.place());
        if Arc::ptr_eq(&thread, &self.placement.here) {
            return self.serve(socket, Protocol::Http1, peer, !is_late).await;
        }
        let (served, over) = oneshot::channel();
        match thread.give(Moved { socket: socket.unplug()?, peer, served }) {
            Ok(()) => {
                let _ = over.await;
                Ok(())
            }
            Err(refused) => self.serve(refused.socket.plug()?, Protocol::Http1, peer, !is_late).await,
        }
    }

    async fn serve(
        &self,
        socket: Socket,
        protocol: Protocol,
        peer: Option<SocketAddr>,
        idle: bool,
    ) -> Result<(), DispatchError> {
        let io = Io::new(socket, protocol, idle, &self.stopping, self.connections.clone());
        self.http.call((io, protocol, peer)).await
    }

    /// Serves what other threads have accepted for this one.
    async fn receive(self: Rc<Self>, mut arrivals: mpsc::UnboundedReceiver<Moved>) {
        while let Some(Moved { socket, peer, served }) = arrivals.recv().await {
            let door = self.clone();
            actix_rt::spawn(async move {
                let over = match socket.plug() {
                    Ok(socket) => door.serve(socket, Protocol::Http1, peer, true).await,
                    Err(error) => Err(DispatchError::Io(error)),
                };
                if let Err(error) = over {
                    tracing::debug!(?peer, %error, "a connection has failed");
                }
                let _ = served.send(());
            });
        }
    }
}

/// Without delay, and ended by the kernel when the client takes no bytes for so long, even if it answers probes: not before
/// its session was looked at, if something waits there. Says who it is.
fn prepare(stream: &TcpStream, stall_timeout: Duration) -> Option<SocketAddr> {
    // Without them bursts are slower, and a stalled connection costs its buffers until its peer is gone: no reason to
    // refuse it.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(stall_timeout.saturating_add(2 * TICK)));
    #[cfg(not(target_os = "linux"))]
    let _ = stall_timeout;
    stream.peer_addr().ok()
}
