//! Where a broker is.

use std::{fmt, time::Duration};

use redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
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
/// let cluster = Host::from("redis+cluster://user:password@10.0.0.1:7000,10.0.0.2:7000"); // any of its nodes
/// # drop((url, socket, pair, sentinel, cluster));
/// ```
#[derive(Clone)]
pub struct Host(Kind);

#[derive(Clone)]
enum Kind {
    Url(String),
    Sentinel {
        sentinels: Vec<(String, u16)>,
        master: String,
        db: i64,
        username: Option<String>,
        password: Option<String>,
    },
}

impl Host {
    /// The master of this name, wherever these Sentinels say that it is.
    pub fn sentinel<S: Into<String>>(sentinels: impl IntoIterator<Item = (S, u16)>, master: impl Into<String>) -> Self {
        let sentinels = sentinels.into_iter().map(|(host, port)| (host.into(), port)).collect();
        Self(Kind::Sentinel { sentinels, master: master.into(), db: 0, username: None, password: None })
    }

    /// The same with another database of the master's; one with a URL has it in its URL.
    #[must_use]
    pub fn db(mut self, number: i64) -> Self {
        if let Kind::Sentinel { db, .. } = &mut self.0 {
            *db = number;
        }
        self
    }

    /// The same with the name under which to ask the master.
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        if let Kind::Sentinel { username, .. } = &mut self.0 {
            *username = Some(name.into());
        }
        self
    }

    /// The same with the master's password.
    #[must_use]
    pub fn password(mut self, secret: impl Into<String>) -> Self {
        if let Kind::Sentinel { password, .. } = &mut self.0 {
            *password = Some(secret.into());
        }
        self
    }

    /// The nodes of a cluster that are named, each as a URL; `None` when it is no cluster.
    pub(super) fn cluster_nodes(&self) -> Option<Result<Vec<String>, RedisError>> {
        let Kind::Url(url) = &self.0 else { return None };
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

    /// Checks that it is one, without connecting.
    pub(super) fn connector(&self) -> Result<Connector, RedisError> {
        match &self.0 {
            Kind::Url(url) => {
                let info = url.as_str().into_connection_info()?;
                if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                    install_crypto();
                }
                Ok(Connector::One(Box::new(Client::open(info)?)))
            }
            Kind::Sentinel { sentinels, master, db, username, password } => {
                let sentinels = sentinels.iter().map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port));
                let mut builder = SentinelClientBuilder::new(sentinels, master.clone(), SentinelServerType::Master)?
                    .set_client_to_redis_db(*db);
                if let Some(username) = username {
                    builder = builder.set_client_to_redis_username(username);
                }
                if let Some(password) = password {
                    builder = builder.set_client_to_redis_password(password);
                }
                Ok(Connector::Sentinel(Box::new(tokio::sync::Mutex::new(builder.build()?))))
            }
        }
    }
}

fn install_crypto() {
    // Another part of the program may have chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl From<&str> for Host {
    fn from(url: &str) -> Self {
        Self(Kind::Url(url.to_owned()))
    }
}

impl From<String> for Host {
    fn from(url: String) -> Self {
        Self(Kind::Url(url))
    }
}

impl From<(&str, u16)> for Host {
    fn from((host, port): (&str, u16)) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self(Kind::Url(format!("redis://{host}:{port}")))
    }
}

impl fmt::Display for Host {
    /// Without user name and password, so that it may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Url(url) => match (url.find("://"), url.rfind('@')) {
                (Some(scheme), Some(at)) if at > scheme => write!(f, "{}://{}", &url[..scheme], &url[at + 1..]),
                _ => f.write_str(url),
            },
            Kind::Sentinel { sentinels, master, .. } => {
                write!(f, "{master} of")?;
                sentinels.iter().try_for_each(|(host, port)| write!(f, " {host}:{port}"))
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
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
}

impl Connector {
    /// How to reach the broker now: a Sentinel is asked each time, since the master may be another one.
    pub(super) async fn client(&self) -> Result<Client, RedisError> {
        match self {
            Self::One(client) => Ok(Client::clone(client)),
            Self::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }
}

/// How long to wait before the `attempt`th time, from 0, that a broker is tried again: about 50 ms at first, at most about
/// a second, so that delivery resumes soon after its return; a random part keeps processes from coming all at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    let whole = 50_u64 << attempt.min(4);
    Duration::from_millis(whole / 2 + fastrand::u64(0..=whole / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_without_its_password() {
        assert_eq!(Host::from("redis://me:secret@a:1/2").to_string(), "redis://a:1/2");
        assert_eq!(Host::from(("::1", 6379)).to_string(), "redis://[::1]:6379");
        let sentinel = Host::sentinel([("a", 1), ("b", 2)], "main").password("secret");
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
        assert!(Host::sentinel([("a", 1)], "main").db(2).username("x").password("y").connector().is_ok());
    }

    #[test]
    fn the_wait_grows_to_a_second_and_never_is_the_same_for_all() {
        for attempt in 0..100 {
            let wait = backoff(attempt);
            assert!(wait >= Duration::from_millis(25) && wait <= Duration::from_millis(800), "{wait:?}");
        }
    }
}
