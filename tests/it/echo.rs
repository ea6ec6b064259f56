//! The smallest consumer, and users who are believed: for what is about neither.

use channels::{
    Error,
    auth::{Credentials, UserBackend},
    prelude::*,
};

/// Sends back what it gets.
#[derive(Default)]
pub(crate) struct Echo;

#[consumer]
impl Consumer for Echo {
    async fn receive(&mut self, cx: &mut Context, message: Message) -> Result<()> {
        cx.send(message)
    }
}

/// Everybody is who their token says they are.
pub(crate) struct Trusting;

impl UserBackend for Trusting {
    type User = String;

    fn id(&self, user: &String) -> String {
        user.clone()
    }

    async fn get_user(&self, _: &str) -> Result<Option<String>> {
        Err(Error::msg("nobody logs in here"))
    }

    async fn verify_token(&self, token: &str) -> Result<Option<Credentials<String>>> {
        Ok(Some(Credentials::new(token.to_owned())))
    }
}
