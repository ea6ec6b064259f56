//! Where a server listens.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
};
#[cfg(unix)]
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, on each address.
const BACKLOG: i32 = 2_048;

/// An open socket on which clients are accepted.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
    #[cfg(feature = "tls")]
    Tls(TcpListener, std::sync::Arc<rustls::ServerConfig>),
}

impl Listener {
    /// Its address on the network, if it has one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(listener, _) => listener.local_addr().ok(),
        }
    }
}

impl fmt::Display for Listener {
    /// What a client would be given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self {
            Self::Tcp(_) => "http",
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                return write!(f, "unix:{}", path.unwrap_or(Path::new("(without a path)")).display());
            }
            #[cfg(feature = "tls")]
            Self::Tls(..) => "https",
        };
        match self.address() {
            Some(address) => write!(f, "{scheme}://{address}/"),
            None => write!(f, "{scheme}"),
        }
    }
}

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The file of a unix socket. Dropping it removes the file, unless another one has its place by then.
#[cfg(unix)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

#[cfg(unix)]
impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Makes a unix socket at `path`. A socket file on which nobody listens is replaced.
///
/// The file has its `mode` before it is listened on: nobody connects in between.
#[cfg(unix)]
pub(super) fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Removes what a server left that was killed; what is no socket, and what somebody listens on, stays.
#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(refused) { fs::remove_file(path) } else { Ok(()) }
}

/// The sockets that the parent of this process has opened for it, as systemd does (`sd_listen_fds(3)`).
#[cfg(unix)]
pub(super) fn inherited() -> io::Result<Vec<Listener>> {
    let mut inherited = listenfd::ListenFd::from_env();
    if inherited.len() == 0 {
        let text = "`LISTEN_FDS` names none, or `LISTEN_PID` is another process";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut listeners = Vec::new();
    for index in 0..inherited.len() {
        // What is no socket of TCP stays where it is.
        let listener = match inherited.take_tcp_listener(index) {
            Ok(listener) => listener.map(Listener::Tcp),
            Err(_) => inherited.take_unix_listener(index)?.map(Listener::Unix),
        };
        listeners.extend(listener);
    }
    Ok(listeners)
}
