//! Which layer a URL means. A new kind of layer is one line here.

use super::{LayersConfigError, settings::Settings};
use crate::layer::{InMemoryChannelLayer, Layer, Limits};

/// Makes a layer of where it is, limits, and settings of its own, which it takes.
type Open = fn(Addresses, Limits, &mut Settings) -> Result<Layer, LayersConfigError>;

/// Where a layer is: one URL, or several hosts.
struct Addresses {
    /// `url` or `hosts`, with the tables that it stands in.
    key: String,
    place: String,
    /// With what the query of each of several says; that of a single one is among the layer's settings.
    urls: Vec<(String, Option<Settings>)>,
}

impl Addresses {
    /// Takes `url`, whose query are further settings of the layer, or `hosts`.
    fn take(settings: &mut Settings) -> Result<Self, LayersConfigError> {
        let key = |key: &str, settings: &Settings| (format!("{}{key}", settings.prefix), settings.place_of(key));
        let (hosts_key, hosts_place) = key("hosts", settings);
        let (url_key, url_place) = key("url", settings);
        match (settings.text("url")?, settings.texts("hosts")?) {
            (Some(url), None) => {
                let (url, query) = url.split_once('?').unwrap_or((&url, ""));
                settings.add(super::plain(&settings.place, query)?);
                Ok(Self { key: url_key, place: url_place, urls: vec![(url.to_owned(), None)] })
            }
            (None, Some(urls)) if !urls.is_empty() => {
                let each = |(at, url): (usize, &String)| {
                    let (url, query) = url.split_once('?').unwrap_or((url, ""));
                    let query = super::plain(&hosts_place, query)?;
                    let query = Settings::new(format!("{hosts_key}[{at}]."), hosts_place.clone(), query);
                    Ok((url.to_owned(), Some(query)))
                };
                let urls = urls.iter().enumerate().map(each).collect::<Result<_, _>>()?;
                Ok(Self { key: hosts_key, place: hosts_place, urls })
            }
            (None, Some(_)) => {
                let (wanted, got) = ("a list of URLs".to_owned(), "an empty one".to_owned());
                Err(LayersConfigError::Value { place: hosts_place, key: hosts_key, wanted, got })
            }
            (None, None) => Err(LayersConfigError::Missing { place: settings.place.clone(), key: url_key }),
            (Some(_), Some(_)) => {
                let (wanted, got) = ("in the place of `url`".to_owned(), "beside it".to_owned());
                Err(LayersConfigError::Value { place: hosts_place, key: hosts_key, wanted, got })
            }
        }
    }

    fn wrong(&self, wanted: &str, got: impl Into<String>) -> LayersConfigError {
        let (place, key) = (self.place.clone(), self.key.clone());
        LayersConfigError::Value { place, key, wanted: wanted.to_owned(), got: got.into() }
    }

    /// What opens a layer there.
    fn backend(&self) -> Result<Open, LayersConfigError> {
        let schemes = self.urls.iter().map(|(url, _)| match url.split_once("://") {
            Some((scheme, _)) => Ok(scheme),
            // It may hold a password, so it is not shown.
            None => Err(self.wrong("a URL, as `memory://`", "a text without `://`")),
        });
        let schemes = schemes.collect::<Result<Vec<_>, _>>()?;
        let backends = schemes.into_iter().map(|scheme| self.backend_of(scheme)).collect::<Result<Vec<_>, _>>()?;
        Ok(backends[0])
    }

    fn backend_of(&self, scheme: &str) -> Result<Open, LayersConfigError> {
        if let Some((_, open)) = BACKENDS.iter().find(|(known, _)| *known == scheme) {
            return Ok(*open);
        }
        let (place, key) = (self.place.clone(), self.key.clone());
        Err(match FEATURES.iter().find(|(known, _)| *known == scheme) {
            Some((_, feature)) => {
                LayersConfigError::MissingFeature { place, what: format!("`{key}` with `{scheme}://`"), feature }
            }
            None => {
                let schemes =
                    BACKENDS.iter().map(|(scheme, _)| *scheme).chain(FEATURES.iter().map(|(scheme, _)| *scheme));
                let known = schemes.map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
                LayersConfigError::UnknownScheme { place, key, scheme: scheme.to_owned(), known }
            }
        })
    }
}

/// What stands before `://`, and what it makes.
const BACKENDS: &[(&str, Open)] = &[
    ("memory", memory),
    #[cfg(feature = "redis")]
    ("redis", redis),
    #[cfg(feature = "redis")]
    ("rediss", redis),
    #[cfg(feature = "redis")]
    ("redis+cluster", redis),
    #[cfg(feature = "redis")]
    ("rediss+cluster", redis),
    #[cfg(feature = "redis")]
    ("unix", redis),
];

/// Layers that are compiled in with a feature.
const FEATURES: &[(&str, &str)] = if cfg!(feature = "redis") {
    &[]
} else {
    &[
        ("redis", "redis"),
        ("rediss", "redis"),
        ("redis+cluster", "redis"),
        ("rediss+cluster", "redis"),
        ("unix", "redis"),
    ]
};

/// The layer of these settings.
pub(super) fn open(mut settings: Settings) -> Result<Layer, LayersConfigError> {
    let addresses = Addresses::take(&mut settings)?;
    let open = addresses.backend()?;
    let limits = settings.limits()?;
    let layer = open(addresses, limits, &mut settings)?;
    settings.finish()?;
    Ok(layer)
}

fn memory(addresses: Addresses, limits: Limits, _: &mut Settings) -> Result<Layer, LayersConfigError> {
    match addresses.urls.as_slice() {
        [(url, None)] if url == "memory://" => Ok(Layer::new(InMemoryChannelLayer::new(limits))),
        [(url, None)] => Err(addresses.wrong("`memory://` and nothing behind it", format!("`{url}`"))),
        _ => Err(addresses.wrong("of several brokers", "of a layer in memory, which is in this process alone")),
    }
}

/// Settings of its own: `mode`, which is `own` (the default), `core` or `pubsub`; Channels' `prefix`, `symmetric_encryption_keys`,
/// `serializer_format` and `random_prefix_length`; and what a unix socket's address has in its query.
#[cfg(feature = "redis")]
fn redis(mut addresses: Addresses, limits: Limits, settings: &mut Settings) -> Result<Layer, LayersConfigError> {
    use crate::layer::redis::{
        RedisChannelLayer, RedisLayer, RedisOptions, RedisOptionsError, RedisPubSubChannelLayer, SerializerFormat,
    };

    let wrong = |settings: &Settings, place, key: &str, wanted: &str, got: &str| LayersConfigError::Value {
        place,
        key: format!("{}{key}", settings.prefix),
        wanted: wanted.to_owned(),
        got: format!("`{got}`"),
    };
    let mut options = RedisOptions::hosts(hosts(&mut addresses.urls, settings)?).limits(limits);
    let prefix_place = settings.place_of("prefix");
    if let Some(prefix) = settings.text("prefix")? {
        options = options.prefix(prefix);
    }
    if let Some(keys) = settings.texts("symmetric_encryption_keys")? {
        options = options.symmetric_encryption_keys(keys);
    }
    if let Some(bytes) = settings.count("random_prefix_length")? {
        options = options.random_prefix_length(bytes);
    }
    let place = settings.place_of("serializer_format");
    match settings.text("serializer_format")?.as_deref() {
        None => {}
        Some("msgpack") => options = options.serializer_format(SerializerFormat::Msgpack),
        Some("json") => options = options.serializer_format(SerializerFormat::Json),
        Some(other) => return Err(wrong(settings, place, "serializer_format", "`msgpack` or `json`", other)),
    }
    let place = settings.place_of("mode");
    let layer = match settings.text("mode")?.as_deref() {
        None | Some("own") => RedisLayer::new(options).map(Layer::new),
        Some("core") => RedisChannelLayer::new(options).map(Layer::new),
        Some("pubsub") => RedisPubSubChannelLayer::new(options).map(Layer::new),
        Some(other) => return Err(wrong(settings, place, "mode", "`own`, `core` or `pubsub`", other)),
    };
    layer.map_err(|source| {
        let (place, key) = match source {
            RedisOptionsError::Prefix { .. } => (prefix_place, format!("{}prefix", settings.prefix)),
            _ => (addresses.place, addresses.key),
        };
        LayersConfigError::Redis { place, key, source }
    })
}

/// The brokers; a unix socket's address has settings in its query, the others have none.
#[cfg(feature = "redis")]
fn hosts(urls: &mut [(String, Option<Settings>)], settings: &mut Settings) -> Result<Vec<String>, LayersConfigError> {
    let host = |url: &str, query: &mut Settings| match url.starts_with("unix:") {
        true => socket(url, query),
        false => Ok(url.to_owned()),
    };
    let hosts = urls.iter_mut().map(|(url, query)| {
        let Some(mut query) = query.take() else { return host(url, settings) };
        let host = host(url, &mut query)?;
        query.finish()?;
        Ok(host)
    });
    hosts.collect()
}

/// The address of a unix socket with its database, user and password, which stand in its query.
#[cfg(feature = "redis")]
fn socket(url: &str, settings: &mut Settings) -> Result<String, LayersConfigError> {
    let mut query = Vec::new();
    for key in ["db", "user", "pass"] {
        query.extend(settings.text(key)?.map(|value| (key, value)));
    }
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    Ok(format!("{url}?{query}"))
}
