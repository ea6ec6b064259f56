//! `#[test]`: a test that runs on actix's runtime.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, ItemFn, LitBool, Token, ext::IdentExt, parse::ParseStream, parse::Parser};

use crate::{diagnostics::Diagnostics, paths::Facade};

#[derive(Default)]
struct Options {
    start_paused: bool,
    facade: Facade,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let options = diagnostics.take(Options::parse.parse2(arguments)).unwrap_or_default();
    let mut test: ItemFn = match syn::parse2(item.clone()) {
        Ok(test) => test,
        Err(error) => {
            diagnostics.push(syn::Error::new(error.span(), "`#[channels::test]` stands on an `async fn`"));
            return quote!(#diagnostics #item);
        }
    };
    if test.sig.asyncness.take().is_none() {
        diagnostics
            .at(test.sig.fn_token, "write `async fn`: for a test that awaits nothing, plain `#[test]` is enough");
    }
    if !test.sig.inputs.is_empty() {
        diagnostics.at(&test.sig.inputs, "a test takes no parameters: remove them");
    }
    if !diagnostics.is_empty() {
        return quote!(#diagnostics #item);
    }
    let Options { start_paused, facade } = options;
    let ItemFn { attrs, vis, sig, block, .. } = test;
    quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis #sig {
            #facade::testing::run_test(#start_paused, async #block)
        }
    }
}

impl Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let name = input.fork().call(Ident::parse_any)?;
            if name == "start_paused" {
                input.call(Ident::parse_any)?;
                input.parse::<Token![=]>()?;
                options.start_paused = input.parse::<LitBool>()?.value;
            } else if name == "crate" {
                options.facade = Facade::parse_option(input, "`#[channels::test]`")?;
            } else {
                let text = format!("`#[channels::test]` has no option `{name}`: write `start_paused = true`");
                return Err(syn::Error::new(name.span(), text));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}
