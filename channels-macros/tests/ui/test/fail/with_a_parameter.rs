#[channels::test]
async fn takes(number: u32) {
    let _ = number;
}

fn main() {}
