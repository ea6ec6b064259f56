#[channels::test]
fn nothing_is_awaited() {}

fn main() {}
