//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, LitStr, Meta, Token, parse::ParseStream, spanned::Spanned};

use crate::{diagnostics::Diagnostics, name, paths::Facade};

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let mut diagnostics = Diagnostics::default();
    let shaped = check_shape(&input, &mut diagnostics);
    check_places(&input, &mut diagnostics);
    let named = attribute(&input, &mut diagnostics).and_then(|attribute| diagnostics.take(parse(attribute)));

    let ident = &input.ident;
    // With a mistake in the name the type is still an event, so that its uses are no mistakes too.
    let (name, facade) = named.unwrap_or_else(|| (LitStr::new(&ident.to_string(), ident.span()), Facade::default()));
    let event = shaped.then(|| {
        quote! {
            #[automatically_derived]
            impl #facade::Event for #ident {
                const NAME: &'static str = #name;
            }
        }
    });
    quote!(#diagnostics #event)
}

/// One name must be one type, that owns what it holds.
fn check_shape(input: &DeriveInput, diagnostics: &mut Diagnostics) -> bool {
    let before = diagnostics.len();
    let ident = &input.ident;
    if let Data::Union(data) = &input.data {
        diagnostics.at(data.union_token, format!("a union cannot be an event: write `struct {ident}`"));
    }
    for lifetime in input.generics.lifetimes() {
        let text = "an event outlives whoever sent it, so it cannot borrow: own the data (`String` for `&str`) and \
                    remove the lifetime";
        diagnostics.at(lifetime, text);
    }
    for param in input.generics.params.iter().filter(|param| !matches!(param, syn::GenericParam::Lifetime(_))) {
        let text = format!(
            "an event's name stands for one type, and `{ident}` is many: write one type for each event, with a name of \
             its own"
        );
        diagnostics.at(param, text);
    }
    diagnostics.len() == before
}

fn check_places(input: &DeriveInput, diagnostics: &mut Diagnostics) {
    let mut refuse = |attrs: &[Attribute]| {
        for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
            let text = format!("the name belongs to the whole event: put `#[event(…)]` on `{}`", input.ident);
            diagnostics.at(attribute, text);
        }
    };
    match &input.data {
        Data::Struct(data) => data.fields.iter().for_each(|field| refuse(&field.attrs)),
        Data::Union(data) => data.fields.named.iter().for_each(|field| refuse(&field.attrs)),
        Data::Enum(data) => {
            for variant in &data.variants {
                refuse(&variant.attrs);
                variant.fields.iter().for_each(|field| refuse(&field.attrs));
            }
        }
    }
}

fn attribute<'a>(input: &'a DeriveInput, diagnostics: &mut Diagnostics) -> Option<&'a Attribute> {
    let mut attributes = input.attrs.iter().filter(|attribute| attribute.path().is_ident("event"));
    let Some(first) = attributes.next() else {
        let (ident, suggestion) = (&input.ident, name::suggest(&input.ident));
        diagnostics.at(ident, format!("`{ident}` has no event name: add `#[event(\"{suggestion}\")]`"));
        return None;
    };
    for second in attributes {
        diagnostics.at(second, "an event has one name: remove this `#[event(…)]`, or the one before it");
    }
    Some(first)
}

fn parse(attribute: &Attribute) -> syn::Result<(LitStr, Facade)> {
    match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => attribute.parse_args_with(arguments),
        Meta::NameValue(pair) => Err(name::not_in_parentheses(&pair.value, "event")),
        meta => Err(syn::Error::new_spanned(meta, "the event's name is missing: write `#[event(\"chat.message\")]`")),
    }
}

fn arguments(input: ParseStream<'_>) -> syn::Result<(LitStr, Facade)> {
    let name = name::parse(input, "event")?;
    let mut facade = Facade::default();
    if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
        if let Ok(second) = input.fork().parse::<LitStr>() {
            let text = format!("an event has one name: remove this one, or \"{}\"", name.value());
            return Err(syn::Error::new(second.span(), text));
        }
        facade = Facade::parse_option(input, "`#[event]`")?;
        input.parse::<Option<Token![,]>>()?;
    }
    if !input.is_empty() {
        let rest = input.cursor().token_stream();
        return Err(syn::Error::new(rest.span(), format!("remove this: write `#[event(\"{}\")]`", name.value())));
    }
    Ok((name, facade))
}
