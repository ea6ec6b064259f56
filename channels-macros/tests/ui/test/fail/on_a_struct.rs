#[channels::test]
struct Test;

fn main() {}
