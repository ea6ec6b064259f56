//! Whether a signature has the shape of its hook or handler.

use quote::{ToTokens, quote};
use syn::{
    FnArg, GenericArgument, PatType, PathArguments, ReceiverKind, ReturnType, Safety, Signature, Type, TypeReference,
};

use super::model::{Asyncness, MEMBER, Manner, PURE, Param, Receiver, Shape};
use crate::{diagnostics::Diagnostics, spell::spell};

/// Notes every way in which `sig` differs from `shape`; true when there is none.
pub(super) fn check(shape: &Shape, manner: Manner, sig: &Signature, diagnostics: &mut Diagnostics) -> bool {
    let before = diagnostics.len();
    let params = sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(param) => Some(param),
        FnArg::Receiver(_) => None,
    });
    let mut checker = Checker { shape, manner, sig, params: params.collect(), diagnostics };
    checker.safety();
    checker.asyncness();
    checker.receiver();
    checker.params();
    checker.output();
    diagnostics.len() == before
}

/// Whether the method returns `impl …`, which is `async fn` by hand.
pub(super) fn returns_impl(sig: &Signature) -> bool {
    matches!(&sig.output, ReturnType::Type(_, ty) if matches!(peel(ty), Type::ImplTrait(_)))
}

/// A type without parentheses, and without the invisible ones that `macro_rules!` leaves.
pub(super) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        ty => ty,
    }
}

struct Checker<'a> {
    shape: &'a Shape,
    manner: Manner,
    sig: &'a Signature,
    params: Vec<&'a PatType>,
    diagnostics: &'a mut Diagnostics,
}

impl<'a> Checker<'a> {
    /// The whole signature as it should be.
    fn fix(&self, shape: &Shape) -> String {
        let keyword = match self.asyncness_of(shape) {
            Asyncness::Always | Asyncness::Either => "async fn",
            Asyncness::Never => "fn",
        };
        let written = shape.written.replace("EVENT", &self.event()).replace("MESSAGE", &self.message());
        let written = match self.manner {
            Manner::Sync if !shape.params.contains(&Param::Context) => written,
            Manner::Sync => {
                written.replace("&mut Context", "&mut SyncContext").replace("-> Result<()>", "-> Result<(), SyncError>")
            }
            Manner::Async | Manner::Http => written,
        };
        format!("`{keyword} {}{written}`", self.sig.ident)
    }

    fn asyncness_of(&self, shape: &Shape) -> Asyncness {
        match self.manner {
            Manner::Async | Manner::Http => shape.is_async,
            Manner::Sync => Asyncness::Never,
        }
    }

    /// The parameter for the message, as the user wrote it if there is one.
    fn message(&self) -> String {
        match self.params.last() {
            Some(param) if fits(Param::Owned, &param.ty) && !is_context(&param.ty) => spell(param),
            _ if self.manner == Manner::Http => "body: Bytes".to_owned(),
            _ => "message: Message".to_owned(),
        }
    }

    /// The payload, as far as it can be told.
    fn event(&self) -> String {
        match self.params.iter().map(|param| peel(&param.ty)).find(|ty| !is_context(ty)) {
            Some(Type::Reference(TypeReference { elem, .. })) => spell(elem),
            Some(ty @ Type::Path(_)) => spell(ty),
            _ => "ChatMessage".to_owned(),
        }
    }

    /// Notes `mistake` at these tokens, with the signature to write.
    fn wrong(&mut self, tokens: impl ToTokens, mistake: &str) {
        let text = format!("`{}` {mistake}: write {}", self.sig.ident, self.fix(self.shape));
        self.diagnostics.at(tokens, text);
    }

    fn wrong_in_parens(&mut self, mistake: &str) {
        let text = format!("`{}` {mistake}: write {}", self.sig.ident, self.fix(self.shape));
        self.diagnostics.push(syn::Error::new(self.sig.paren_token.span.join(), text));
    }

    fn safety(&mut self) {
        if let Safety::Unsafe(token) = &self.sig.safety {
            let text = format!("`{}` cannot be unsafe, as the framework calls it: remove `unsafe`", self.sig.ident);
            self.diagnostics.at(token, text);
        }
    }

    fn asyncness(&mut self) {
        let (sig, ident) = (self.sig, &self.sig.ident);
        match (self.asyncness_of(self.shape), &sig.asyncness) {
            (Asyncness::Always, None) if !returns_impl(sig) => {
                let fn_token = &sig.fn_token;
                self.wrong(quote!(#fn_token #ident), "must be async");
            }
            (Asyncness::Never, Some(token)) if self.is_pure() => {
                let text = format!(
                    "`{ident}` has no `self`, so it runs once per event for all members and cannot wait: remove `async`, \
                     or write {}",
                    self.fix(&MEMBER)
                );
                self.diagnostics.at(token, text);
            }
            (Asyncness::Never, Some(token)) if self.manner == Manner::Sync => {
                self.wrong(token, "is a hook or handler of a `SyncConsumer`, which may block and cannot be async");
            }
            (Asyncness::Never, Some(token)) => self.wrong(token, "cannot be async"),
            _ => {}
        }
    }

    fn receiver(&mut self) {
        let Some(receiver) = self.sig.receiver() else {
            match self.shape.receiver {
                Receiver::None => {}
                Receiver::Ref => self.wrong_in_parens("has no `&self`"),
                Receiver::Mut | Receiver::RefOrMut => self.wrong_in_parens("has no `&mut self`"),
            }
            return;
        };
        let given = match &receiver.kind {
            ReceiverKind::Reference(_, _, None) => Receiver::Ref,
            ReceiverKind::Reference(_, _, Some(_)) => Receiver::Mut,
            ReceiverKind::Typed(_, ty) => match peel(ty) {
                Type::Reference(reference) if spell(&reference.elem) == "Self" => match reference.mutability {
                    Some(_) => Receiver::Mut,
                    None => Receiver::Ref,
                },
                _ => Receiver::None,
            },
            _ => Receiver::None,
        };
        match (self.shape.receiver, given) {
            (Receiver::None, _) => self.wrong(receiver, "has no `self`"),
            (Receiver::RefOrMut, Receiver::Ref | Receiver::Mut) => {}
            (wanted, given) if wanted == given => {}
            (Receiver::Ref, _) => self.wrong(receiver, "takes `&self`"),
            (Receiver::Mut, _) => self.wrong(receiver, "takes `&mut self`"),
            (Receiver::RefOrMut, _) => self.wrong(receiver, "takes `&mut self` or `&self`"),
        }
    }

    fn params(&mut self) {
        let wanted = self.shape.params;
        let given = std::mem::take(&mut self.params);
        self.params.clone_from(&given);
        if self.is_pure()
            && let Some(context) = self.context()
        {
            let text = format!(
                "a handler without `self` has no connection and so no context: write {}, or take the event alone: {}",
                self.fix(&MEMBER),
                self.fix(self.shape)
            );
            self.diagnostics.at(context, text);
            return;
        }
        if given.len() < wanted.len() {
            let mut rest = given.iter();
            let mut next = rest.next();
            for param in wanted {
                if next.is_some_and(|given| fits(*param, &given.ty)) {
                    next = rest.next();
                    continue;
                }
                return self.wrong_in_parens(&match param {
                    Param::Context => "has no `cx: &mut Context`".to_owned(),
                    Param::Shared(name) => format!("has no `{name}` parameter"),
                    Param::Owned => "has no parameter for the message".to_owned(),
                });
            }
        }
        if given.len() > wanted.len() {
            let surplus = &given[wanted.len()..];
            return self.wrong(quote!(#(#surplus),*), "has too many parameters");
        }
        if let ([Param::Context, Param::Shared(_)], [first, second]) = (wanted, &*given)
            && fits(wanted[1], &first.ty)
            && fits(wanted[0], &second.ty)
        {
            return self.wrong(quote!(#first, #second), "takes the context first");
        }
        for (param, given) in wanted.iter().zip(given) {
            self.param(*param, given);
        }
    }

    fn param(&mut self, wanted: Param, given: &PatType) {
        if fits(wanted, &given.ty) {
            return;
        }
        let ty = match peel(&given.ty) {
            Type::Reference(reference) => &*reference.elem,
            ty => ty,
        };
        let text = match wanted {
            Param::Context => "the context is only lent: write `cx: &mut Context`".to_owned(),
            Param::Shared("event") => {
                format!("an event is shared by all who receive it, so it is only lent: write `event: &{}`", spell(ty))
            }
            Param::Shared(name) => format!("`{name}` is only lent: write `{name}: &{}`", spell(ty)),
            Param::Owned => "`receive` owns its message, and its type says what a client may send: write \
                             `Json(message): Json<…>`, `Text(text): Text`, `Binary(bytes): Binary` or \
                             `message: Message`"
                .to_owned(),
        };
        self.diagnostics.at(&given.ty, text);
    }

    fn output(&mut self) {
        let ident = &self.sig.ident;
        match &self.sig.output {
            ReturnType::Default if self.shape.returns => self.wrong(ident, "has no return type"),
            ReturnType::Type(_, ty) if self.shape.returns && is_unit(ty) => self.wrong(ty, "has to return a `Result`"),
            ReturnType::Type(_, ty) if !self.shape.returns && !is_unit(ty) && !returns_impl(self.sig) => {
                self.wrong(ty, "returns nothing, as nobody is left to tell (log what went wrong)");
            }
            ReturnType::Type(_, ty)
                if self.is_pure() && self.context().is_none() && answer(ty).is_some_and(is_unit) =>
            {
                self.wrong(ty, "answers nothing, though all it can do is answer");
            }
            ReturnType::Type(_, ty) if self.is_member() && answer(ty).is_some_and(is_message) => {
                let text = format!(
                    "`{ident}` returns a message, and nobody would send it: call `cx.send(…)?` and write {}; or, if it is \
                     the same for every member, write {}",
                    self.fix(self.shape),
                    self.fix(&PURE)
                );
                self.diagnostics.at(ty, text);
            }
            _ => {}
        }
    }

    fn context(&self) -> Option<&'a PatType> {
        self.params.iter().copied().find(|param| is_context(&param.ty))
    }

    fn is_member(&self) -> bool {
        self.shape.name.is_empty() && self.shape.receiver != Receiver::None
    }

    fn is_pure(&self) -> bool {
        self.shape.name.is_empty() && self.shape.receiver == Receiver::None
    }
}

fn fits(param: Param, ty: &Type) -> bool {
    match (param, peel(ty)) {
        (Param::Context, Type::Reference(reference)) => reference.mutability.is_some(),
        (Param::Shared(_), Type::Reference(reference)) => reference.mutability.is_none(),
        (Param::Owned, Type::Reference(_) | Type::ImplTrait(_)) => false,
        (Param::Owned, _) => true,
        _ => false,
    }
}

fn is_context(ty: &Type) -> bool {
    match peel(ty) {
        Type::Reference(reference) => is_context(&reference.elem),
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|last| last.ident == "Context" || last.ident == "SyncContext")
        }
        _ => false,
    }
}

/// `T` of `Result<T>`.
fn answer(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = peel(ty) else { return None };
    let result = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &result.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) => Some(ty),
        _ => None,
    }
}

fn is_message(ty: &Type) -> bool {
    matches!(peel(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Message"))
}

fn is_unit(ty: &Type) -> bool {
    matches!(peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}
