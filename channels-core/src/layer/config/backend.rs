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

/// Settings of its own: `mode`, which is `own` (the default), `core` or `pubsub`, and `prefix`.
#[cfg(feature = "redis")]
fn redis(url: &str, limits: Limits, settings: &mut Settings) -> Result<Layer, LayersConfigError> {
    use crate::layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer};

    let (place, key) = (settings.place.clone(), format!("{}mode", settings.prefix));
    let mut options = RedisOptions::from(url).limits(limits);
    if let Some(prefix) = settings.text("prefix")? {
        options = options.prefix(prefix);
    }
    let layer = match settings.text("mode")?.as_deref() {
        None | Some("own") => RedisLayer::new(options).map(Layer::new),
        Some("core") => RedisChannelLayer::new(options).map(Layer::new),
        Some("pubsub") => RedisPubSubChannelLayer::new(options).map(Layer::new),
        Some(other) => {
            let (wanted, got) = ("`own`, `core` or `pubsub`".to_owned(), format!("`{other}`"));
            return Err(LayersConfigError::Value { place, key, wanted, got });
        }
    };
    layer.map_err(|source| LayersConfigError::Redis { place, source })
}
