//! Tokens as a person would write them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// `Json<Inbound>`, where `TokenStream::to_string` gives `Json < Inbound >`.
pub(crate) fn spell(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write(&mut text, tokens.into_token_stream());
    text
}

fn write(text: &mut String, tokens: TokenStream) {
    let mut after_keyword = false;
    for token in tokens {
        let is_colon = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ':');
        let after_colon = text.ends_with(':') && !text.ends_with("::") && !is_colon;
        if after_keyword || after_colon {
            text.push(' ');
        }
        after_keyword = matches!(&token, TokenTree::Ident(ident) if ident == "mut" || ident == "dyn");
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(text, group.stream());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => text.push(punct.as_char()),
            word => {
                let joins = |last: char| last.is_alphanumeric() || matches!(last, '_' | ',' | ';');
                if text.chars().next_back().is_some_and(joins) {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_people_write_them() {
        for text in [
            "Json<Inbound>",
            "a::B<C, D>",
            "&mut [u8; 4]",
            "&'static dyn Any",
            "()",
            "Map<K, Vec<u8>>",
            "Json(a): Json<A>",
            "x: &mut ::a::B",
        ] {
            let tokens: TokenStream = text.parse().unwrap();
            assert_eq!(spell(tokens), text);
        }
    }
}
