//! Who is in which room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// A person in a room; two windows of one person are two members.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// The members of all rooms of this process.
#[derive(Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashMap<String, Vec<Member>>>>);

impl Rooms {
    /// Adds a member and gives all who are there now.
    pub(crate) fn enter(&self, room: &str, member: Member) -> Vec<Member> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let members = rooms.entry(room.to_owned()).or_default();
        members.push(member);
        members.clone()
    }

    pub(crate) fn leave(&self, room: &str, member: &Member) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = rooms.get_mut(room) {
            members.retain(|other| other != member);
            if members.is_empty() {
                rooms.remove(room);
            }
        }
    }
}
