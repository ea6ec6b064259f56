//! Where brokers are, and how they are reached.

use channels::{
    Layer, RawEvent, event,
    layer::redis::{
        Host, RedisChannelLayer, RedisLayer, RedisOptions, RedisOptionsError, RedisPubSubChannelLayer,
        SerializerFormat, Tls,
    },
};

use super::{
    server::{Authority, RedisServer, Sentinel, encrypted_cluster, prefix},
    until_ready,
};
use crate::{logs, support::within};

async fn works(options: RedisOptions) {
    let layers = [
        Layer::new(RedisLayer::new(options.clone()).unwrap()),
        Layer::new(RedisChannelLayer::new(options.clone()).unwrap()),
        Layer::new(RedisPubSubChannelLayer::new(options).unwrap()),
    ];
    for layer in layers {
        until_ready(&layer, true).await;
        let mine = layer.new_channel().await.unwrap();
        layer.group_add("room", &mine).await.unwrap();
        layer.group_send("room", event!({"type": "numbered", "n": 1})).await.unwrap();
        let event = within(layer.receive(&mine)).await.unwrap();
        assert_eq!(event.decode::<RawEvent>().unwrap()["n"], 1);
    }
}

#[tokio::test]
async fn a_password_a_database_and_a_unix_socket() {
    let server = RedisServer::with(&["--requirepass", "secret"]);
    works(RedisOptions::from(format!("redis://:secret@127.0.0.1:{}/3", server.port))).await;
    works(RedisOptions::from(format!("unix://{}?pass=secret&db=2", server.socket().display()))).await;
    let wrong = Layer::new(RedisLayer::new(server.url().as_str()).unwrap());
    let error = wrong.group_send("room", event!({"type": "numbered"})).await.unwrap_err();
    assert_eq!(error.to_string(), format!("broker `{}` failed", server.url()));
}

#[tokio::test]
async fn a_user_of_its_own_needs_what_the_page_says() {
    let user = ["--user", "app", "on", ">a/secret", "~asgi*", "&*", "+@all", "-@admin"];
    let server = RedisServer::with(&[user.as_slice(), &["--user", "default", "off"]].concat());
    works(RedisOptions::from(format!("redis://app:a%2Fsecret@127.0.0.1:{}", server.port))).await;
    logs::keep();
    let prefix = prefix();
    let refused = async |who: &str, said: &[&str]| {
        let options = RedisOptions::from(format!("redis://{who}127.0.0.1:{}", server.port)).prefix(&prefix);
        let layer = Layer::new(RedisLayer::new(options).unwrap());
        let error = layer.group_send("room", event!({"type": "numbered"})).await.unwrap_err();
        assert_eq!(error.to_string(), format!("broker `{}` failed", server.url()), "without a password");
        logs::wait_for(said).await;
        assert!(!layer.is_ready());
    };
    let url = server.url();
    let wrong = [url.as_str(), "the broker refuses the command; trying again", "Password authentication failed"];
    refused("app:wrong@", &wrong).await;
    refused("other:a%2Fsecret@", &wrong).await;
    refused("", &[prefix.as_str(), "the broker refuses the command", "NOAUTH"]).await;
}

#[tokio::test]
async fn what_a_user_may_not_is_said_with_the_key() {
    logs::keep();
    let server = RedisServer::with(&["--user", "app", "on", ">secret", "~shop*", "&*", "+@all"]);
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port);
    let layer = Layer::new(RedisLayer::new(RedisOptions::from(url).prefix("elsewhere")).unwrap());
    layer.send("work", event!({"type": "numbered"})).await.unwrap_err();
    logs::wait_for(&["elsewherework", "the broker refuses the command", "permission"]).await;
}

#[tokio::test]
async fn the_master_that_a_sentinel_names() {
    let server = RedisServer::start();
    let sentinel = Sentinel::of(&server);
    works(RedisOptions::from(Host::sentinel([("127.0.0.1", sentinel.port)], "main").db(1))).await;
}

#[tokio::test]
async fn sentinels_and_their_master_may_have_passwords_and_one_that_says_nothing_is_passed_over() {
    let server = RedisServer::with(&["--requirepass", "secret"]);
    let sentinel = Sentinel::with(server.port, 1, "sentinel auth-pass main secret\nrequirepass other\n");
    // It takes connections, and answers nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [silent.local_addr().unwrap().port(), sentinel.port].map(|port| ("127.0.0.1", port));
    let host = Host::sentinel(ports, "main").db(1).password("secret");
    works(RedisOptions::from(host.clone().sentinel_password("other"))).await;
    let refused = Layer::new(RedisLayer::new(host).unwrap());
    assert!(refused.group_send("room", event!({"type": "numbered"})).await.is_err());
}

#[tokio::test]
async fn encrypted_connections_may_believe_an_authority_of_their_own_and_show_who_they_are() {
    let authority = Authority::new();
    let mut options = authority.options();
    let answer = options.iter().position(|option| option == "--tls-auth-clients").unwrap() + 1;
    options[answer] = "yes".to_owned();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = RedisServer::with(&options);
    let url = format!("rediss://127.0.0.1:{}/1", authority.port);
    let trusting = Tls::default().authority(std::fs::read(authority.certificate()).unwrap());
    let (certificate, key) = authority.identity();
    let known = trusting.clone().identity(certificate, key);
    works(RedisOptions::from(Host::from(url.as_str()).tls(known.clone()))).await;
    let nobody = Layer::new(RedisLayer::new(Host::from(url.as_str()).tls(trusting)).unwrap());
    assert!(nobody.group_send("room", event!({"type": "numbered"})).await.is_err());

    let (port, conf) = authority.sentinel();
    let _sentinel = Sentinel::with(authority.port, 1, &conf);
    let host = Host::sentinel([("127.0.0.1", port)], "main").db(1).tls(known.clone()).sentinel_tls(known);
    works(RedisOptions::from(host)).await;
    drop(server);
}

#[tokio::test]
async fn an_encrypted_cluster_is_believed_by_its_authority() {
    let authority = Authority::new();
    let (_nodes, url) = encrypted_cluster(&authority);
    let trusting = Tls::default().authority(std::fs::read(authority.certificate()).unwrap());
    let layer = Layer::new(RedisLayer::new(Host::from(url.as_str()).tls(trusting)).unwrap());
    until_ready(&layer, true).await;
    // In slots of all of them.
    for n in 0..10 {
        let (mine, group) = (layer.new_channel().await.unwrap(), format!("room-{n}"));
        layer.group_add(group.as_str(), &mine).await.unwrap();
        layer.group_send(group.as_str(), event!({"type": "numbered", "n": n})).await.unwrap();
        assert_eq!(within(layer.receive(&mine)).await.unwrap().decode::<RawEvent>().unwrap()["n"], n);
        assert_eq!(layer.group_size(group.as_str()).await.unwrap(), 1);
    }
    let stranger = Layer::new(RedisLayer::new(url.as_str()).unwrap());
    assert!(stranger.group_send("room", event!({"type": "numbered"})).await.is_err(), "it does not know the authority");
}

/// Where the broker of the test below is, for its child.
const TLS: &str = "CHANNELS_TEST_TLS";

#[tokio::test]
#[ignore = "the child of the next test"]
async fn a_process_that_trusts_the_authority() {
    works(RedisOptions::from(std::env::var(TLS).expect("it is started by a test"))).await;
}

#[tokio::test]
async fn an_encrypted_connection_is_made_to_whom_an_authority_vouches_for() {
    let authority = Authority::new();
    let options = authority.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = RedisServer::with(&options);
    let url = format!("rediss://127.0.0.1:{}/1", authority.port);
    let trusting = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["redis::addresses::a_process_that_trusts_the_authority", "--exact", "--ignored"])
        .env("SSL_CERT_FILE", authority.certificate())
        .env(TLS, &url)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(within(trusting).await.unwrap().success());
    // This process does not know the authority.
    let layer = Layer::new(RedisLayer::new(url.as_str()).unwrap());
    assert!(layer.group_send("room", event!({"type": "numbered"})).await.is_err());
    drop(server);
}

#[test]
fn what_is_wrong_is_said_when_the_layer_is_made() {
    let error = RedisLayer::new("localhost:6379").err().unwrap();
    assert_eq!(error.to_string(), "`localhost:6379` is not the address of a redis host, as redis://127.0.0.1:6379 is");
    let none = RedisOptions::hosts(Vec::<Host>::new());
    assert!(matches!(RedisChannelLayer::new(none), Err(RedisOptionsError::NoHost)));
    let cluster = "redis+cluster://user:secret@127.0.0.1:1,127.0.0.1:2";
    let errors = [RedisChannelLayer::new(cluster).err(), RedisPubSubChannelLayer::new(cluster).err()];
    for error in errors {
        assert_eq!(
            error.unwrap().to_string(),
            "`redis+cluster://127.0.0.1:1,127.0.0.1:2` is a cluster, which only `RedisLayer` can use; name single brokers \
             for this layer"
        );
    }
    assert!(matches!(RedisLayer::new("redis+cluster://127.0.0.1:1/1"), Err(RedisOptionsError::Host { .. })));
    let event = RedisOptions::default().on_disconnect("_private");
    assert!(matches!(RedisLayer::new(event), Err(RedisOptionsError::Event(_))));
    let prefix = RedisOptions::default().prefix("two words");
    assert!(matches!(RedisPubSubChannelLayer::new(prefix), Err(RedisOptionsError::Prefix { .. })));
}

#[tokio::test]
async fn a_url_says_what_the_options_say() {
    let server = RedisServer::with(&["--requirepass", "secret"]);
    let settings =
        "mode=core&prefix=shop&symmetric_encryption_keys=a%20key&serializer_format=json&random_prefix_length=7";
    let by_url = Layer::from_url(&format!("unix://{}?pass=secret&db=2&{settings}", server.socket().display())).unwrap();
    let options = RedisOptions::from(format!("redis://:secret@127.0.0.1:{}/2", server.port)).prefix("shop");
    let options = options.symmetric_encryption_keys(["a key"]).serializer_format(SerializerFormat::Json);
    let by_options = Layer::new(RedisChannelLayer::new(options.random_prefix_length(7)).unwrap());
    for (from, to) in [(&by_url, &by_options), (&by_options, &by_url)] {
        from.send("work", event!({"type": "numbered", "n": 1})).await.unwrap();
        let event = within(to.receive("work")).await.unwrap();
        assert_eq!(event.decode::<RawEvent>().unwrap()["n"], 1);
    }
    for (query, error) in [
        ("serializer_format=xml", "layer: `serializer_format` is to be `msgpack` or `json`, not `xml`"),
        ("mode=fast", "layer: `mode` is to be `own`, `core` or `pubsub`, not `fast`"),
    ] {
        assert_eq!(Layer::from_url(&format!("redis://127.0.0.1:1?{query}")).unwrap_err().to_string(), error);
    }
}

#[cfg(feature = "toml")]
#[test]
fn a_file_says_what_the_options_say() {
    use channels::layer::LayersConfig;

    let text = |keys| format!("[layers.x]\nurl = 'redis://127.0.0.1:1'\nsymmetric_encryption_keys = {keys}");
    assert!(LayersConfig::parse(&text("['new', 'old']")).unwrap().layers().is_ok());
    let error = LayersConfig::parse(&text("['new', 7]")).unwrap().layers().err().unwrap();
    assert_eq!(
        error.to_string(),
        "line 3: `layers.x.symmetric_encryption_keys` is to be a list of texts, not a list with 7"
    );
}

#[cfg(feature = "toml")]
#[tokio::test]
async fn a_file_may_name_several_hosts() {
    use channels::layer::LayersConfig;

    let (first, second) = (RedisServer::start(), RedisServer::with(&["--requirepass", "secret"]));
    let hosts = [first.url(), format!("unix://{}?pass=secret&db=2", second.socket().display())];
    let file = format!("[layers.default]\nhosts = {hosts:?}\nmode = 'core'\nprefix = 'shop'");
    let by_file = LayersConfig::parse(&file).unwrap().layers().unwrap().get("default").unwrap().clone();
    let options = RedisOptions::hosts(hosts.clone()).prefix("shop");
    let by_options = Layer::new(RedisChannelLayer::new(options).unwrap());
    let channels = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for channel in channels {
        by_file.send(channel, event!({"type": "told"})).await.unwrap();
    }
    for (host, database) in [(&hosts[0], "db0:keys="), (&hosts[1], "db2:keys=")] {
        let mut connection = redis::Client::open(host.as_str()).unwrap().get_connection().unwrap();
        let keys: String = redis::cmd("INFO").arg("keyspace").query(&mut connection).unwrap();
        assert!(keys.contains(database), "the channels are spread over both: {keys}");
    }
    for channel in channels {
        assert_eq!(within(by_options.receive(channel)).await.unwrap().name(), "told");
    }
}

#[cfg(feature = "toml")]
#[test]
fn what_is_wrong_in_a_file_is_said_with_its_key_and_line() {
    use std::error::Error;

    use channels::layer::LayersConfig;

    for (settings, text, cause) in [
        (
            "hosts = ['redis://127.0.0.1:1', 'redis://127.0.0.1:2?mode=core']",
            "line 2: there is no setting `layers.x.hosts[1].mode` (there are: none)",
            None,
        ),
        (
            "hosts = ['unix:///run/redis.sock?database=1']",
            "line 2: there is no setting `layers.x.hosts[0].database` (there are: db, pass, user)",
            None,
        ),
        (
            "mode = 'core'\nhosts = [\n'redis://127.0.0.1:1',\n'redis+cluster://:secret@127.0.0.1:2']",
            "line 3: `layers.x.hosts` makes no layer over redis",
            Some(
                "`redis+cluster://127.0.0.1:2` is a cluster, which only `RedisLayer` can use; name single brokers for this \
                 layer",
            ),
        ),
        (
            "mode = 'core'\nurl = 'redis://:secret@127.0.0.1:port'",
            "line 3: `layers.x.url` makes no layer over redis",
            Some("`redis://127.0.0.1:port` is not the address of a redis host, as redis://127.0.0.1:6379 is"),
        ),
        (
            "url = 'redis://127.0.0.1:1'\nmode = 'pubsub'\nprefix = 'two words'",
            "line 4: `layers.x.prefix` makes no layer over redis",
            Some("prefix `two words` cannot begin a channel's name: at most 16 ASCII letters, digits, `-`, `_`, `.`"),
        ),
        (
            "url = 'redis://127.0.0.1:1'\nmode = 'fast'",
            "line 3: `layers.x.mode` is to be `own`, `core` or `pubsub`, not `fast`",
            None,
        ),
        (
            "hosts = ['memory://', 'memory://']",
            "line 2: `layers.x.hosts` is to be of several brokers, not of a layer in \
          memory, which is in this process alone",
            None,
        ),
    ] {
        let error = LayersConfig::parse(&format!("[layers.x]\n{settings}")).unwrap().layers().err().unwrap();
        assert_eq!((error.to_string().as_str(), error.source().map(ToString::to_string).as_deref()), (text, cause));
    }
}

#[test]
fn a_layer_is_made_from_a_url() {
    for url in [
        "memory://",
        "redis://127.0.0.1:1",
        "redis://127.0.0.1:1?mode=core",
        "redis://127.0.0.1:1?mode=pubsub&prefix=shop",
        "rediss://127.0.0.1:1/2",
        "redis+cluster://127.0.0.1:1,127.0.0.1:2",
        "rediss+cluster://user:secret@127.0.0.1:1?prefix=shop",
        "unix:///tmp/none.sock",
    ] {
        assert!(Layer::from_url(url).is_ok(), "{url}");
    }
    let error = Layer::from_url("amqp://x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer: `url` has the scheme `amqp://`, which no channel layer has (there are: memory://, redis://, rediss://, \
         redis+cluster://, rediss+cluster://, unix://)"
    );
}
