//! How somebody shows who they are.

use super::{Credentials, backend::Users, view};
use crate::{Result, Scope};

/// What shows who a connection belongs to.
#[derive(Clone)]
pub(super) enum Proof {
    Session,
    Token(String),
}

impl Proof {
    /// Whom it proves.
    pub(super) async fn user<U>(
        &self,
        scope: &Scope,
        users: &(impl Users<U> + ?Sized),
    ) -> Result<Option<Credentials<U>>> {
        let found = match self {
            Self::Session => view::read(scope.session()?, users).await?,
            Self::Token(token) => users.verify_token(token).await?,
        };
        Ok(found.filter(Credentials::hold))
    }

    /// Whether it still proves this user. To be asked when the connection is in the user's group: whoever was logged out
    /// before that is reached by no event, and whoever is logged out later is.
    pub(super) async fn still<U>(&self, scope: &Scope, users: &(impl Users<U> + ?Sized), user: &U) -> Result<bool> {
        match self {
            Self::Session => {
                scope.session()?.reload().await?;
                let now = self.user(scope, users).await?;
                Ok(now.is_some_and(|now| users.id(&now.user) == users.id(user)))
            }
            Self::Token(token) => users.still_holds(token, user).await,
        }
    }
}
