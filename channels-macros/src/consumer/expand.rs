//! A sound model as code.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, FnArg, GenericParam, ImplItem, ItemImpl, Meta, ReturnType, ext::IdentExt, spanned::Spanned};

use super::{
    check::find_ident,
    model::{Call, Handler, Manner, Model, cfgs},
};
use crate::spell::spell;

pub(super) fn expand(model: &Model) -> TokenStream {
    let methods = model.handlers.iter().map(|handler| &handler.method);
    let inherent = inherent_impl(&model.item, methods);
    let written = trait_impl(model, &[dispatch(model), render(model)]);
    let distinct = distinct(model, Place::Outside);
    // A constant cannot name the impl's type parameters.
    let entry = model.item.generics.params.is_empty().then(|| entry(model));
    quote!(#inherent #written #distinct #entry)
}

/// An impl block of the consumer's own, for methods that are not the trait's.
pub(super) fn inherent_impl<'a>(item: &ItemImpl, methods: impl Iterator<Item: ToTokens + 'a>) -> Option<TokenStream> {
    let mut methods = methods.peekable();
    methods.peek()?;
    let attrs = item.attrs.iter().filter(|attr| applies_to_both(attr));
    let (impl_generics, _, where_clause) = item.generics.split_for_impl();
    let self_ty = &item.self_ty;
    Some(quote! {
        #(#attrs)*
        impl #impl_generics #self_ty #where_clause {
            #(#methods)*
        }
    })
}

/// Conditions and lints hold for every part of what was one block.
fn applies_to_both(attr: &Attribute) -> bool {
    ["cfg", "cfg_attr", "allow", "warn", "deny", "forbid"].iter().any(|name| attr.path().is_ident(name))
}

/// The impl as written, with its input and what else is generated.
pub(super) fn trait_impl(model: &Model, generated: &[TokenStream]) -> TokenStream {
    let mut item = model.item.clone();
    item.items.extend(inputs(model).into_iter().chain(generated.iter().cloned()).map(ImplItem::Verbatim));
    item.into_token_stream()
}

fn inputs(model: &Model) -> Option<TokenStream> {
    let input = &model.input;
    if input.is_written {
        return None;
    }
    let facade = &model.facade;
    let types = input.types.iter().map(|(cfgs, ty)| quote!(#(#cfgs)* type Input = #ty;));
    let default = default_input(model).map(|cfg| quote!(#cfg type Input = #facade::Message;));
    Some(quote!(#(#types)* #default))
}

/// Under which condition there is no `receive`; nothing when there always is one.
fn default_input(model: &Model) -> Option<TokenStream> {
    let types = &model.input.types;
    if types.is_empty() {
        return Some(TokenStream::new());
    }
    let conditions: Vec<_> = types.iter().map(|(cfgs, _)| cfgs.iter().filter_map(condition)).collect();
    if types.iter().any(|(cfgs, _)| cfgs.is_empty()) {
        return None;
    }
    let all = conditions.into_iter().map(|conditions| quote!(all(#(#conditions),*)));
    Some(quote!(#[cfg(not(any(#(#all),*)))]))
}

fn condition(cfg: &Attribute) -> Option<&TokenStream> {
    match &cfg.meta {
        Meta::List(list) => Some(&list.tokens),
        _ => None,
    }
}

/// The event's name as a constant expression; an error in the payload's type points at that type.
fn name(model: &Model, handler: &Handler) -> TokenStream {
    let (facade, payload) = (&model.facade, &handler.payload);
    match &handler.name {
        Some(name) => name.into_token_stream(),
        None => {
            let method = method_name(handler);
            quote_spanned!(payload.span()=> #facade::__private::handler_name::<#payload>(#method))
        }
    }
}

fn method_name(handler: &Handler) -> String {
    handler.method.sig.ident.unraw().to_string()
}

fn dispatch(model: &Model) -> TokenStream {
    if model.handlers.is_empty() {
        return TokenStream::new();
    }
    let facade = &model.facade;
    let distinct = distinct(model, Place::Dispatch);
    // A synchronous consumer's pure handlers are called where its connection lives, before this.
    let renders = model.manner != Manner::Sync && model.handlers.iter().any(Handler::is_pure);
    let rendered = renders.then(|| {
        quote! {
            if let ::core::option::Option::Some(message) = Self::render(event) {
                cx.send(message?)?;
                return ::core::result::Result::Ok(#facade::Dispatch::Handled);
            }
        }
    });
    let arms = model.handlers.iter().filter_map(|handler| {
        let Call::Member { awaits } = handler.call else { return None };
        Some(arm(model, handler, awaits))
    });
    let (keyword, context, result) = match model.manner {
        Manner::Async | Manner::Http => (quote!(async fn), quote!(Context), quote!(#facade::Result<#facade::Dispatch>)),
        Manner::Sync => {
            (quote!(fn), quote!(SyncContext), quote!(::core::result::Result<#facade::Dispatch, #facade::SyncError>))
        }
    };
    quote! {
        #[allow(unused_variables)]
        #keyword dispatch(
            &mut self,
            cx: &mut #facade::#context,
            event: &#facade::Envelope,
        ) -> #result {
            #distinct
            #rendered
            #(#arms)*
            ::core::result::Result::Ok(#facade::Dispatch::Unhandled)
        }
    }
}

fn arm(model: &Model, handler: &Handler, awaits: bool) -> TokenStream {
    let (facade, payload, method, cfgs) = (&model.facade, &handler.payload, &handler.method.sig.ident, handler.cfgs());
    let name = name(model, handler);
    let decoded = quote_spanned!(at(model, payload.span())=> event.decode::<#payload>()?);
    // The context's type is checked where the handler names it, and so is what it returns.
    let cx = quote_spanned!(at(model, context_span(handler))=> cx);
    let output = at(model, output_span(handler));
    let awaited = awaits.then(|| quote_spanned!(output=> .await));
    let call = quote_spanned!(output=> let _done: () = Self::#method(self, #cx, payload) #awaited ?;);
    quote! {
        #(#cfgs)*
        if event.is(#name) {
            let payload = #decoded;
            #call
            return ::core::result::Result::Ok(#facade::Dispatch::Handled);
        }
    }
}

fn render(model: &Model) -> TokenStream {
    let facade = &model.facade;
    let arms: Vec<_> = model
        .handlers
        .iter()
        .filter(|handler| handler.is_pure())
        .map(|handler| {
            let (payload, method, cfgs) = (&handler.payload, &handler.method.sig.ident, handler.cfgs());
            let name = name(model, handler);
            let decoded = quote_spanned!(at(model, payload.span())=> event.decode::<#payload>());
            let answer = quote_spanned! {at(model, output_span(handler))=>
                match Self::#method(payload) {
                    ::core::result::Result::Ok(message) => ::core::result::Result::Ok(message.into()),
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(error.into()),
                }
            };
            quote! {
                #(#cfgs)*
                if event.is(#name) {
                    return ::core::option::Option::Some(match #decoded {
                        ::core::result::Result::Ok(payload) => #answer,
                        ::core::result::Result::Err(error) => ::core::result::Result::Err(#facade::Error::from(error)),
                    });
                }
            }
        })
        .collect();
    if arms.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[allow(unused_variables, clippy::useless_conversion)]
        fn render(event: &#facade::Envelope) -> ::core::option::Option<#facade::Result<#facade::Message>> {
            #(#arms)*
            ::core::option::Option::None
        }
    }
}

/// The place of a span, where the names are those of the impl, also if `macro_rules!` put tokens from elsewhere into it.
fn at(model: &Model, span: Span) -> Span {
    span.resolved_at(model.item.impl_token.span)
}

/// The place of the handler's return type, for code that is wrong only if that type is.
fn output_span(handler: &Handler) -> Span {
    match &handler.method.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => handler.method.sig.ident.span(),
    }
}

fn context_span(handler: &Handler) -> Span {
    match handler.method.sig.inputs.iter().nth(1) {
        Some(FnArg::Typed(context)) => context.ty.span(),
        _ => handler.method.sig.ident.span(),
    }
}

/// Where a check of two names stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Beside the impl, where every check finds it.
    Outside,
    /// In `dispatch`, the one place that can name the impl's type parameters.
    Dispatch,
}

/// Refuses two handlers for one event, where only the compiler knows the names.
fn distinct(model: &Model, place: Place) -> TokenStream {
    let checks = model.handlers.iter().enumerate().flat_map(|(at, second)| {
        model.handlers[..at].iter().filter_map(move |first| conflict(model, first, second, place))
    });
    quote!(#(#checks)*)
}

fn conflict(model: &Model, first: &Handler, second: &Handler, place: Place) -> Option<TokenStream> {
    if let (Some(a), Some(b)) = (&first.name, &second.name)
        && !crate::name::same(&a.value(), &b.value())
    {
        return None;
    }
    let names_parameters = |handler: &Handler| {
        let payload = handler.payload.to_token_stream();
        let mut params = model.item.generics.params.iter().map(|param| param_ident(param).to_string());
        handler.name.is_none() && params.any(|param| find_ident(payload.clone(), &param).is_some())
    };
    let inside = names_parameters(first) || names_parameters(second);
    if inside != (place == Place::Dispatch) {
        return None;
    }
    let facade = &model.facade;
    let (first_name, second_name) = (name(model, first), name(model, second));
    let text = format!(
        "`{}` is for the event that `{}` is for already: remove one of the two, or name another event",
        method_name(second),
        method_name(first)
    );
    let panic = quote_spanned!(attribute_span(second)=> ::core::panic!(#text));
    let check = quote!(if #facade::__private::same_event(#first_name, #second_name) { #panic });
    let both = first.cfgs().into_iter().chain(second.cfgs());
    Some(match place {
        Place::Outside => {
            let cfgs = cfgs(&model.item.attrs).into_iter().chain(both);
            quote!(#(#cfgs)* const _: () = #check;)
        }
        Place::Dispatch => quote!(#(#both)* const { #check }),
    })
}

fn param_ident(param: &GenericParam) -> &Ident {
    match param {
        GenericParam::Type(param) => &param.ident,
        GenericParam::Const(param) => &param.ident,
        GenericParam::Lifetime(param) => &param.lifetime.ident,
    }
}

fn attribute_span(handler: &Handler) -> Span {
    handler.attribute.bracket_token.span.join()
}

/// One entry of the registry.
fn entry(model: &Model) -> TokenStream {
    let facade = &model.facade;
    let cfgs = cfgs(&model.item.attrs);
    let self_ty = spell(&model.item.self_ty);
    let line = line_of(model.item.impl_token.span);
    let inputs = model.input.types.iter().map(|(cfgs, ty)| {
        let ty = spell(ty);
        quote!(#(#cfgs)* input: #ty,)
    });
    let default = default_input(model).map(|cfg| quote!(#cfg input: "Message",));
    let handlers = model.handlers.iter().map(|handler| {
        let (name, method, payload, pure) =
            (name(model, handler), method_name(handler), spell(&handler.payload), handler.is_pure());
        let (cfgs, line) = (handler.cfgs(), line_of(handler.method.sig.ident.span()));
        quote! {
            #(#cfgs)*
            #facade::__private::HandlerEntry {
                event: #name,
                method: #method,
                payload: #payload,
                pure: #pure,
                line: #line,
            }
        }
    });
    quote! {
        #(#cfgs)*
        #facade::__private::inventory::submit!(
            #facade::__private::ConsumerEntry {
                name: ::core::concat!(::core::module_path!(), "::", #self_ty),
                file: ::core::file!(),
                line: #line,
                #(#inputs)*
                #default
                handlers: &[#(#handlers),*],
            }
        );
    }
}

/// The line of a token. It needs the token's own span: any other stands for the line of `#[consumer]`.
fn line_of(span: Span) -> TokenStream {
    let line = Ident::new("line", span);
    quote_spanned!(span=> ::core::#line!())
}
