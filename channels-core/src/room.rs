//! How much room tables take, and when they give back what a crowd has left.

/// Adds to a list that seldom gets a second entry: it takes room for the first alone, and for more as other lists do.
pub(crate) fn push<T>(list: &mut Vec<T>, entry: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(entry);
}

/// How much room a table keeps that has so many entries and room for so many; `None` when that is not much more. There is room
/// to grow again, so that a table which shrinks and grows in turns pays for it once in many entries.
pub(crate) fn to_keep(entries: usize, room: usize) -> Option<usize> {
    (room > 64 && entries < room / 8).then_some(2 * entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_little_of_it_is_used_and_not_for_a_little() {
        assert_eq!(to_keep(1_000, 1_792), None);
        assert_eq!(to_keep(224, 1_792), None);
        assert_eq!(to_keep(223, 1_792), Some(446));
        assert_eq!(to_keep(0, 65), Some(0));
        assert_eq!(to_keep(0, 56), None);
    }
}
