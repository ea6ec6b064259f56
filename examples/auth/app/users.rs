//! People and their passwords. A database stands here otherwise.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use argon2::{
    Argon2,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use channels::{auth::UserBackend, prelude::*};

#[derive(Clone)]
pub(crate) struct User {
    /// ASCII letters, digits, `-` and `_`: it may stand in a page as it is.
    pub(crate) name: String,
    /// As argon2 writes it: parameters, salt, hash.
    password: String,
}

#[derive(Clone)]
pub(crate) struct Users {
    by_name: Arc<RwLock<HashMap<String, User>>>,
    /// What a stranger's password is compared with, so that a name that there is not takes as long as one that there is.
    nobody: Arc<str>,
}

impl Users {
    pub(crate) fn new() -> Result<Self, password_hash::Error> {
        let nobody = hash("nobody's")?;
        Ok(Self { by_name: Arc::default(), nobody: nobody.into() })
    }

    /// A new user; the error is for their eyes. It takes a while: not to be called where nothing may block.
    pub(crate) fn register(&self, name: &str, password: &str) -> Result<User, &'static str> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || name.len() > 30 || !name.chars().all(fits) {
            return Err("A name has 1 to 30 letters, digits, - or _.");
        }
        if password.len() < 8 {
            return Err("A password has at least 8 characters.");
        }
        let password = hash(password).map_err(|_| "This password cannot be kept.")?;
        let user = User { name: name.to_owned(), password };
        let mut by_name = self.by_name.write().expect("nobody panics with it");
        if by_name.contains_key(name) {
            return Err("This name is taken.");
        }
        by_name.insert(name.to_owned(), user.clone());
        Ok(user)
    }

    /// The user of this name, if this is their password. It takes a while, like `register`.
    pub(crate) fn check(&self, name: &str, password: &str) -> Option<User> {
        let user = self.by_name(name);
        let expected = user.as_ref().map_or(&*self.nobody, |user| user.password.as_str());
        let expected = PasswordHash::new(expected).ok()?;
        Argon2::default().verify_password(password.as_bytes(), &expected).ok()?;
        user
    }

    fn by_name(&self, name: &str) -> Option<User> {
        self.by_name.read().expect("nobody panics with it").get(name).cloned()
    }
}

fn hash(password: &str) -> Result<String, password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

impl UserBackend for Users {
    type User = User;

    fn id(&self, user: &User) -> String {
        user.name.clone()
    }

    async fn get_user(&self, id: &str) -> Result<Option<User>> {
        Ok(self.by_name(id))
    }
}
