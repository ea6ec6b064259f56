//! What can be wrong in a configuration of layers.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A mistake in the configuration of [channel layers](crate::Layers). `place` is where it stands: a file and a line, or an
/// environment variable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayersConfigError {
    /// The file cannot be read.
    #[error("cannot read the channel layers from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: this is not TOML: {why}")]
    Syntax {
        /// Where.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is called so: correct the name, or remove the line.
    #[error("{place}: there is no setting `{key}` (there are: {known})")]
    UnknownKey {
        /// Where.
        place: String,
        /// The key, with the tables that it stands in.
        key: String,
        /// The keys that there are in its place.
        known: String,
    },
    /// A setting that a layer cannot be without.
    #[error("{place}: `{key}` is missing")]
    Missing {
        /// Where.
        place: String,
        /// The key.
        key: String,
    },
    /// A setting is said twice, as in a URL's query and beside the URL: remove one.
    #[error("{place}: `{key}` is set twice")]
    Twice {
        /// Where.
        place: String,
        /// The key.
        key: String,
    },
    /// A value that the setting cannot have.
    #[error("{place}: `{key}` is to be {wanted}, not {got}")]
    Value {
        /// Where.
        place: String,
        /// The key.
        key: String,
        /// What it may be.
        wanted: String,
        /// What it is.
        got: String,
    },
    /// No layer has this scheme: correct the URL.
    #[error("{place}: `{key}` has the scheme `{scheme}://`, which no channel layer has (there are: {known})")]
    UnknownScheme {
        /// Where.
        place: String,
        /// The key of the URL.
        key: String,
        /// What stands before `://`.
        scheme: String,
        /// The schemes that there are.
        known: String,
    },
    /// What this needs is not compiled in: add the feature to `channels` in `Cargo.toml`.
    #[error("{place}: {what} needs the feature `{feature}` of the crate `channels`")]
    MissingFeature {
        /// Where.
        place: String,
        /// A file, or the key of a URL and its scheme.
        what: String,
        /// The feature.
        feature: &'static str,
    },
    /// The layer has no settings for tests: add a table `[layers.<alias>.test]`, or the variable.
    #[error(
        "the layer `{alias}` has no settings for tests; add a table `[layers.{alias}.test]`, or a variable \
         `CHANNEL_LAYER_{}__TEST`", alias.to_uppercase()
    )]
    NoTest {
        /// The layer's alias.
        alias: String,
    },
    /// The Redis layer cannot be made: its source says what to correct.
    #[cfg(feature = "redis")]
    #[error("{place}: `{key}` makes no layer over redis")]
    Redis {
        /// Where it stands.
        place: String,
        /// The key.
        key: String,
        /// What is wrong.
        source: crate::layer::redis::RedisOptionsError,
    },
}
