//! The names of channels and groups, checked once.

use std::{convert::Infallible, fmt, ops::Deref};

use bytestring::ByteString;
use thiserror::Error;

/// The first length, in bytes, that a name may not have: as in Channels, 99 is the longest.
pub const NAME_LIMIT: usize = 100;

/// A name that is not one: of a channel, or of a group.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The empty text names nothing.
    #[error("a {kind} name cannot be empty")]
    Empty {
        /// `channel` or `group`.
        kind: &'static str,
    },
    /// Shorten it; a hash of a long key makes a good name.
    #[error("{kind} name `{name}` has {length} bytes; the most is {}", NAME_LIMIT - 1)]
    TooLong {
        /// `channel` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// Replace that character; a user's text is best hashed or encoded before it becomes a name.
    #[error(
        "{kind} name `{name}` has the character {character:?} at byte {at}; allowed are ASCII letters and digits, `-`, `_`, `.`"
    )]
    Character {
        /// `channel` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The first character that is not allowed.
        character: char,
        /// Where it stands, in bytes from 0.
        at: usize,
    },
    /// A router has one consumer for each channel: give one of them another channel.
    #[error("channel name `{name}` is in the router already")]
    Taken {
        /// The name.
        name: String,
    },
}

impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $may_have_mark:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(ByteString);

        impl $type {
            /// Checks a name.
            ///
            /// # Errors
            ///
            /// [`NameError`] with the character and its place.
            pub fn new(name: impl Into<ByteString>) -> Result<Self, NameError> {
                let name = name.into();
                check($kind, &name, $may_have_mark)?;
                Ok(Self(name))
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;

            fn try_from(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl TryFrom<&String> for $type {
            type Error = NameError;

            fn try_from(name: &String) -> Result<Self, NameError> {
                Self::new(name.as_str())
            }
        }

        impl TryFrom<&$type> for $type {
            type Error = NameError;

            fn try_from(name: &$type) -> Result<Self, NameError> {
                Ok(name.clone())
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                &**self == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                &**self == *other
            }
        }
    };
}

name! {
    /// The name of a channel: of one connection, or one that a worker reads.
    ///
    /// ASCII letters, digits, `-`, `_`, `.`, and at most one `!` with the process's own part of the name behind it;
    /// at most 99 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::ChannelName;
    ///
    /// assert!(ChannelName::new("thumbnails.make").is_ok());
    /// assert!(ChannelName::new("specific.9f2!b7").is_ok());
    /// assert!(ChannelName::new("two words").is_err());
    /// ```
    ChannelName, "channel", true
}

name! {
    /// The name of a group: ASCII letters, digits, `-`, `_`, `.`; at most 99 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// use channels::GroupName;
    ///
    /// let error = GroupName::new("chat 7").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "group name `chat 7` has the character ' ' at byte 4; allowed are ASCII letters and digits, `-`, `_`, `.`"
    /// );
    /// ```
    GroupName, "group", false
}

fn check(kind: &'static str, name: &str, may_have_mark: bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() >= NAME_LIMIT {
        return Err(NameError::TooLong { kind, name: name.to_owned(), length: name.len() });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.bytes().all(allowed) {
        return Ok(());
    }
    let mark = name.find('!').filter(|at| may_have_mark && *at > 0);
    let wrong = name.char_indices().find(|(at, character)| {
        let is_mark = mark == Some(*at);
        !is_mark && !u8::try_from(*character).is_ok_and(allowed)
    });
    match wrong {
        Some((at, character)) => Err(NameError::Character { kind, name: name.to_owned(), character, at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_and_group_name_validation() {
        for name in ["valid-channel-name_2", "a.b", "specific.asdf!qwer", "name!", &"x".repeat(99)] {
            assert!(ChannelName::new(name).is_ok(), "{name}");
        }
        for name in ["", "not valid", "¯\\_(ツ)_/¯", "a!b!c", "!b", &"x".repeat(100)] {
            assert!(ChannelName::new(name).is_err(), "{name}");
        }
        assert!(GroupName::new("valid-group_1.2").is_ok());
        for name in ["", "a!b", "a b", "chat_游戏", &"x".repeat(100)] {
            assert!(GroupName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn name_length_error_says_text_and_limit() {
        let name = "x".repeat(100);
        let expected = format!("group name `{name}` has 100 bytes; the most is 99");
        assert_eq!(GroupName::new(name.as_str()).unwrap_err().to_string(), expected);
        let expected = format!("channel name `{name}` has 100 bytes; the most is 99");
        assert_eq!(ChannelName::new(name.as_str()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_forbidden_character_is_named() {
        let error = GroupName::new("chat_游戏").unwrap_err();
        assert!(error.to_string().contains("'游' at byte 5"), "{error}");
    }
}
