//! What a consumer is, once it is understood.

use syn::{Attribute, ImplItemFn, ItemImpl, LitStr, Path, Type};

use crate::paths::Facade;

/// A consumer. After a mistake it holds what is sound.
pub(super) struct Model {
    pub(super) facade: Facade,
    /// The impl of the trait as written, without the methods that are no hooks.
    pub(super) item: ItemImpl,
    pub(super) handlers: Vec<Handler>,
    /// Methods that are neither hooks nor handlers: each a mistake.
    pub(super) strays: Vec<ImplItemFn>,
    pub(super) input: Input,
    pub(super) manner: Manner,
    /// Whether the type can be a consumer at all.
    pub(super) is_static: bool,
}

/// The type that `receive` takes.
pub(super) struct Input {
    /// Whether the user wrote `type Input` down.
    pub(super) is_written: bool,
    /// One type, or several under different `#[cfg]`s; none for the default.
    pub(super) types: Vec<(Vec<Attribute>, Type)>,
}

pub(super) struct Handler {
    /// The `#[handler]` attribute itself.
    pub(super) attribute: Attribute,
    /// The name in the attribute; otherwise the payload's type has it.
    pub(super) name: Option<LitStr>,
    pub(super) payload: Type,
    pub(super) call: Call,
    /// The method without its `#[handler]`.
    pub(super) method: ImplItemFn,
}

/// How a handler is called.
pub(super) enum Call {
    /// With the consumer, for each member.
    Member { awaits: bool },
    /// Without `self`: once per event.
    Pure,
}

impl Handler {
    pub(super) fn is_pure(&self) -> bool {
        matches!(self.call, Call::Pure)
    }

    pub(super) fn cfgs(&self) -> Vec<&Attribute> {
        cfgs(&self.method.attrs)
    }
}

pub(super) fn cfgs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect()
}

/// How hooks are called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `impl Consumer`: they are awaited.
    Async,
    /// `impl SyncConsumer`: they may block.
    Sync,
    /// `impl HttpConsumer`: they are awaited, and a request is handled.
    Http,
}

impl Manner {
    pub(super) fn of(item: &ItemImpl) -> Self {
        item.trait_.as_ref().and_then(|(path, _)| Self::of_trait(path)).unwrap_or(Self::Async)
    }

    /// The manner of the trait at this path, if it is one of the consumers'.
    pub(super) fn of_trait(path: &Path) -> Option<Self> {
        match path.segments.last()?.ident.to_string().as_str() {
            "Consumer" => Some(Self::Async),
            "SyncConsumer" => Some(Self::Sync),
            "HttpConsumer" => Some(Self::Http),
            _ => None,
        }
    }

    pub(super) fn hooks(self) -> impl Iterator<Item = &'static Shape> {
        let others: &[&str] = if self == Self::Http { &["connect", "receive"] } else { &["handle"] };
        HOOKS.iter().filter(move |hook| !others.contains(&hook.name))
    }

    /// The hook that takes what the client sends.
    pub(super) fn taker(self) -> &'static str {
        if self == Self::Http { "handle" } else { "receive" }
    }

    pub(super) fn trait_name(self) -> &'static str {
        match self {
            Self::Async => "Consumer",
            Self::Sync => "SyncConsumer",
            Self::Http => "HttpConsumer",
        }
    }
}

/// What the signature of a hook or handler must be.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) is_async: Asyncness,
    pub(super) receiver: Receiver,
    pub(super) params: &'static [Param],
    pub(super) returns: bool,
    /// The signature after its name; `EVENT` stands for the payload, `MESSAGE` for the message's parameter.
    pub(super) written: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asyncness {
    Always,
    Never,
    Either,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    None,
    Ref,
    Mut,
    RefOrMut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Param {
    /// `cx: &mut Context`
    Context,
    /// `event: &T`, by the name it usually has.
    Shared(&'static str),
    /// The message that `receive` takes.
    Owned,
}

/// The methods of the trait.
pub(super) const HOOKS: [Shape; 7] = [
    Shape {
        name: "connect",
        is_async: Asyncness::Always,
        receiver: Receiver::Mut,
        params: &[Param::Context],
        returns: true,
        written: "(&mut self, cx: &mut Context) -> Result<()>",
    },
    Shape {
        name: "receive",
        is_async: Asyncness::Always,
        receiver: Receiver::Mut,
        params: &[Param::Context, Param::Owned],
        returns: true,
        written: "(&mut self, cx: &mut Context, MESSAGE) -> Result<()>",
    },
    Shape {
        name: "handle",
        is_async: Asyncness::Always,
        receiver: Receiver::Mut,
        params: &[Param::Context, Param::Owned],
        returns: true,
        written: "(&mut self, cx: &mut Context, MESSAGE) -> Result<()>",
    },
    Shape {
        name: "disconnect",
        is_async: Asyncness::Always,
        receiver: Receiver::Mut,
        params: &[Param::Context, Param::Shared("close")],
        returns: false,
        written: "(&mut self, cx: &mut Context, close: &Close)",
    },
    Shape {
        name: "groups",
        is_async: Asyncness::Never,
        receiver: Receiver::Ref,
        params: &[Param::Shared("scope")],
        returns: true,
        written: "(&self, scope: &Scope) -> Vec<String>",
    },
    Shape {
        name: "dispatch",
        is_async: Asyncness::Always,
        receiver: Receiver::Mut,
        params: &[Param::Context, Param::Shared("event")],
        returns: true,
        written: "(&mut self, cx: &mut Context, event: &Envelope) -> Result<Dispatch>",
    },
    Shape {
        name: "render",
        is_async: Asyncness::Never,
        receiver: Receiver::None,
        params: &[Param::Shared("event")],
        returns: true,
        written: "(event: &Envelope) -> Option<Result<Message>>",
    },
];

/// A handler with `self`.
pub(super) const MEMBER: Shape = Shape {
    name: "",
    is_async: Asyncness::Either,
    receiver: Receiver::RefOrMut,
    params: &[Param::Context, Param::Shared("event")],
    returns: true,
    written: "(&mut self, cx: &mut Context, event: &EVENT) -> Result<()>",
};

/// A handler without `self`.
pub(super) const PURE: Shape = Shape {
    name: "",
    is_async: Asyncness::Never,
    receiver: Receiver::None,
    params: &[Param::Shared("event")],
    returns: true,
    written: "(event: &EVENT) -> Result<Message>",
};
