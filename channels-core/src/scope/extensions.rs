//! Values by their type.

use std::{
    any::{Any, TypeId},
    fmt,
    rc::Rc,
};

/// Values that middleware leaves for the consumer: one of each type.
///
/// Each stream of a [`Demultiplexer`](crate::Demultiplexer) has the values of the connection; what it adds itself is its
/// own.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::scope::Extensions;
///
/// #[derive(PartialEq, Debug)]
/// struct Language(&'static str);
///
/// let mut extensions = Extensions::default();
/// extensions.insert(Language("en"));
/// extensions.insert(Language("zh"));
/// assert_eq!(extensions.get(), Some(&Language("zh")));
/// assert!(!extensions.contains::<u64>());
/// ```
#[derive(Clone, Default)]
pub struct Extensions(Vec<(TypeId, Rc<dyn Any>)>);

impl Extensions {
    /// Puts a value in, in the place of what there was of its type.
    pub fn insert<T: 'static>(&mut self, value: T) {
        let (id, value): (_, Rc<dyn Any>) = (TypeId::of::<T>(), Rc::new(value));
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = value,
            None => self.0.push((id, value)),
        }
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// The same, to be changed; `None` also when a demultiplexer's streams share it. Put in what is to change within a
    /// cell, or [`insert`](Self::insert) another value.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let (_, value) = self.0.iter_mut().find(|(known, _)| *known == TypeId::of::<T>())?;
        Rc::get_mut(value)?.downcast_mut()
    }

    /// Whether there is a value of this type.
    #[must_use]
    pub fn contains<T: 'static>(&self) -> bool {
        self.get::<T>().is_some()
    }

    /// Takes the value of this type out; whether there was one.
    pub fn remove<T: 'static>(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| *known != TypeId::of::<T>());
        self.0.len() < before
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
