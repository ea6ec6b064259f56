//! An event on its way: made once, shared by all who receive it.

use std::{
    any::{Any, TypeId, type_name},
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

#[cfg(feature = "redis")]
use super::msgpack::{Fields, FieldsError};
use super::{CloseConnection, DecodeError, Event, EventError, RawEvent, name};
use crate::{Close, Result, frame::Shared, once::OnceList};

/// What `dispatch` did with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dispatch {
    /// A handler took it.
    Handled,
    /// No handler has its name; the event is dropped, and logged once for its type.
    Unhandled,
}

/// What the pure handlers of one type of consumer made of an event.
#[derive(Debug)]
pub(crate) enum Rendered {
    /// None of them answers to the event.
    NotPure,
    /// One failed; that is logged.
    Failed,
    /// The message for every member.
    Made(Arc<Shared>),
}

type Decoded = Result<Box<dyn Any + Send + Sync>, DecodeError>;

/// An event on its way through a channel layer.
///
/// It is made once and shared: an event that was sent as a `T` is lent to every handler that takes a `&T` as it is; for
/// a handler that takes another type it is converted once for the whole process.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{Envelope, IntoEvent, event};
///
/// let envelope = event!({"type": "xx.oo", "n": 1}).into_event().unwrap();
/// assert!(envelope.is("xx_oo"));
/// assert_eq!(envelope.decode::<channels::RawEvent>().unwrap()["n"], 1);
/// ```
#[derive(Debug)]
pub struct Envelope {
    name: Cow<'static, str>,
    body: Body,
    created: Instant,
    close: OnceLock<Option<Box<Close>>>,
    decoded: OnceList<TypeId, Decoded>,
    rendered: OnceList<TypeId, Rendered>,
}

#[derive(Debug)]
enum Body {
    Typed {
        value: Box<dyn Any + Send + Sync>,
        to_raw: ToRaw,
        #[cfg(feature = "redis")]
        to_fields: ToFields,
    },
    Raw(RawEvent),
    /// From another process.
    #[cfg(feature = "redis")]
    Fields(Fields),
}

type ToRaw = fn(&(dyn Any + Send + Sync)) -> Result<RawEvent, EventError>;
#[cfg(feature = "redis")]
type ToFields = fn(&(dyn Any + Send + Sync)) -> Result<Fields, FieldsError>;

impl Envelope {
    fn new(name: Cow<'static, str>, body: Body) -> Self {
        Self {
            name,
            body,
            created: Instant::now(),
            close: OnceLock::new(),
            decoded: OnceList::new(),
            rendered: OnceList::new(),
        }
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the event has this name; `.` and `_` are the same, as in Channels.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        super::same_event(&self.name, name)
    }

    /// The event as a `T`: an [`Event`], or [`RawEvent`].
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the content does not fit `T`.
    pub fn decode<T: Payload>(&self) -> Result<&T, DecodeError> {
        T::from_envelope(self)
    }

    /// An event from another process.
    #[cfg(feature = "redis")]
    pub(crate) fn from_fields(name: String, fields: Fields) -> Result<Self, EventError> {
        name::check(&name)?;
        Ok(Self::new(Cow::Owned(name), Body::Fields(fields)))
    }

    /// The event's fields, for another process.
    #[cfg(feature = "redis")]
    pub(crate) fn to_fields(&self) -> Result<Cow<'_, Fields>, FieldsError> {
        match &self.body {
            Body::Typed { value, to_fields, .. } => to_fields(&**value).map(Cow::Owned),
            Body::Raw(raw) => Fields::of(raw.fields()).map(Cow::Owned),
            Body::Fields(fields) => Ok(Cow::Borrowed(fields)),
        }
    }

    /// How long ago the event was sent, as far as this process knows.
    pub(crate) fn age(&self) -> Duration {
        self.created.elapsed()
    }

    /// The close that this event asks every connection for; found out once, however many it reaches.
    pub(crate) fn close(&self) -> Option<&Close> {
        self.close.get_or_init(|| CloseConnection::asked_by(self).map(Box::new)).as_deref()
    }

    /// Whether this is the first time that it does not fit a handler. Few events ever do not: the mark stands among what
    /// consumers made of it, under a key that none of them has, and not in every envelope.
    pub(crate) fn first_misfit(&self) -> bool {
        let mut first = false;
        self.rendered.get_or_init(TypeId::of::<DecodeError>(), || {
            first = true;
            Rendered::Failed
        });
        first
    }

    /// What the pure handlers of the consumer `C` make of this event; made once for the process.
    pub(crate) fn rendered(&self, consumer: TypeId, render: impl FnOnce() -> Rendered) -> &Rendered {
        self.rendered.get_or_init(consumer, render)
    }

    fn convert<T: Payload + Send + Sync>(
        &self,
        convert: impl FnOnce() -> Result<T, String>,
    ) -> Result<&T, DecodeError> {
        let decoded = self.decoded.get_or_init(TypeId::of::<T>(), || match convert() {
            Ok(value) => Ok(Box::new(value)),
            Err(why) => Err(DecodeError { name: self.name.clone().into_owned(), wanted: type_name::<T>(), why }),
        });
        match decoded {
            Ok(value) => Ok(value.downcast_ref().expect("kept under its own type's id")),
            Err(error) => Err(error.clone()),
        }
    }

    fn raw(&self) -> Result<&RawEvent, DecodeError> {
        match &self.body {
            Body::Raw(raw) => Ok(raw),
            Body::Typed { value, to_raw, .. } => self.convert(|| to_raw(&**value).map_err(|error| error.to_string())),
            #[cfg(feature = "redis")]
            Body::Fields(fields) => self.convert(|| {
                RawEvent::new(self.name.clone().into_owned(), fields.to_json()).map_err(|error| error.to_string())
            }),
        }
    }
}

/// What a handler may take a reference to: any [`Event`], or [`RawEvent`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot take a `&{Self}`: it is not an event",
    label = "not an event",
    note = "write `#[derive(Serialize, Deserialize, Event)]` and `#[event(\"its.name\")]` on it, or take a `&RawEvent`"
)]
pub trait Payload: Sized + 'static {
    /// The name it has on a channel layer; `None` for [`RawEvent`].
    const NAME: Option<&'static str>;

    /// The envelope's content as `Self`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it does not fit.
    fn from_envelope(envelope: &Envelope) -> Result<&Self, DecodeError>;
}

impl<E: Event> Payload for E {
    const NAME: Option<&'static str> = Some(E::NAME);

    fn from_envelope(envelope: &Envelope) -> Result<&Self, DecodeError> {
        if let Body::Typed { value, .. } = &envelope.body
            && let Some(value) = value.downcast_ref()
        {
            return Ok(value);
        }
        #[cfg(feature = "redis")]
        if let Body::Fields(fields) = &envelope.body {
            return envelope.convert(|| fields.to_typed().map_err(|error| error.to_string()));
        }
        let raw = envelope.raw()?;
        envelope.convert(|| raw.to_typed().map_err(|error| error.to_string()))
    }
}

impl Payload for RawEvent {
    const NAME: Option<&'static str> = None;

    fn from_envelope(envelope: &Envelope) -> Result<&Self, DecodeError> {
        envelope.raw()
    }
}

/// What can be sent: an [`Event`], a [`RawEvent`], or a JSON map with a `type`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as an event",
    label = "not an event",
    note = "send a type with `#[derive(Serialize, Deserialize, Event)]`, or `event!({{\"type\": \"its.name\", …}})`"
)]
pub trait IntoEvent {
    /// Puts it into an envelope.
    ///
    /// # Errors
    ///
    /// [`EventError`] when its name or shape is not an event's.
    fn into_event(self) -> Result<Envelope, EventError>;
}

impl<E: Event> IntoEvent for E {
    fn into_event(self) -> Result<Envelope, EventError> {
        name::check(E::NAME)?;
        let to_raw: ToRaw =
            |value| RawEvent::from_typed(value.downcast_ref::<E>().expect("the value this function was made with"));
        let body = Body::Typed {
            value: Box::new(self),
            to_raw,
            #[cfg(feature = "redis")]
            to_fields: |value| Fields::of(value.downcast_ref::<E>().expect("the value this function was made with")),
        };
        Ok(Envelope::new(Cow::Borrowed(E::NAME), body))
    }
}

impl IntoEvent for RawEvent {
    fn into_event(self) -> Result<Envelope, EventError> {
        name::check(self.name())?;
        Ok(Envelope::new(Cow::Owned(self.name().to_owned()), Body::Raw(self)))
    }
}

impl IntoEvent for serde_json::Value {
    fn into_event(self) -> Result<Envelope, EventError> {
        RawEvent::from_json(self)?.into_event()
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::event;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Said {
        text: String,
    }

    impl Event for Said {
        const NAME: &'static str = "chat.said";
    }

    #[derive(Serialize, Deserialize)]
    struct Tick;

    impl Event for Tick {
        const NAME: &'static str = "tick";
    }

    #[test]
    fn a_typed_event_is_lent_as_it_is() {
        let envelope = Said { text: "hi".into() }.into_event().unwrap();
        assert!(std::ptr::eq(envelope.decode::<Said>().unwrap(), envelope.decode::<Said>().unwrap()));
        assert_eq!(envelope.decode::<RawEvent>().unwrap()["text"], "hi");
    }

    #[test]
    fn an_untyped_event_is_decoded_once() {
        let envelope = event!({"type": "chat.said", "text": "hi"}).into_event().unwrap();
        let first = envelope.decode::<Said>().unwrap();
        assert_eq!(first, &Said { text: "hi".into() });
        assert!(std::ptr::eq(first, envelope.decode::<Said>().unwrap()));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let envelope = event!({"type": "chat.said", "text": 7}).into_event().unwrap();
        let error = envelope.decode::<Said>().unwrap_err().to_string();
        assert!(error.starts_with("event `chat.said` is not a `"), "{error}");
        assert!(error.contains("expected a string"), "{error}");
    }

    #[test]
    fn a_unit_event_travels_as_a_map_with_a_type_only() {
        let envelope = Tick.into_event().unwrap();
        assert_eq!(envelope.decode::<RawEvent>().unwrap().to_json(), serde_json::json!({"type": "tick"}));
        assert!(event!({"type": "tick"}).into_event().unwrap().decode::<Tick>().is_ok());
    }

    #[test]
    fn a_name_that_no_handler_may_have_is_refused_when_sent() {
        assert!(event!({"type": "_x"}).into_event().is_err());
        assert!(event!({"type": ".x"}).into_event().is_err());
    }
}
