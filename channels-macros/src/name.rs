//! The names of events, as attributes write them down.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Lit, LitStr, Token, parse::ParseStream};

use crate::spell::spell;

/// Parses an event's name and refuses what no event may be called; `attribute` is `handler` or `event`.
pub(crate) fn parse(input: ParseStream<'_>, attribute: &str) -> syn::Result<LitStr> {
    if input.peek(LitStr) {
        let name: LitStr = input.parse()?;
        return match mistake(&name.value()) {
            None => Ok(name),
            Some(text) => Err(syn::Error::new(name.span(), text)),
        };
    }
    Err(not_a_string(input, attribute))
}

/// The mistake of `#[handler = "name"]`.
pub(crate) fn not_in_parentheses(value: impl ToTokens, attribute: &str) -> syn::Error {
    let text = format!("write the name in parentheses: `#[{attribute}(\"{}\")]`", meant(value.to_token_stream()));
    syn::Error::new_spanned(value, text)
}

fn not_a_string(input: ParseStream<'_>, attribute: &str) -> syn::Error {
    let written = input.cursor().token_stream();
    let is_pair = input.peek(syn::Ident) && input.peek2(Token![=]);
    let value = written.clone().into_iter().skip(if is_pair { 2 } else { 0 });
    let text = format!("an event's name is one string: write `#[{attribute}(\"{}\")]`", meant(value.collect()));
    syn::Error::new_spanned(written, text)
}

/// The name that was probably meant by what is not one.
fn meant(written: TokenStream) -> String {
    let name = match syn::parse2(written.clone()) {
        Ok(Lit::Str(name)) => name.value(),
        _ => spell(written),
    };
    if mistake(&name).is_none() { name } else { "chat.message".to_owned() }
}

/// What is wrong with a name, and what to write instead.
pub(crate) fn mistake(name: &str) -> Option<String> {
    let allowed = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if name.is_empty() {
        return Some("an event's name cannot be empty: write one such as `chat.message`".to_owned());
    }
    if let Some(char) = name.chars().find(|char| !allowed(char)) {
        return Some(format!(
            "`{name}` has a character that no event's name may have, `{}`: use ASCII letters and digits, `.`, `_` and `-`",
            char.escape_debug()
        ));
    }
    let rest = name.trim_start_matches(['_', '.']);
    if rest.len() < name.len() {
        let rest = if rest.is_empty() { "chat.message" } else { rest };
        return Some(format!("an event's name cannot begin with `{}`: write `{rest}`", &name[..1]));
    }
    None
}

/// Whether two names are the same to a handler: as in Channels, `.` and `_` are.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.replace('.', "_") == b.replace('.', "_")
}

/// A name for a type that has none: `ChatMessage` gives `chat.message`.
pub(crate) fn suggest(ident: &syn::Ident) -> String {
    let mut name = String::new();
    for char in ident.to_string().chars().filter(char::is_ascii_alphanumeric) {
        if char.is_ascii_uppercase() && !name.is_empty() {
            name.push('.');
        }
        name.push(char.to_ascii_lowercase());
    }
    if mistake(&name).is_none() { name } else { "chat.message".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_wrong_with_them() {
        assert_eq!(mistake("chat.message"), None);
        assert_eq!(mistake("a-b_c.9"), None);
        assert!(mistake("").unwrap().contains("cannot be empty"));
        assert!(mistake("._x").unwrap().ends_with("write `x`"));
        assert!(mistake("__").unwrap().ends_with("write `chat.message`"));
        assert!(mistake("读").unwrap().contains("`读`:"));
        assert!(mistake("a\nb").unwrap().contains(r"`\n`:"));
    }

    #[test]
    fn a_name_is_suggested_from_the_type() {
        let suggest = |ident: &str| suggest(&syn::Ident::new(ident, proc_macro2::Span::call_site()));
        assert_eq!(suggest("ChatMessage"), "chat.message");
        assert_eq!(suggest("notice"), "notice");
        assert_eq!(suggest("读"), "chat.message");
    }
}
