#[channels::test(paused)]
async fn waits() {}

fn main() {}
