use channels::{IntoEvent, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

struct Said<T>(T);

impl<T: Serialize + Send + Sync + 'static> Serialize for Said<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Said<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Event for Said<T> {
    const NAME: &'static str = "said";
}

struct Chat<T, const N: usize>([T; N]);

#[consumer]
impl<T, const N: usize> Consumer for Chat<T, N>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    #[handler]
    fn said(_event: &Said<T>) -> Result<Message> {
        Ok("said".into())
    }

    #[handler]
    async fn asked(&mut self, cx: &mut Context, _event: &RawEvent) -> Result<()> {
        cx.send(self.0.len().to_string())?;
        Ok(())
    }
}

#[test]
fn it_renders() {
    let event = Said(7_u8).into_event().unwrap();
    assert!(matches!(Chat::<u8, 3>::render(&event), Some(Ok(Message::Text(_)))));
}
