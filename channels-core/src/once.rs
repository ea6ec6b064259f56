//! A list to which each key's value is added once and shared.

use std::sync::OnceLock;

/// Grows at its end without a lock; a key's value is made by the first who asks for it.
#[derive(Debug)]
pub(crate) struct OnceList<K, V>(OnceLock<Box<Node<K, V>>>);

#[derive(Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    next: OnceList<K, V>,
}

impl<K: Copy + PartialEq, V> OnceList<K, V> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn get_or_init(&self, key: K, value: impl FnOnce() -> V) -> &V {
        let mut list = self;
        let mut value = Some(value);
        loop {
            let node = list.0.get_or_init(|| {
                let value = value.take().expect("taken only by the node that is returned");
                Box::new(Node { key, value: value(), next: Self::new() })
            });
            if node.key == key {
                return &node.value;
            }
            list = &node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_made_once() {
        let list = OnceList::new();
        assert_eq!(list.get_or_init(1, || "one"), &"one");
        assert_eq!(list.get_or_init(2, || "two"), &"two");
        assert_eq!(list.get_or_init(1, || "again"), &"one");
        assert_eq!(list.get_or_init(2, || "again"), &"two");
    }
}
