//! Events without a Rust type.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Event, EventError, name};

/// An event as a map, for what has no Rust type: Channels' `{"type": "xx.oo", …}`.
///
/// [`event!`](crate::event!) writes one down.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::event;
///
/// let event = event!({"type": "xx.oo", "number": 7});
/// assert_eq!(event.name(), "xx.oo");
/// assert_eq!(event["number"], 7);
/// assert_eq!(event.get::<u8>("number"), Some(7));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct RawEvent {
    name: String,
    fields: Map<String, Value>,
}

impl RawEvent {
    /// An event of this name with these fields.
    ///
    /// # Errors
    ///
    /// [`EventError::Name`] when no handler may have that name.
    pub fn new(name: impl Into<String>, fields: Map<String, Value>) -> Result<Self, EventError> {
        let name = name.into();
        name::check(&name)?;
        Ok(Self { name, fields })
    }

    /// An event from a JSON map with a `type`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::RawEvent;
    /// let event = RawEvent::from_json(serde_json::json!({"type": "xx.oo", "number": 7}))?;
    /// assert_eq!(event.name(), "xx.oo");
    /// assert_eq!(event.to_json(), serde_json::json!({"type": "xx.oo", "number": 7}));
    /// # Ok::<(), channels::EventError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventError`] when it is no map, has no `type`, or one that no handler may have.
    pub fn from_json(value: Value) -> Result<Self, EventError> {
        let Value::Object(mut fields) = value else { return Err(EventError::NoType) };
        match fields.remove("type") {
            Some(Value::String(name)) => Self::new(name, fields),
            _ => Err(EventError::NoType),
        }
    }

    /// The event as a JSON map with its `type`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = self.fields.clone();
        fields.insert("type".to_owned(), Value::String(self.name.clone()));
        Value::Object(fields)
    }

    /// What stands under `type`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All fields but `type`.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// A field as a `T`; `None` when it is missing or not a `T`. `event["field"]` gives it as JSON, `null` when it is
    /// missing.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        T::deserialize(self.fields.get(field)?).ok()
    }

    pub(super) fn from_typed<E: Event>(event: &E) -> Result<Self, EventError> {
        let name = || E::NAME.to_owned();
        match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => Ok(Self { name: name(), fields }),
            Ok(Value::Null) => Ok(Self { name: name(), fields: Map::new() }),
            Ok(_) => Err(EventError::NotAMap { name: name() }),
            Err(source) => Err(EventError::Serialize { name: name(), source }),
        }
    }

    pub(super) fn to_typed<E: Event>(&self) -> Result<E, serde_json::Error> {
        let fields = Value::Object(self.fields.clone());
        E::deserialize(&fields).or_else(|error| {
            // A unit struct is written as nothing and so read from nothing.
            if self.fields.is_empty() { E::deserialize(Value::Null).map_err(|_| error) } else { Err(error) }
        })
    }
}

impl std::ops::Index<&str> for RawEvent {
    type Output = Value;

    /// The field, or `null`.
    fn index(&self, field: &str) -> &Value {
        self.fields.get(field).unwrap_or(&Value::Null)
    }
}

/// Writes down an untyped event: `event!({"type": "xx.oo", "text": text})`.
///
/// `type` comes first; the rest is as in [`serde_json::json!`]. The name is checked when the event is sent.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::event;
///
/// let text = "哈哈";
/// let event = event!({"type": "chat.message", "text": text, "tags": ["a", "b"]});
/// assert_eq!(event["text"], "哈哈");
/// ```
///
/// An event without a type does not compile:
///
/// ```compile_fail
/// # use channels_core as channels;
/// channels::event!({"text": "to whom?"});
/// ```
#[macro_export]
macro_rules! event {
    ({ "type" : $name:expr $(, $($fields:tt)*)? }) => {
        $crate::__private::raw_event($name, $crate::__private::serde_json::json!({ $($($fields)*)? }))
    };
    ($($other:tt)*) => {
        ::core::compile_error!("an event is written `event!({\"type\": \"chat.message\", …})`, its type first")
    };
}

#[doc(hidden)]
pub fn raw_event(name: impl Into<String>, fields: Value) -> RawEvent {
    let Value::Object(fields) = fields else { unreachable!("`event!` writes a map") };
    RawEvent { name: name.into(), fields }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_map_needs_a_type_that_a_handler_may_have() {
        assert!(RawEvent::from_json(json!({"text": "x"})).is_err());
        assert!(RawEvent::from_json(json!({"type": 7})).is_err());
        assert!(RawEvent::from_json(json!(["type"])).is_err());
        assert!(RawEvent::from_json(json!({"type": "_private"})).is_err());
        let event = RawEvent::from_json(json!({"type": "a.b", "x": 1})).unwrap();
        assert_eq!(event.to_json(), json!({"type": "a.b", "x": 1}));
    }
}
