//! What is emitted beside a mistake, so that the mistake stays the only error.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{ImplItem, Item};

use super::{
    expand::{inherent_impl, trait_impl},
    model::Model,
    parse,
};

/// Everything sound in the consumer: hooks, handlers, and methods that only stand in the wrong place.
pub(super) fn fallback(model: &Model) -> TokenStream {
    let handlers = model.handlers.iter().map(|handler| &handler.method);
    let inherent = inherent_impl(&model.item, handlers.chain(&model.strays));
    let written = model.is_static.then(|| trait_impl(model, &[]));
    quote!(#inherent #written)
}

/// An item that `#[consumer]` cannot stand on, without its `#[handler]` attributes.
pub(super) fn not_a_consumer(tokens: TokenStream) -> TokenStream {
    let Ok(Item::Impl(mut item)) = syn::parse2(tokens.clone()) else { return tokens };
    for member in &mut item.items {
        if let ImplItem::Fn(method) = member {
            parse::take_handler(method);
        }
    }
    item.into_token_stream()
}
