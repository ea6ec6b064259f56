use std::{fmt, future::Future};

use channels::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! events {
    ($($name:literal $type:ident)*) => {
        $(
            #[derive(Serialize, Deserialize, Event)]
            #[event($name)]
            struct $type {
                text: String,
            }
        )*
    };
}

events! { "a" A "b" B "c" C "d" D "e" E "f" F "g" G }

#[derive(Debug)]
struct Failure;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failure")
    }
}

impl std::error::Error for Failure {}

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler]
    async fn a(&mut self, cx: &mut Context, event: &A) -> Result<()> {
        self.helper();
        cx.send(event.text.as_str())?;
        Ok(())
    }

    #[handler]
    async fn b(self: &mut Self, _: &mut channels::Context, B { text }: &self::B) -> channels::Result<()> {
        let _ = text;
        Ok(())
    }

    #[handler]
    fn c(&self, _context: &mut Context, _event: &C) -> Result<(), Failure> {
        Err(Failure)
    }

    #[handler]
    fn d(&mut self, cx: &mut Context, event: &D) -> impl Future<Output = Result<()>> {
        async move {
            cx.send(event.text.as_str())?;
            Ok(())
        }
    }

    #[handler]
    async fn e<'a>(&'a mut self, _cx: &'a mut Context, _event: &'a E) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// Documented, and under lints of its own.
    #[allow(unused_variables)]
    #[handler]
    #[must_use]
    pub(crate) async fn f(&mut self, cx: &mut Context, event: &F) -> Result<()> {
        Ok(())
    }

    #[handler]
    const fn g(&self, _cx: &mut Context, _event: &G) -> Result<()> {
        Ok(())
    }
}

impl Chat {
    fn helper(&self) {}
}
