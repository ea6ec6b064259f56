//! How macro output names the facade crate.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Path, Token, ext::IdentExt, parse::ParseStream, parse_quote};

/// The crate that generated code names: `::channels`, unless `crate = path` says otherwise.
pub(crate) struct Facade(Path);

impl Facade {
    /// Parses `crate = path`.
    pub(crate) fn parse_option(input: ParseStream<'_>, owner: &str) -> syn::Result<Self> {
        let option = input.call(syn::Ident::parse_any)?;
        if option != "crate" {
            let text = format!("{owner} has no option `{option}`: the only one is `crate = path::to::channels`");
            return Err(syn::Error::new(option.span(), text));
        }
        let path = input.parse::<Token![=]>().and_then(|_| input.call(Path::parse_mod_style)).map_err(|error| {
            syn::Error::new(error.span(), "write the path without quotes: `crate = path::to::channels`")
        })?;
        Ok(Self(path))
    }
}

impl Default for Facade {
    fn default() -> Self {
        Self(parse_quote!(::channels))
    }
}

impl ToTokens for Facade {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}
