//! Which layer a URL means. A new kind of layer is one line here.

use super::{LayersConfigError, settings::Settings};
use crate::layer::{InMemoryChannelLayer, Layer, Limits};

/// Makes a layer of a URL without its query, limits, and settings of its own, which it takes.
type Open = fn(&str, Limits, &mut Settings) -> Result<Layer, LayersConfigError>;

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

/// The layer of these settings. They say `url`, which may have a query of further ones.
pub(super) fn open(mut settings: Settings) -> Result<Layer, LayersConfigError> {
    let place = settings.place.clone();
    let key = format!("{}url", settings.prefix);
    let Some(url) = settings.text("url")? else { return Err(LayersConfigError::Missing { place, key }) };
    let (url, query) = url.split_once('?').unwrap_or((&url, ""));
    settings.add(super::plain(&place, query)?);
    let Some((scheme, _)) = url.split_once("://") else {
        // It may hold a password, so it is not shown.
        let (wanted, got) = ("a URL, as `memory://`".to_owned(), "a text without `://`".to_owned());
        return Err(LayersConfigError::Value { place, key, wanted, got });
    };
    let Some((_, open)) = BACKENDS.iter().find(|(known, _)| *known == scheme) else {
        let scheme = scheme.to_owned();
        return Err(match FEATURES.iter().find(|(known, _)| *known == scheme) {
            Some((_, feature)) => LayersConfigError::MissingFeature { place, what: format!("`{scheme}://`"), feature },
            None => {
                let schemes =
                    BACKENDS.iter().map(|(scheme, _)| *scheme).chain(FEATURES.iter().map(|(scheme, _)| *scheme));
                let known = schemes.map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
                LayersConfigError::UnknownScheme { place, scheme, known }
            }
        });
    };
    let limits = settings.limits()?;
    let layer = open(url, limits, &mut settings)?;
    settings.finish()?;
    Ok(layer)
}

fn memory(url: &str, limits: Limits, settings: &mut Settings) -> Result<Layer, LayersConfigError> {
    if url != "memory://" {
        let (place, key) = (settings.place.clone(), format!("{}url", settings.prefix));
        let (wanted, got) = ("`memory://` and nothing behind it".to_owned(), format!("`{url}`"));
        return Err(LayersConfigError::Value { place, key, wanted, got });
    }
    Ok(Layer::new(InMemoryChannelLayer::new(limits)))
}

/// Settings of its own: `mode`, which is `own` (the default), `core` or `pubsub`; Channels' `prefix`, `symmetric_encryption_keys`,
/// `serializer_format` and `random_prefix_length`; and what a unix socket's address has in its query.
#[cfg(feature = "redis")]
fn redis(url: &str, limits: Limits, settings: &mut Settings) -> Result<Layer, LayersConfigError> {
    use crate::layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer, SerializerFormat};

    let place = settings.place.clone();
    let wrong = |key: &str, wanted: &str, got: &str| LayersConfigError::Value {
        place: place.clone(),
        key: key.to_owned(),
        wanted: wanted.to_owned(),
        got: format!("`{got}`"),
    };
    let mut options = RedisOptions::from(match url.starts_with("unix:") {
        true => socket(url, settings)?,
        false => url.to_owned(),
    });
    options = options.limits(limits);
    if let Some(prefix) = settings.text("prefix")? {
        options = options.prefix(prefix);
    }
    if let Some(keys) = settings.texts("symmetric_encryption_keys")? {
        options = options.symmetric_encryption_keys(keys);
    }
    if let Some(bytes) = settings.count("random_prefix_length")? {
        options = options.random_prefix_length(bytes);
    }
    let key = format!("{}serializer_format", settings.prefix);
    match settings.text("serializer_format")?.as_deref() {
        None => {}
        Some("msgpack") => options = options.serializer_format(SerializerFormat::Msgpack),
        Some("json") => options = options.serializer_format(SerializerFormat::Json),
        Some(other) => return Err(wrong(&key, "`msgpack` or `json`", other)),
    }
    let key = format!("{}mode", settings.prefix);
    let layer = match settings.text("mode")?.as_deref() {
        None | Some("own") => RedisLayer::new(options).map(Layer::new),
        Some("core") => RedisChannelLayer::new(options).map(Layer::new),
        Some("pubsub") => RedisPubSubChannelLayer::new(options).map(Layer::new),
        Some(other) => return Err(wrong(&key, "`own`, `core` or `pubsub`", other)),
    };
    layer.map_err(|source| LayersConfigError::Redis { place, source })
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
