//! `#[handler]` met by the compiler itself: that is, outside of `#[consumer]`, which takes its own away.

use proc_macro2::{Span, TokenStream};

/// The method itself is left out: where `#[consumer]` was forgotten, the compiler would refuse it once more, as no method
/// of the trait.
pub(crate) fn stray() -> TokenStream {
    let text = "`#[handler]` is for methods of a consumer: put `#[consumer]` on the `impl Consumer for …` block that \
                holds this one, or remove `#[handler]`";
    syn::Error::new(Span::call_site(), text).to_compile_error()
}
