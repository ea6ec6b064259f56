//! `#[consumer]`: parse, model, check, expand; or fall back.

mod check;
mod expand;
mod fallback;
mod model;
mod parse;
mod signature;

use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostics::Diagnostics;

pub(crate) fn consumer(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let facade = diagnostics.take(parse::options(args)).unwrap_or_default();
    let item = match parse::consumer_impl(item.clone()) {
        Ok(item) => item,
        Err(error) => {
            diagnostics.push(error);
            let item = fallback::not_a_consumer(item);
            return quote!(#diagnostics #item);
        }
    };
    let model = check::check(facade, item, &mut diagnostics);
    if diagnostics.is_empty() {
        expand::expand(&model)
    } else {
        let rest = fallback::fallback(&model);
        quote!(#diagnostics #rest)
    }
}

#[cfg(test)]
mod tests;
