//! Sorts the impl's methods, and notes every mistake in them.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericParam, ImplItem, ImplItemFn, ItemImpl, Lifetime, Type, TypeReference, ext::IdentExt,
};

use super::{
    model::{Call, Handler, Input, MEMBER, Manner, Model, PURE, Shape, cfgs},
    parse, signature,
};
use crate::{diagnostics::Diagnostics, name, paths::Facade, spell::spell};

pub(super) fn check(facade: Facade, mut item: ItemImpl, diagnostics: &mut Diagnostics) -> Model {
    let manner = Manner::of(&item);
    let is_static = check_self_type(&item.self_ty, diagnostics);
    let (mut handlers, mut strays) = (Vec::new(), Vec::new());
    let mut has_handlers = false;
    let self_ty = item.self_ty.clone();
    for member in std::mem::take(&mut item.items) {
        let ImplItem::Fn(mut method) = member else {
            item.items.push(member);
            continue;
        };
        let attributes = parse::take_handler(&mut method);
        has_handlers |= !attributes.is_empty();
        let hook = manner.hooks().find(|hook| method.sig.ident == hook.name);
        match (hook, attributes.is_empty()) {
            (Some(shape), true) => {
                if signature::check(shape, manner, &method.sig, diagnostics) {
                    item.items.push(ImplItem::Fn(method));
                }
            }
            (Some(_), false) => refuse_handler_on_hook(&attributes, &method, diagnostics),
            (None, false) => handlers.extend(check_handler(attributes, manner, method, diagnostics)),
            (None, true) => {
                refuse_stray(&method, manner, &self_ty, diagnostics);
                strays.push(method);
            }
        }
    }
    if has_handlers {
        refuse_written_by_hand(&item, diagnostics);
    }
    refuse_two_for_one(&handlers, diagnostics);
    let input = input(&item, manner);
    Model { facade, item, handlers, strays, input, manner, is_static }
}

fn check_self_type(self_ty: &Type, diagnostics: &mut Diagnostics) -> bool {
    let Some(lifetime) = borrow_in(self_ty.to_token_stream()) else { return true };
    let text = "a consumer outlives the function that makes it, so it cannot borrow: own the data (`String` for `&str`, \
                `Arc<T>` for `&T`) and remove the lifetime";
    diagnostics.at(lifetime, text);
    false
}

fn refuse_handler_on_hook(attributes: &[Attribute], method: &ImplItemFn, diagnostics: &mut Diagnostics) {
    let ident = &method.sig.ident;
    let text =
        format!("`{ident}` is a hook, and no event reaches it: remove `#[handler]`, or give the handler another name");
    diagnostics.at(&attributes[0], text);
}

fn refuse_stray(method: &ImplItemFn, manner: Manner, self_ty: &Type, diagnostics: &mut Diagnostics) {
    let ident = &method.sig.ident;
    let elsewhere = format!("move it to `impl {} {{ … }}`", spell(self_ty));
    let name = manner.trait_name();
    let text = match closest_hook(&ident.unraw().to_string(), manner) {
        Some(hook) => format!(
            "`{name}` has no hook `{ident}`: did you mean `{hook}`? Put `#[handler]` on it if it is for an event; \
             otherwise {elsewhere}"
        ),
        None => format!(
            "`{ident}` is neither a hook nor a handler: put `#[handler]` on it if it is for an event; otherwise {elsewhere}"
        ),
    };
    diagnostics.at(ident, text);
}

/// `dispatch` and `render` are what `#[consumer]` makes of the handlers.
fn refuse_written_by_hand(item: &ItemImpl, diagnostics: &mut Diagnostics) {
    for member in &item.items {
        if let ImplItem::Fn(method) = member
            && let ident = &method.sig.ident
            && (ident == "dispatch" || ident == "render")
        {
            let text = format!(
                "`#[consumer]` writes `{ident}` from the `#[handler]` methods: remove this one, or every `#[handler]`"
            );
            diagnostics.at(ident, text);
        }
    }
}

/// Finds what is certain here; names that types have are compared by generated code.
fn refuse_two_for_one(handlers: &[Handler], diagnostics: &mut Diagnostics) {
    for (at, second) in handlers.iter().enumerate() {
        let Some(name) = &second.name else { continue };
        let earlier = handlers[..at].iter().find(|first| {
            let same = first.name.as_ref().is_some_and(|first| name::same(&first.value(), &name.value()));
            same && first.cfgs().is_empty() && second.cfgs().is_empty()
        });
        if let Some(Handler { name: Some(first_name), method: first, .. }) = earlier {
            let (first, second) = (&first.sig.ident, &second.method.sig.ident);
            let alike =
                if first_name.value() == name.value() { "" } else { " (`.` and `_` are the same in an event's name)" };
            let text = format!(
                "`{second}` is for the event \"{}\", as `{first}` is already{alike}: remove one of the two, or name \
                 another event",
                first_name.value()
            );
            diagnostics.at(name, text);
        }
    }
}

fn check_handler(
    attributes: Vec<Attribute>,
    manner: Manner,
    method: ImplItemFn,
    diagnostics: &mut Diagnostics,
) -> Option<Handler> {
    let mut attributes = attributes.into_iter();
    let attribute = attributes.next()?;
    for second in attributes {
        diagnostics.at(second, "a method is a handler once: remove this `#[handler]`, or the one before it");
    }
    let name = diagnostics.take(parse::handler_name(&attribute));

    let sig = &method.sig;
    let shape: &Shape = if sig.receiver().is_some() { &MEMBER } else { &PURE };
    let mut sound = signature::check(shape, manner, sig, diagnostics);
    for param in sig.generics.params.iter().filter(|param| !matches!(param, GenericParam::Lifetime(_))) {
        let text = format!("a handler is for one type of event: name it, and remove `{}`", spell(param));
        diagnostics.at(param, text);
        sound = false;
    }
    let payload = payload(&method)?;
    if !sound || !check_payload(&payload, diagnostics) {
        return None;
    }
    if name == Some(None) && is_raw(&payload) {
        check_method_name(&method, diagnostics);
    }
    let awaits = sig.asyncness.is_some() || signature::returns_impl(sig);
    let call = if sig.receiver().is_some() { Call::Member { awaits } } else { Call::Pure };
    Some(Handler { attribute, name: name.flatten(), payload, call, method })
}

/// `T` of the last parameter, `event: &T`.
fn payload(method: &ImplItemFn) -> Option<Type> {
    let Some(FnArg::Typed(event)) = method.sig.inputs.last() else { return None };
    match signature::peel(&event.ty) {
        Type::Reference(TypeReference { elem, mutability: None, .. }) => Some(signature::peel(elem).clone()),
        _ => None,
    }
}

fn check_payload(payload: &Type, diagnostics: &mut Diagnostics) -> bool {
    let before = diagnostics.len();
    if let Type::ImplTrait(_) | Type::TraitObject(_) | Type::Infer(_) = payload {
        let text = "a handler is for one type of event: name it, as in `event: &ChatMessage`, or take a `&RawEvent`";
        diagnostics.at(payload, text);
    } else if let Some(lifetime) = borrow_in(payload.to_token_stream()) {
        let text = "an event outlives whoever sent it, so it cannot borrow: remove the lifetime, and own the data";
        diagnostics.at(lifetime, text);
    } else if let Some(token) = find_ident(payload.to_token_stream(), "Self") {
        diagnostics.at(token, "the registry needs the event's own name: write the type that `Self` stands for");
    }
    diagnostics.len() == before
}

/// An untyped event is named after the method, so the method's name must be an event's.
fn check_method_name(method: &ImplItemFn, diagnostics: &mut Diagnostics) {
    let ident = &method.sig.ident;
    if let Some(mistake) = name::mistake(&ident.unraw().to_string()) {
        let text = format!("this method names its event, and {mistake}, or name the event in `#[handler(\"…\")]`");
        diagnostics.at(ident, text);
    }
}

fn is_raw(payload: &Type) -> bool {
    matches!(payload, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "RawEvent"))
}

fn input(item: &ItemImpl, manner: Manner) -> Input {
    let owned = |attrs: &[Attribute]| cfgs(attrs).into_iter().cloned().collect();
    let mut input = Input { is_written: false, types: Vec::new() };
    let mut received = Vec::new();
    for member in &item.items {
        match member {
            ImplItem::Type(ty) if ty.ident == "Input" => {
                input.is_written = true;
                input.types.push((owned(&ty.attrs), ty.ty.clone()));
            }
            ImplItem::Fn(method) if method.sig.ident == manner.taker() => {
                if let Some(FnArg::Typed(message)) = method.sig.inputs.last() {
                    received.push((owned(&method.attrs), (*message.ty).clone()));
                }
            }
            _ => {}
        }
    }
    if !input.is_written {
        // A second one is the compiler's to refuse.
        let certain = received.iter().position(|(cfgs, _): &(Vec<_>, _)| cfgs.is_empty());
        received.truncate(certain.map_or(received.len(), |at| at + 1));
        input.types = received;
    }
    input
}

/// The first lifetime that is not `'static`, or the `&` that has none. What functions take and give is theirs.
fn borrow_in(tokens: TokenStream) -> Option<TokenStream> {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Ident(ident) if ident == "for" => return None,
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                if let Some(TokenTree::Ident(ident)) = tokens.next()
                    && ident != "static"
                {
                    let mut lifetime = Lifetime::new(&format!("'{ident}"), ident.span());
                    lifetime.apostrophe = punct.span();
                    return Some(lifetime.into_token_stream());
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let has_lifetime = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'');
                if !has_lifetime {
                    return Some(token.into());
                }
            }
            _ => {}
        }
    }
    None
}

/// The first identifier of this name.
pub(super) fn find_ident(tokens: TokenStream, name: &str) -> Option<TokenTree> {
    tokens.into_iter().find_map(|token| match &token {
        TokenTree::Group(group) => find_ident(group.stream(), name),
        TokenTree::Ident(ident) if ident == name => Some(token),
        _ => None,
    })
}

/// The hook that is meant by a name that is nearly one, or has one in it.
fn closest_hook(name: &str, manner: Manner) -> Option<&'static str> {
    let names: Vec<_> = manner.hooks().map(|hook| hook.name).collect();
    let typo = names.iter().map(|hook| (distance(name, hook), *hook)).min()?;
    if typo.0 <= 2 {
        return Some(typo.1);
    }
    // `disconnect` has `connect` in it, so the longest one counts.
    names.into_iter().filter(|hook| name.split('_').any(|word| word == *hook)).max_by_key(|hook| hook.len())
}

/// How many letters to change, add or leave out (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_hook_is_recognised() {
        assert_eq!(closest_hook("recieve", Manner::Async), Some("receive"));
        assert_eq!(closest_hook("disconect", Manner::Async), Some("disconnect"));
        assert_eq!(closest_hook("websocket_connect", Manner::Async), Some("connect"));
        assert_eq!(closest_hook("receive_json", Manner::Async), Some("receive"));
        assert_eq!(closest_hook("chat_message", Manner::Async), None);
        assert_eq!(closest_hook("regroup", Manner::Async), None);
        assert_eq!(closest_hook("receive", Manner::Http), None);
        assert_eq!(closest_hook("handel", Manner::Http), Some("handle"));
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("读写", "读"), 1);
    }

    #[test]
    fn static_is_the_only_lifetime_that_is_no_borrow() {
        let borrow = |text: &str| borrow_in(text.parse().unwrap()).map(|tokens| tokens.to_string());
        assert_eq!(borrow("Foo<&'static str, Bar>"), None);
        assert_eq!(borrow("Foo<'a>").as_deref(), Some("'a"));
        assert_eq!(borrow("Foo<Bar<'_>>").as_deref(), Some("'_"));
        assert_eq!(borrow("Foo<fn(&str), dyn for<'a> Fn(&'a str)>"), None);
        assert_eq!(borrow("Foo<&str>").as_deref(), Some("&"));
    }
}
