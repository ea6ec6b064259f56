//! Ending every connection of a user.

use crate::{CloseCode, GroupName, GroupReport, Layer, LayerError, NameError, event::CloseConnection};

/// Closes every connection of the user with this id, with 4503 and the reason `logged out`: those of this process, and
/// of all others that share the layer. It says how many.
///
/// A connection is reached if it uses this layer. One that is being opened at that moment is refused with 403: who it
/// belongs to is asked again when it has joined the user's group, before its `connect` runs.
///
/// It does not keep the user from coming back: *before*, end the session in its store, or make
/// [`UserBackend::get_user`](crate::auth::UserBackend::get_user) refuse them.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Layer, auth::disconnect_user};
///
/// # async fn ban(layer: &Layer) -> Result<(), channels::LayerError> {
/// let ended = disconnect_user(layer, "7").await?.delivered;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`LayerError`], when the id is too long to be that of a user.
pub async fn disconnect_user(layer: &Layer, id: &str) -> Result<GroupReport, LayerError> {
    layer.group_send(group(id)?, CloseConnection::new(CloseCode::KICKED, "logged out")).report().await
}

/// The group of a user's connections. Ids are any text, names of groups are not: other characters than letters, digits
/// and `-` are written as `_` and two hexadecimal digits for each byte.
pub(super) fn group(id: &str) -> Result<GroupName, NameError> {
    let mut name = String::from("channels.user.");
    for byte in id.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => name.push(byte.into()),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
    }
    GroupName::try_from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_never_share_a_group() {
        assert_eq!(group("7").unwrap().as_str(), "channels.user.7");
        assert_eq!(group("ann@例.org").unwrap().as_str(), "channels.user.ann_40_e4_be_8b_2eorg");
        assert_ne!(group("_40").unwrap(), group("@").unwrap());
        assert!(group(&"x".repeat(85)).is_ok());
        assert!(group(&"x".repeat(86)).is_err());
    }
}
