//! Several middlewares as one.

use super::Middleware;
use crate::{Close, Deny, Scope};

/// A tuple is a stack: its first is the outermost.
macro_rules! stack {
    ($($outer:ident)+ / $($inner:ident)+) => {
        #[doc = "A stack: the first is the outermost."]
        #[allow(non_snake_case)]
        impl<$($outer: Middleware),+> Middleware for ($($outer,)+) {
            async fn before(&self, mut scope: Scope) -> Result<Scope, Deny> {
                let ($($outer,)+) = self;
                $(scope = $outer.before(scope).await?;)+
                Ok(scope)
            }

            async fn after(&self, scope: &mut Scope, close: &Close) {
                let ($($outer,)+) = self;
                $($inner.after(scope, close).await;)+
            }
        }
    };
}

stack!(A B / B A);
stack!(A B C / C B A);
stack!(A B C D / D C B A);
stack!(A B C D E / E D C B A);
stack!(A B C D E F / F E D C B A);
