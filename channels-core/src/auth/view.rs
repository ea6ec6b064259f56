//! Logging in and out where there is no consumer: in HTTP views, with actix-session's session.
//!
//! What these write, the middleware in front of the consumers reads.
//!
//! # Examples
//!
//! ```
//! # use channels_core as channels;
//! # use channels::{Layer, Result, auth::{self, UserBackend}};
//! # use std::sync::Arc;
//! use actix_session::Session;
//! use actix_web::{HttpResponse, Responder, web};
//!
//! # struct User; struct Users;
//! # impl UserBackend for Users {
//! #     type User = User;
//! #     fn id(&self, _: &User) -> String { "7".into() }
//! #     async fn get_user(&self, _: &str) -> Result<Option<User>> { Ok(Some(User)) }
//! # }
//! # impl Users { fn check_password(&self, _: &str, _: &str) -> Option<User> { Some(User) } }
//! async fn log_in(session: Session, users: web::Data<Users>, form: web::Form<(String, String)>) -> impl Responder {
//!     match users.check_password(&form.0.0, &form.0.1) {
//!         Some(user) => {
//!             auth::view::login(&session, &**users, &user).expect("an id is JSON");
//!             HttpResponse::SeeOther().insert_header(("Location", "/")).finish()
//!         }
//!         None => HttpResponse::Forbidden().body("wrong name or password"),
//!     }
//! }
//!
//! async fn log_out(session: Session, layer: web::Data<Layer>) -> impl Responder {
//!     if let Some(id) = auth::view::logout(&session) {
//!         auth::disconnect_user(&layer, &id).await.expect("an id that could log in");
//!     }
//!     HttpResponse::SeeOther().insert_header(("Location", "/")).finish()
//! }
//! ```

use std::time::{Duration, SystemTime};

use subtle::ConstantTimeEq;

use super::{
    UserBackend,
    backend::{Credentials, Users},
};
use crate::Result;

/// Django's names.
const ID: &str = "_auth_user_id";
const HASH: &str = "_auth_user_hash";
/// Seconds since 1970.
const EXPIRES: &str = "_auth_expires";

/// Makes this the session of a user, under a new key. What another user left in it is dropped.
///
/// # Errors
///
/// When the session takes no values.
pub fn login<B: UserBackend>(session: &actix_session::Session, backend: &B, user: &B::User) -> Result<()> {
    write(session, backend, user, None)
}

/// The same, for a while: sockets of this login are closed with 4501 then, and the session is nobody's.
///
/// # Errors
///
/// As [`login`].
pub fn login_until<B: UserBackend>(
    session: &actix_session::Session,
    backend: &B,
    user: &B::User,
    expires: SystemTime,
) -> Result<()> {
    write(session, backend, user, Some(expires))
}

/// Ends the session. The id of the user whose it was, to be given to
/// [`disconnect_user`](crate::auth::disconnect_user); `None` when nobody was logged in.
pub fn logout(session: &actix_session::Session) -> Option<String> {
    let id = session.get(ID).ok().flatten();
    session.purge();
    id
}

/// The user whose session this is.
///
/// # Errors
///
/// The backend's.
pub async fn get_user<B: UserBackend>(session: &actix_session::Session, backend: &B) -> Result<Option<B::User>> {
    Ok(read(session, backend).await?.map(|credentials| credentials.user))
}

/// Either side's session.
pub(super) trait Entries {
    fn text(&self, key: &str) -> Option<String>;
    fn put(&self, key: &str, value: &str) -> Result<()>;
    fn forget(&self, key: &str);
    fn clear(&self);
    fn renew(&self);
}

pub(super) fn write<U>(
    session: &impl Entries,
    users: &(impl Users<U> + ?Sized),
    user: &U,
    expires: Option<SystemTime>,
) -> Result<()> {
    let (id, hash) = (users.id(user), users.session_auth_hash(user));
    let same = session.text(ID).is_none_or(|before| before == id) && same_hash(session.text(HASH), hash.as_ref());
    if !same {
        session.clear();
    }
    session.renew();
    session.put(ID, &id)?;
    match hash {
        Some(hash) => session.put(HASH, &hash)?,
        None => session.forget(HASH),
    }
    match expires {
        Some(expires) => session.put(EXPIRES, &seconds(expires).to_string())?,
        None => session.forget(EXPIRES),
    }
    Ok(())
}

/// Whether a session of this hash may go on. One that has none yet may.
fn same_hash(before: Option<String>, now: Option<&String>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.as_bytes().ct_eq(now.as_bytes()).into(),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

pub(super) async fn read<U>(
    session: &impl Entries,
    users: &(impl Users<U> + ?Sized),
) -> Result<Option<Credentials<U>>> {
    let Some(id) = session.text(ID) else { return Ok(None) };
    let expires = match session.text(EXPIRES).map(|text| text.parse()) {
        None => None,
        Some(Ok(seconds)) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        Some(Err(_)) => return Ok(None),
    };
    let (written, user) = (session.text(HASH), users.get_user(&id).await?);
    let credentials = user.map(|user| Credentials { user, expires }).filter(Credentials::hold);
    Ok(credentials.filter(|Credentials { user, .. }| match (users.session_auth_hash(user), written) {
        (None, _) => true,
        (Some(now), Some(written)) => now.as_bytes().ct_eq(written.as_bytes()).into(),
        (Some(_), None) => false,
    }))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The two kinds of session say the same, each with methods of its own.
macro_rules! entries {
    ($($session:ty)*) => {
        $(
            impl Entries for $session {
                fn text(&self, key: &str) -> Option<String> {
                    self.get(key).ok().flatten()
                }

                fn put(&self, key: &str, value: &str) -> Result<()> {
                    Ok(self.insert(key, value)?)
                }

                fn forget(&self, key: &str) {
                    self.remove(key);
                }

                fn clear(&self) {
                    self.clear();
                }

                fn renew(&self) {
                    self.renew();
                }
            }
        )*
    };
}

entries! { actix_session::Session crate::middleware::Session }
