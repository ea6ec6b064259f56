//! From tokens to syntax: the attributes' arguments, and the impl they stand on.

use proc_macro2::{Span, TokenStream};
use syn::{
    Attribute, ImplItemFn, Item, ItemImpl, LitStr, Meta, Token,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

use super::model::Manner;
use crate::{name, paths::Facade, spell::spell};

/// What stands in `#[consumer(…)]`.
pub(super) fn options(args: TokenStream) -> syn::Result<Facade> {
    let parser = |input: ParseStream<'_>| {
        if input.is_empty() {
            return Ok(Facade::default());
        }
        if !input.peek(syn::Ident::peek_any) {
            return Err(input.error("write `#[consumer]`, or `#[consumer(crate = path::to::channels)]`"));
        }
        let facade = Facade::parse_option(input, "`#[consumer]`")?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(input.error("remove this: `crate = path` is the only option"));
        }
        Ok(facade)
    };
    parser.parse2(args)
}

/// The impl below `#[consumer]`, if it is one of `Consumer`.
pub(super) fn consumer_impl(item: TokenStream) -> syn::Result<ItemImpl> {
    let Item::Impl(item) = syn::parse2(item)? else {
        let text = "`#[consumer]` goes on an impl: put it on `impl Consumer for …`";
        return Err(syn::Error::new(Span::call_site(), text));
    };
    let self_ty = spell(&item.self_ty);
    match &item.trait_ {
        Some((path, _)) if Manner::of_trait(path).is_some() => Ok(item),
        Some((path, _)) => {
            let text = format!(
                "`#[consumer]` goes on `impl Consumer for {self_ty}`, and this is an impl of `{}`: remove the attribute",
                spell(path)
            );
            Err(syn::Error::new_spanned(path, text))
        }
        None => {
            let text = format!("`#[consumer]` goes on an impl of the trait: write `impl Consumer for {self_ty}`");
            Err(syn::Error::new_spanned(&item.self_ty, text))
        }
    }
}

/// Takes the `#[handler]` attributes off a method.
pub(super) fn take_handler(method: &mut ImplItemFn) -> Vec<Attribute> {
    let is_handler = |attr: &mut Attribute| attr.path().segments.last().is_some_and(|last| last.ident == "handler");
    method.attrs.extract_if(.., is_handler).collect()
}

/// The name in `#[handler("name")]`; none in `#[handler]`.
pub(super) fn handler_name(attribute: &Attribute) -> syn::Result<Option<LitStr>> {
    let how = "write `#[handler]`, or `#[handler(\"chat.message\")]`";
    match &attribute.meta {
        Meta::Path(_) => Ok(None),
        Meta::NameValue(pair) => Err(name::not_in_parentheses(&pair.value, "handler")),
        Meta::List(list) if list.tokens.is_empty() => Err(syn::Error::new_spanned(list, how)),
        Meta::List(_) => attribute.parse_args_with(|input: ParseStream<'_>| {
            let name = name::parse(input, "handler")?;
            input.parse::<Option<Token![,]>>()?;
            if input.is_empty() {
                return Ok(Some(name));
            }
            let text = format!("a handler answers to one event: write `#[handler(\"{}\")]`", name.value());
            Err(syn::Error::new_spanned(input.cursor().token_stream(), text))
        }),
    }
}
