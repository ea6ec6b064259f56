//! Logging in and out in a consumer.

use std::{
    rc::Rc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Auth, AuthError, By, Credentials, Current, backend::Users, kick, proof::Proof, users, view};
use crate::{Close, CloseCode, Context, Result, Scope, after::after, middleware::Session, scope::Deadline};

/// Makes this user the connection's, and the session's, which is saved at once. Channels' `login`.
///
/// The session moves to a new key, and what another user left in it is dropped. In `connect`, before `cx.accept()`, the
/// new cookie goes with the answer; later it cannot reach the client, who would then be logged out: log in by a view
/// there, or authenticate by [`token`](authenticate).
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # struct User;
/// # async fn connect(cx: &mut channels::Context, user: User) -> channels::Result<()> {
/// use channels::auth::login;
///
/// login(cx, user).await?;
/// cx.accept()?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`AuthError::Missing`](crate::auth::AuthError::Missing) and
/// [`SessionError::Missing`](crate::middleware::SessionError::Missing) say which middleware is missing and where it
/// goes. When the user's id is too long for a group, or the channel layer or the session's store fails, nothing has
/// changed. When the session is the user's already, the connection is nobody's after an error:
/// [`AuthError::LoggedOut`](crate::auth::AuthError::LoggedOut), they were put out meanwhile; or the backend failed.
pub async fn login<U: 'static>(cx: &mut Context, user: U) -> Result<()> {
    log_in(cx, Credentials::new(user)).await
}

/// The same, for a while: this connection, and others of this login, are closed with 4501 then.
///
/// # Errors
///
/// As [`login`].
pub async fn login_until<U: 'static>(cx: &mut Context, user: U, expires: SystemTime) -> Result<()> {
    log_in(cx, Credentials::new(user).until(expires)).await
}

async fn log_in<U: 'static>(cx: &mut Context, credentials: Credentials<U>) -> Result<()> {
    let users = users::<U>(cx.scope())?;
    let session = cx.scope().session()?.clone();
    let id = users.id(&credentials.user);
    cx.group_add(kick::group(&id)?).await?;
    let before = session.unsaved();
    if let Err(error) = write(&session, &*users, &credentials).await {
        session.set_unsaved(before);
        step_back(cx, &id).await;
        return Err(error);
    }
    match Proof::Session.still(cx.scope(), &*users, &credentials.user).await {
        Ok(true) => {
            adopt(cx, &*users, credentials, By::from(&Proof::Session)).await;
            cx.scope().owner.set(Some(id));
            Ok(())
        }
        // Whoever was there before has no session any more.
        refused => {
            warn(leave(cx).await);
            cx.scope().owner.set(None);
            step_back(cx, &id).await;
            refused?;
            Err(AuthError::LoggedOut { id }.into())
        }
    }
}

async fn write<U>(session: &Session, users: &dyn Users<U>, credentials: &Credentials<U>) -> Result<()> {
    view::write(session, users, &credentials.user, credentials.expires)?;
    Ok(session.save().await?)
}

/// Makes the connection nobody's, and ends the session. Channels' `logout`. Nobody being logged in is no error.
///
/// Other connections of the user stay: [`disconnect_user`](crate::auth::disconnect_user) ends them.
///
/// # Errors
///
/// When the channel layer fails to leave the user's group, or the session's store fails. The connection is nobody's even
/// then, and the session is ended although the layer failed.
pub async fn logout(cx: &mut Context) -> Result<()> {
    let left = leave(cx).await;
    cx.scope().owner.set(None);
    if let Ok(session) = cx.scope().session().cloned() {
        session.purge();
        let saved = session.save().await;
        left?;
        return Ok(saved?);
    }
    left
}

/// The connection's user as the session and the backend know them now; `None` when nobody is logged in, or not any more.
/// Channels' `get_user`.
///
/// [`Scope::user`] is who it was when they were let in. Ask again before what must not be done by somebody who was
/// logged out meanwhile.
///
/// # Errors
///
/// [`AuthError::Missing`](crate::auth::AuthError::Missing); or the store or the backend failed.
pub async fn get_user<U: 'static>(scope: &Scope) -> Result<Option<U>> {
    let users = users::<U>(scope)?;
    match Auth::of(scope).and_then(|auth| auth.current.as_ref()) {
        Some(Current { id, by: By::Other, .. }) => users.get_user(id).await,
        _ => {
            let Ok(session) = scope.session() else { return Ok(None) };
            session.reload().await?;
            Ok(view::read(session, &*users).await?.map(|credentials| credentials.user))
        }
    }
}

/// Makes the user of this token the connection's: for tokens that come in a message, since neither a header nor a
/// subprotocol will do. `false` when the token is refused; whoever was logged in then still is.
///
/// # Examples
///
/// The first message is a token, and has to come within ten seconds:
///
/// ```
/// # use channels_core as channels;
/// # struct User;
/// use std::time::Duration;
///
/// use channels::{Consumer, Context, Result, Text, auth};
///
/// #[derive(Default)]
/// struct Private;
///
/// impl Consumer for Private {
///     type Input = Text;
///
///     async fn connect(&mut self, cx: &mut Context) -> Result<()> {
///         auth::expect_login(cx, Duration::from_secs(10));
///         Ok(())
///     }
///
///     async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
///         if cx.scope().user::<User>().is_none() {
///             if !auth::authenticate::<User>(cx, &text).await? {
///                 cx.close(4501, "the token does not hold");
///             }
///             return Ok(());
///         }
///         // A message of somebody who is known.
///         Ok(())
///     }
/// }
/// ```
///
/// # Errors
///
/// [`AuthError::Missing`](crate::auth::AuthError::Missing); or the backend or the channel layer failed. Nothing has changed
/// then.
pub async fn authenticate<U: 'static>(cx: &mut Context, token: &str) -> Result<bool> {
    let users = users::<U>(cx.scope())?;
    let Some(credentials) = users.verify_token(token).await?.filter(Credentials::hold) else { return Ok(false) };
    let id = users.id(&credentials.user);
    cx.group_add(kick::group(&id)?).await?;
    let proof = Proof::Token(token.to_owned());
    let still = proof.still(cx.scope(), &*users, &credentials.user).await;
    match still {
        Ok(true) => adopt(cx, &*users, credentials, By::from(&proof)).await,
        _ => step_back(cx, &id).await,
    }
    still
}

/// Closes the connection with 4501 unless somebody is logged in within this time, by [`authenticate`] or [`login`]. It
/// does nothing when somebody is already.
pub fn expect_login(cx: &mut Context, within: Duration) {
    if cx.scope().user_id().is_none() {
        let close = Close::new(CloseCode::CREDENTIALS_EXPIRED, "nobody logged in in time");
        cx.set_deadline(Some(Deadline { at: after(Instant::now(), within), close }));
    }
}

/// Makes the connection this user's, in whose group it is already.
async fn adopt<U: 'static>(cx: &mut Context, users: &dyn Users<U>, credentials: Credentials<U>, by: By) {
    let id = users.id(&credentials.user);
    if cx.scope().user_id() != Some(&id) {
        warn(leave(cx).await);
    }
    cx.set_deadline(credentials.expires.map(deadline));
    set(cx.scope_mut(), Some(Current { user: Rc::new(credentials.user), id, by }));
}

/// Leaves the group of a user whose the connection has not become.
async fn step_back(cx: &mut Context, id: &str) {
    if cx.scope().user_id() != Some(id)
        && let Ok(group) = kick::group(id)
    {
        warn(cx.group_discard(group).await.map_err(Into::into));
    }
}

/// Makes the connection nobody's.
async fn leave(cx: &mut Context) -> Result<()> {
    let Some(id) = cx.scope().user_id() else { return Ok(()) };
    let group = kick::group(id)?;
    cx.set_deadline(None);
    set(cx.scope_mut(), None);
    Ok(cx.group_discard(group).await?)
}

fn warn(left: Result<()>) {
    if let Err(error) = left {
        tracing::warn!(%error, "a user's group could not be left: a connection that is not theirs ends with theirs");
    }
}

fn set(scope: &mut Scope, current: Option<Current>) {
    // Another value, since the streams of a demultiplexer share the one that there is.
    if let Some(Auth { users, .. }) = Auth::of(scope) {
        let auth = Auth { users: users.clone(), current };
        scope.extensions_mut().insert(auth);
    }
}

/// When credentials that hold until `expires` close the connection.
pub(super) fn deadline(expires: SystemTime) -> Deadline {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    Deadline {
        at: after(Instant::now(), left),
        close: Close::new(CloseCode::CREDENTIALS_EXPIRED, "the credentials have expired"),
    }
}
