//! How much a layer keeps, and how long.

use std::time::Duration;

use regex::Regex;

/// How much a channel layer keeps, and how long; Django's names and defaults.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::layer::Limits;
///
/// let limits = Limits { capacity: 10, channel_capacity: vec![("mail.*".parse()?, 1_000)], ..Limits::default() };
/// assert_eq!(limits.capacity_of("mail.out"), 1_000);
/// assert_eq!(limits.capacity_of("thumbnails"), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Events that wait in one channel at most; one connection is one channel. 100, as in Channels.
    pub capacity: usize,
    /// Other capacities for channels whose names fit a pattern; the first that fits counts.
    pub channel_capacity: Vec<(CapacityPattern, usize)>,
    /// An event that nobody took for this long is dropped. 60 s, as in Channels.
    pub expiry: Duration,
    /// A named channel that was added to a group leaves it after this long, unless it is added again. 86,400 s, as in
    /// Channels. Connections stay for as long as they are open.
    pub group_expiry: Duration,
    /// Connections that may be [present](crate::presence) in one group. 10,000: each process with members of the group keeps them
    /// all, with at most 4 KiB of metadata for each.
    pub presence_capacity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            capacity: 100,
            channel_capacity: Vec::new(),
            expiry: Duration::from_secs(60),
            group_expiry: Duration::from_secs(86_400),
            presence_capacity: 10_000,
        }
    }
}

impl Limits {
    /// How many events may wait in the channel of this name.
    #[must_use]
    pub fn capacity_of(&self, channel: &str) -> usize {
        let special = self.channel_capacity.iter().find(|(pattern, _)| pattern.fits(channel));
        special.map_or(self.capacity, |(_, capacity)| *capacity)
    }
}

/// Which channels a capacity is for: a glob (`thumbnails.*`) or a regular expression.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::layer::CapacityPattern;
///
/// let glob: CapacityPattern = "thumbnails.*".parse().unwrap();
/// assert!(glob.fits("thumbnails.make") && !glob.fits("thumbs"));
/// ```
#[derive(Clone, Debug)]
pub enum CapacityPattern {
    /// `*`, `?` and `[…]`, against the whole name.
    Glob(glob::Pattern),
    /// A regular expression, found at the name's start as Python's `re.match` does.
    Regex(Regex),
}

impl CapacityPattern {
    /// A regular expression.
    ///
    /// # Errors
    ///
    /// [`regex::Error`] with the place of the mistake.
    pub fn regex(pattern: &str) -> Result<Self, regex::Error> {
        Regex::new(pattern).map(Self::Regex)
    }

    /// Whether the channel of this name is meant.
    #[must_use]
    pub fn fits(&self, channel: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(channel),
            Self::Regex(regex) => regex.find(channel).is_some_and(|found| found.start() == 0),
        }
    }
}

impl std::str::FromStr for CapacityPattern {
    type Err = glob::PatternError;

    fn from_str(glob: &str) -> Result<Self, Self::Err> {
        glob::Pattern::new(glob).map(Self::Glob)
    }
}

impl From<Regex> for CapacityPattern {
    fn from(regex: Regex) -> Self {
        Self::Regex(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_gives_the_capacity() {
        let limits = Limits {
            channel_capacity: vec![
                ("http.request".parse().unwrap(), 5),
                ("http.*".parse().unwrap(), 10),
                (Regex::new(r"^websocket.send!.+").unwrap().into(), 20),
            ],
            ..Limits::default()
        };
        assert_eq!(limits.capacity_of("http.request"), 5);
        assert_eq!(limits.capacity_of("http.response"), 10);
        assert_eq!(limits.capacity_of("websocket.send!abc"), 20);
        assert_eq!(limits.capacity_of("other"), 100);
    }
}
