//! The layers of an application, from a file or from the environment: Channels' `CHANNEL_LAYERS`.

mod backend;
mod error;
#[cfg(feature = "toml")]
mod file;
mod settings;

#[cfg(feature = "toml")]
use std::path::Path;

pub use self::error::LayersConfigError;
use self::settings::{Setting, Settings, Value};
use super::{Layer, Layers};

/// Variables whose names start so hold the URLs of layers; the rest of the name is the alias.
const VARIABLE: &str = "CHANNEL_LAYER_";
/// What stands behind the alias of a layer that is for tests.
const TEST: &str = "__TEST";
/// The variable that names a file.
const FILE_VARIABLE: &str = "CHANNEL_LAYERS";
/// What all of them begin with.
const OURS: &str = "CHANNEL_LAYER";

/// The channel layers of an application, as they are written down: Channels' `CHANNEL_LAYERS`.
///
/// It comes from a TOML file (feature `toml`) or from the environment; [`layers`](Self::layers) makes the layers of it,
/// and [`test_layers`](Self::test_layers) those that tests are to have. What nobody knows is an error that names it and
/// the line where it stands.
///
/// # The file
///
/// ```toml
/// [layers.default]
/// url = "redis://127.0.0.1:6379/0" # or memory://
/// capacity = 500                   # events that wait in one channel; 100 unless it is said
/// expiry = 60                      # seconds that one may wait there
/// group_expiry = 86400             # seconds that a named channel stays in a group
/// presence_capacity = 10000        # connections that may be present in one group
///
/// [layers.default.channel_capacity] # the first pattern that fits counts
/// "thumbnails.*" = 10               # a glob
/// '^mail\.\d+$' = 1000              # a regular expression: it starts with ^
///
/// [layers.default.test]
/// url = "memory://"
///
/// [layers.telemetry]
/// url = "memory://?capacity=10"     # the same settings, in the URL
///
/// [layers.shop]                      # those of the feature `redis`, with Channels' names
/// url = "redis://127.0.0.1:6379/1"   # or rediss://, redis+cluster://, rediss+cluster://, unix:///run/redis.sock?db=1&pass=secret
/// mode = "core"                      # or pubsub; our own unless it is said
/// prefix = "shop"
/// symmetric_encryption_keys = ["a new secret", "an old one"] # a URL has one
/// serializer_format = "msgpack"      # or json
/// random_prefix_length = 12          # bytes
///
/// [layers.shards]
/// hosts = ["redis://10.0.0.1:6379/1", "redis://10.0.0.2:6379/1"] # several brokers: Channels' hosts, in its order
/// ```
///
/// # The environment
///
/// `CHANNEL_LAYER_DEFAULT=redis://127.0.0.1:6379/0?capacity=500` is the layer `default`, and so on for other aliases, in
/// lower case; `CHANNEL_LAYER_DEFAULT__TEST` is what tests have instead. Capacities of channels stand in the query as well, as
/// `channel_capacity.mail.*=1000`. Or `CHANNEL_LAYERS=channels.toml` names a file. Where both speak of a layer, the variable
/// counts. Any other variable that begins with `CHANNEL_LAYER` is an error that names it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::layer::LayersConfig;
///
/// let vars = [("CHANNEL_LAYER_DEFAULT".to_owned(), "memory://?capacity=500".to_owned())];
/// let layers = LayersConfig::from_vars(vars)?.layers()?; // in a program: `LayersConfig::from_env()?.layers()?`
/// assert!(layers.get("default").is_ok());
/// # Ok::<(), channels::layer::LayersConfigError>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct LayersConfig {
    layers: Vec<Configured>,
}

#[derive(Clone, Debug)]
struct Configured {
    alias: String,
    settings: Settings,
    test: Option<Settings>,
}

impl LayersConfig {
    /// What a TOML file says.
    ///
    /// # Errors
    ///
    /// [`LayersConfigError`]: it cannot be read, is no TOML, or has keys that there are not.
    #[cfg(feature = "toml")]
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LayersConfigError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| LayersConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self { layers: file::parse(&text, &format!("{}:", path.display()))? })
    }

    /// What a text in TOML says.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::layer::LayersConfig;
    ///
    /// let config = LayersConfig::parse("[layers.default]\nurl = 'memory://'\ncapcity = 7")?;
    /// assert_eq!(
    ///     config.layers().unwrap_err().to_string(),
    ///     "line 3: there is no setting `layers.default.capcity` \
    ///      (there are: capacity, channel_capacity, expiry, group_expiry, hosts, presence_capacity, url)"
    /// );
    /// # Ok::<(), channels::layer::LayersConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    #[cfg(feature = "toml")]
    pub fn parse(text: &str) -> Result<Self, LayersConfigError> {
        Ok(Self { layers: file::parse(text, "line ")? })
    }

    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), for a variable that begins with `CHANNEL_LAYER` and says nothing, and for a file where the feature
    /// `toml` is off.
    pub fn from_env() -> Result<Self, LayersConfigError> {
        // What is not Unicode belongs to somebody else.
        Self::from_vars(std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(OURS))?;
            Some((name, value.to_string_lossy().into_owned()))
        }))
    }

    /// What these environment variables say; those that do not begin with `CHANNEL_LAYER` are left alone.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, LayersConfigError> {
        let mut config = Self::default();
        let (mut layers, mut tests) = (Vec::new(), Vec::new());
        for (name, value) in vars {
            if name == FILE_VARIABLE {
                config = Self::from_file_variable(value)?;
            } else if name.starts_with(OURS) {
                let alias = name.strip_prefix(VARIABLE).unwrap_or_default();
                let (alias, of) = match alias.strip_suffix(TEST) {
                    Some(alias) => (alias, &mut tests),
                    None => (alias, &mut layers),
                };
                // Two underscores are no part of an alias: what stands behind them is a setting that there is not.
                if alias.is_empty() || alias.contains("__") {
                    let known = format!("{FILE_VARIABLE}, {VARIABLE}<ALIAS>, {VARIABLE}<ALIAS>{TEST}");
                    return Err(LayersConfigError::UnknownKey {
                        place: "the environment".to_owned(),
                        key: name,
                        known,
                    });
                }
                let url = Setting { key: "url".to_owned(), value: Value::Plain(value), place: name.clone() };
                of.push((alias.to_lowercase(), Settings::new(String::new(), name.clone(), vec![url])));
            }
        }
        for (alias, settings) in layers {
            match config.layers.iter_mut().find(|known| known.alias == alias) {
                Some(known) => known.settings = settings,
                None => config.layers.push(Configured { alias, settings, test: None }),
            }
        }
        for (alias, settings) in tests {
            match config.layers.iter_mut().find(|known| known.alias == alias) {
                Some(known) => known.test = Some(settings),
                None => {
                    let (place, key) = (settings.place, format!("{VARIABLE}{}", alias.to_uppercase()));
                    return Err(LayersConfigError::Missing { place, key });
                }
            }
        }
        Ok(config)
    }

    #[cfg(feature = "toml")]
    fn from_file_variable(path: String) -> Result<Self, LayersConfigError> {
        Self::read(path)
    }

    #[cfg(not(feature = "toml"))]
    fn from_file_variable(_: String) -> Result<Self, LayersConfigError> {
        let (place, what) = (FILE_VARIABLE.to_owned(), "a file".to_owned());
        Err(LayersConfigError::MissingFeature { place, what, feature: "toml" })
    }

    /// The layers. Without a word of `default` there is one in memory, as in [`Layers::default`]; where there are others, that is
    /// logged, since it may be a mistake in an alias.
    ///
    /// # Errors
    ///
    /// [`LayersConfigError`] with the first setting that is wrong, and its place.
    pub fn layers(&self) -> Result<Layers, LayersConfigError> {
        let mut layers = Layers::default();
        for Configured { alias, settings, .. } in &self.layers {
            layers = layers.with(alias, backend::open(settings.clone())?);
        }
        if !self.layers.is_empty() && !self.layers.iter().any(|layer| layer.alias == Layers::DEFAULT) {
            let there: Vec<_> = self.layers.iter().map(|layer| layer.alias.as_str()).collect();
            tracing::warn!(there = there.join(", "), "no channel layer is called `default`: that is one in memory");
        }
        Ok(layers)
    }

    /// The layers that tests are to have: Channels' `TEST_CONFIG`.
    ///
    /// # Errors
    ///
    /// [`LayersConfigError::NoTest`] for a layer that has none; and as [`layers`](Self::layers).
    pub fn test_layers(&self) -> Result<Layers, LayersConfigError> {
        let mut layers = Layers::default();
        for Configured { alias, test, .. } in &self.layers {
            let settings = test.clone().ok_or_else(|| LayersConfigError::NoTest { alias: alias.clone() })?;
            layers = layers.with(alias, backend::open(settings)?);
        }
        Ok(layers)
    }
}

impl Layer {
    /// The layer of a URL, with its settings as the query: `memory://?capacity=500`, `redis://127.0.0.1:6379/0`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::Layer;
    ///
    /// let layer = Layer::from_url("memory://?capacity=500&expiry=10")?;
    /// let error = Layer::from_url("carrier-pigeon://").unwrap_err();
    /// assert!(error.to_string().contains("the scheme `carrier-pigeon://`, which no channel layer has"));
    /// # Ok::<(), channels::layer::LayersConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LayersConfigError`]: the scheme or a setting is not known, or a feature is missing.
    pub fn from_url(url: &str) -> Result<Self, LayersConfigError> {
        let place = "layer".to_owned();
        let setting = Setting { key: "url".to_owned(), value: Value::Plain(url.to_owned()), place: place.clone() };
        backend::open(Settings::new(String::new(), place, vec![setting]))
    }
}

/// The settings in a URL's query.
fn plain(place: &str, query: &str) -> Result<Vec<Setting>, LayersConfigError> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(|error| LayersConfigError::Value {
        place: place.to_owned(),
        key: "url".to_owned(),
        wanted: "a URL whose query can be read".to_owned(),
        got: error.to_string(),
    })?;
    let setting = |(key, value)| Setting { key, value: Value::Plain(value), place: place.to_owned() };
    Ok(pairs.into_iter().map(setting).collect())
}
