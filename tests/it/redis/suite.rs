//! What every layer promises.

use channels::{
    ChannelLayer, Layer,
    layer::{
        Limits,
        redis::{RedisChannelLayer, RedisLayer, RedisOptions, RedisPubSubChannelLayer, SerializerFormat},
    },
    testing::{StubBroker, suite::Subject},
};

use super::server::{prefix, shared, shared_cluster};

/// One layer in two processes.
fn twice<L: ChannelLayer, E: std::fmt::Debug>(
    options: impl Fn() -> RedisOptions,
    limits: &Limits,
    make: fn(RedisOptions) -> Result<L, E>,
) -> Subject {
    let layer = || {
        let mut options = options().capacity(limits.capacity).expiry(limits.expiry).group_expiry(limits.group_expiry);
        options = options.presence_capacity(limits.presence_capacity);
        for (pattern, capacity) in &limits.channel_capacity {
            options = options.channel_capacity(pattern.clone(), *capacity);
        }
        Layer::new(make(options).expect("the options are right"))
    };
    Subject::new(layer(), layer())
}

/// Options for one broker of the tests', or two.
fn real(hosts: usize) -> impl Fn() -> RedisOptions {
    let prefix = prefix();
    move || RedisOptions::hosts(shared().into_iter().take(hosts)).prefix(&prefix)
}

/// Options for a cluster of three masters.
fn cluster() -> impl Fn() -> RedisOptions {
    let prefix = prefix();
    move || RedisOptions::from(shared_cluster()).prefix(&prefix)
}

fn stub(brokers: usize) -> impl Fn() -> RedisOptions {
    let brokers: Vec<_> = (0..brokers).map(|_| StubBroker::default()).collect();
    move || RedisOptions::drivers(brokers.iter().map(StubBroker::driver))
}

macro_rules! on {
    ($($name:ident: $make:expr;)*) => {
        $(
            mod $name {
                use super::*;

                channels::layer_suite!($make);
            }
        )*
    };
}

on! {
    stub_own: |limits| twice(stub(1), &limits, RedisLayer::new);
    stub_core: |limits| twice(stub(1), &limits, RedisChannelLayer::new);
    stub_pubsub: |limits| twice(stub(1), &limits, RedisPubSubChannelLayer::new).broadcasts();
    own: |limits| twice(real(1), &limits, RedisLayer::new);
    own_of_two_hosts: |limits| twice(real(2), &limits, RedisLayer::new).spread();
    own_of_a_cluster: |limits| twice(cluster(), &limits, RedisLayer::new).apart();
    core: |limits| twice(real(1), &limits, RedisChannelLayer::new);
    core_of_two_hosts: |limits| twice(real(2), &limits, RedisChannelLayer::new).spread();
    core_encrypted_json: |limits| {
        let options = real(1);
        let options = move || options().symmetric_encryption_keys(["secret"]).serializer_format(SerializerFormat::Json);
        twice(options, &limits, RedisChannelLayer::new)
    };
    pubsub: |limits| twice(real(1), &limits, RedisPubSubChannelLayer::new).broadcasts();
    pubsub_of_two_hosts: |limits| twice(real(2), &limits, RedisPubSubChannelLayer::new).broadcasts().spread();
}
