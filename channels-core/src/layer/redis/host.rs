//! Where a broker is.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, TlsCertificates, TlsMode,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

/// One broker: an entry of Channels' `hosts`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::layer::redis::Host;
///
/// let url = Host::from("rediss://user:password@redis.example.com:6380/1");
/// let socket = Host::from("unix:///run/redis.sock?db=1");
/// let pair = Host::from(("127.0.0.1", 6379));
/// let sentinel = Host::sentinel([("10.0.0.1", 26379), ("10.0.0.2", 26379)], "mymaster").db(1).password("secret");
/// let sentinel = sentinel.sentinel_password("that of the Sentinels themselves");
/// let cluster = Host::from("redis+cluster://user:password@10.0.0.1:7000,10.0.0.2:7000"); // any of its nodes
/// # drop((url, socket, pair, sentinel, cluster));
/// ```
#[derive(Clone)]
pub struct Host {
    kind: Kind,
    tls: Option<Tls>,
}

#[derive(Clone)]
enum Kind {
    Url(String),
    Sentinel(Box<Sentinel>),
}

#[derive(Clone)]
struct Sentinel {
    sentinels: Vec<(String, u16)>,
    master: String,
    db: i64,
    to_master: Credentials,
    to_sentinels: Credentials,
    sentinel_tls: Option<Tls>,
}

#[derive(Clone, Default)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

/// Whom an encrypted connection believes, and who it says that it is: redis-py's `ssl_ca_certs`, `ssl_certfile` and
/// `ssl_keyfile`. A certificate that nobody vouches for is never accepted.
///
/// # Examples
///
/// ```no_run
/// # use channels_core as channels;
/// use channels::layer::redis::{Host, Tls};
///
/// let tls = Tls::default().authority(std::fs::read("/etc/redis/ca.crt")?);
/// let host = Host::from("rediss://redis.example.com:6380").tls(tls);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Tls(TlsCertificates);

impl Default for Tls {
    /// Believes whom the system knows, and shows nothing.
    fn default() -> Self {
        Self(TlsCertificates { client_tls: None, root_cert: None })
    }
}

impl Tls {
    /// Believes this authority, a certificate in PEM, and not those that the system knows.
    #[must_use]
    pub fn authority(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.0.root_cert = Some(certificate.into());
        self
    }

    /// Shows this certificate to a broker that asks for one; it and its key in PEM.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.0.client_tls = Some(ClientTlsConfig { client_cert: certificate.into(), client_key: key.into() });
        self
    }
}

impl fmt::Debug for Tls {
    /// Without certificates and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Host {
    /// The master of this name, wherever these Sentinels say that it is.
    pub fn sentinel<S: Into<String>>(sentinels: impl IntoIterator<Item = (S, u16)>, master: impl Into<String>) -> Self {
        let sentinel = Sentinel {
            sentinels: sentinels.into_iter().map(|(host, port)| (host.into(), port)).collect(),
            master: master.into(),
            db: 0,
            to_master: Credentials::default(),
            to_sentinels: Credentials::default(),
            sentinel_tls: None,
        };
        Self { kind: Kind::Sentinel(Box::new(sentinel)), tls: None }
    }

    /// The same with another database of the master's; one with a URL has it in its URL.
    #[must_use]
    pub fn db(self, number: i64) -> Self {
        self.with(|sentinel| sentinel.db = number)
    }

    /// The same with the name under which to ask the master.
    #[must_use]
    pub fn username(self, name: impl Into<String>) -> Self {
        self.with(|sentinel| sentinel.to_master.username = Some(name.into()))
    }

    /// The same with the master's password.
    #[must_use]
    pub fn password(self, secret: impl Into<String>) -> Self {
        self.with(|sentinel| sentinel.to_master.password = Some(secret.into()))
    }

    /// The same with an encrypted connection to the master, or with certificates for a `rediss://` URL, which is encrypted
    /// without it too.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same with the name under which to ask the Sentinels: `username` in Channels' `sentinel_kwargs`.
    #[must_use]
    pub fn sentinel_username(self, name: impl Into<String>) -> Self {
        self.with(|sentinel| sentinel.to_sentinels.username = Some(name.into()))
    }

    /// The same with the Sentinels' password: `password` in `sentinel_kwargs`.
    #[must_use]
    pub fn sentinel_password(self, secret: impl Into<String>) -> Self {
        self.with(|sentinel| sentinel.to_sentinels.password = Some(secret.into()))
    }

    /// The same with encrypted connections to the Sentinels: `ssl` in `sentinel_kwargs`.
    #[must_use]
    pub fn sentinel_tls(self, tls: Tls) -> Self {
        self.with(|sentinel| sentinel.sentinel_tls = Some(tls))
    }

    fn with(mut self, change: impl FnOnce(&mut Sentinel)) -> Self {
        if let Kind::Sentinel(sentinel) = &mut self.kind {
            change(sentinel);
        }
        self
    }

    /// The nodes of a cluster that are named, each as a URL; `None` when it is no cluster.
    pub(super) fn cluster_nodes(&self) -> Option<Result<Vec<String>, RedisError>> {
        let Kind::Url(url) = &self.kind else { return None };
        let (scheme, rest) =
            url.split_once("+cluster://").filter(|(scheme, _)| matches!(*scheme, "redis" | "rediss"))?;
        let (credentials, nodes) = rest.rsplit_once('@').map_or(("", rest), |(user, nodes)| (user, nodes));
        let nodes = nodes.trim_end_matches('/');
        if nodes.contains('/') {
            return Some(Err(RedisError::from((ErrorKind::InvalidClientConfig, "a cluster has only database 0"))));
        }
        let at = if credentials.is_empty() { "" } else { "@" };
        if scheme == "rediss" {
            install_crypto();
        }
        Some(Ok(nodes.split(',').map(|node| format!("{scheme}://{credentials}{at}{node}")).collect()))
    }

    /// What an encrypted connection is to know.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        self.tls.clone().map(|Tls(certificates)| certificates)
    }

    /// Checks that it is one, without connecting.
    pub(super) fn connector(&self) -> Result<Connector, RedisError> {
        match &self.kind {
            Kind::Url(url) => {
                let info = url.as_str().into_connection_info()?;
                let is_encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
                if is_encrypted {
                    install_crypto();
                }
                let client = match self.certificates() {
                    Some(certificates) if is_encrypted => Client::build_with_tls(info, certificates)?,
                    Some(_) => {
                        let why = "certificates are for `rediss://` and Sentinels";
                        return Err(RedisError::from((ErrorKind::InvalidClientConfig, why)));
                    }
                    None => Client::open(info)?,
                };
                Ok(Connector::One(Box::new(client)))
            }
            Kind::Sentinel(sentinel) => {
                let clients = sentinel.sentinels.iter().map(|(host, port)| {
                    let (host, port) = (host.clone(), *port);
                    let address = match &sentinel.sentinel_tls {
                        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
                        None => ConnectionAddr::Tcp(host, port),
                    };
                    Ok(tokio::sync::Mutex::new(sentinel.client(address, self.tls.as_ref())?))
                });
                let clients = clients.collect::<Result<Vec<_>, RedisError>>()?;
                if clients.is_empty() {
                    return Err(RedisError::from((ErrorKind::InvalidClientConfig, "no Sentinel is named")));
                }
                Ok(Connector::Sentinels { clients, first: AtomicUsize::new(0) })
            }
        }
    }
}

impl Sentinel {
    /// What asks one of them, and then its master.
    fn client(&self, address: ConnectionAddr, tls: Option<&Tls>) -> Result<SentinelClient, RedisError> {
        let mut builder = SentinelClientBuilder::new([address], self.master.clone(), SentinelServerType::Master)?
            .set_client_to_redis_db(self.db);
        if let Some(username) = &self.to_master.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.to_master.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &self.to_sentinels.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &self.to_sentinels.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(Tls(certificates)) = tls {
            install_crypto();
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            builder = builder.set_client_to_redis_certificates(certificates.clone());
        }
        if let Some(Tls(certificates)) = &self.sentinel_tls {
            install_crypto();
            builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    }
}

fn install_crypto() {
    // Another part of the program may have chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl From<&str> for Host {
    fn from(url: &str) -> Self {
        Self { kind: Kind::Url(url.to_owned()), tls: None }
    }
}

impl From<String> for Host {
    fn from(url: String) -> Self {
        Self { kind: Kind::Url(url), tls: None }
    }
}

impl From<(&str, u16)> for Host {
    fn from((host, port): (&str, u16)) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self { kind: Kind::Url(format!("redis://{host}:{port}")), tls: None }
    }
}

impl fmt::Display for Host {
    /// Without user name and password, so that it may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Url(url) => {
                // A query may have a password as well.
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                let place = place.split_once('?').map_or(place, |(place, _)| place);
                if scheme.is_empty() { f.write_str(place) } else { write!(f, "{scheme}://{place}") }
            }
            Kind::Sentinel(sentinel) => {
                write!(f, "{} of", sentinel.master)?;
                sentinel.sentinels.iter().try_for_each(|(host, port)| write!(f, " {host}:{port}"))
            }
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({self})")
    }
}

/// What makes connections to a host.
pub(super) enum Connector {
    One(Box<Client>),
    Sentinels {
        /// One for each Sentinel.
        clients: Vec<tokio::sync::Mutex<SentinelClient>>,
        /// Which of them is asked first.
        first: AtomicUsize,
    },
}

impl Connector {
    /// How to reach the broker now: a Sentinel is asked each time, since the master may be another one. One that is waited for
    /// in vain, until the caller gives up, is not the first that is asked the next time.
    pub(super) async fn client(&self) -> Result<Client, RedisError> {
        let (clients, first) = match self {
            Self::One(client) => return Ok((**client).clone()),
            Self::Sentinels { clients, first } => (clients, first),
        };
        let (begin, mut step) = (first.load(Ordering::Relaxed), 0);
        loop {
            let at = (begin + step) % clients.len();
            step += 1;
            first.store(at + 1, Ordering::Relaxed);
            match clients[at].lock().await.async_get_client().await {
                Ok(client) => {
                    first.store(at, Ordering::Relaxed);
                    return Ok(client);
                }
                Err(error) if step == clients.len() => return Err(error),
                Err(error) => tracing::debug!(%error, "a Sentinel knows no master"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_without_its_password() {
        assert_eq!(Host::from("redis://me:secret@a:1/2").to_string(), "redis://a:1/2");
        assert_eq!(Host::from("unix:///run/a.sock?db=1&pass=secret").to_string(), "unix:///run/a.sock");
        assert_eq!(Host::from("secret@a:1").to_string(), "a:1");
        assert_eq!(Host::from(("::1", 6379)).to_string(), "redis://[::1]:6379");
        let sentinel = Host::sentinel([("a", 1), ("b", 2)], "main").password("secret").sentinel_password("secret");
        assert_eq!(format!("{sentinel:?}"), "Host(main of a:1 b:2)");
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        let nodes = |url| Host::from(url).cluster_nodes().map(|nodes| nodes.map_err(|error| error.to_string()));
        assert_eq!(nodes("redis://a:1"), None);
        assert_eq!(nodes("redis+cluster://a:1,b:2/"), Some(Ok(vec!["redis://a:1".into(), "redis://b:2".into()])));
        assert_eq!(
            nodes("rediss+cluster://u:p@a:1,b:2"),
            Some(Ok(vec!["rediss://u:p@a:1".into(), "rediss://u:p@b:2".into()]))
        );
        assert!(nodes("redis+cluster://a:1/3").is_some_and(|nodes| nodes.is_err()));
        assert_eq!(Host::from("redis+cluster://u:p@a:1,b:2").to_string(), "redis+cluster://a:1,b:2");
    }

    #[test]
    fn what_channels_calls_a_host_is_one() {
        for url in
            ["redis://localhost:6379/1", "rediss://:pw@h:6380", "unix:///run/redis.sock?db=1&pass=x", "redis+unix:///a"]
        {
            assert!(Host::from(url).connector().is_ok(), "{url}");
        }
        assert!(Host::from("localhost").connector().is_err());
        let sentinel = Host::sentinel([("a", 1)], "main").db(2).username("x").password("y");
        assert!(sentinel.sentinel_username("x").sentinel_tls(Tls::default()).tls(Tls::default()).connector().is_ok());
        assert!(Host::sentinel(Vec::<(String, u16)>::new(), "main").connector().is_err());
        assert!(Host::from("redis://a:1").tls(Tls::default()).connector().is_err(), "it would not be encrypted");
    }
}
