//! Mailboxes: what a process, or a named channel, has not read yet. A sorted set with a message's time for its score.

use std::time::Duration;

/// For each key: drops what is too old; adds the body unless the mailbox is full; renews the mailbox's own end. What is wrong with
/// one key concerns no other: its error is its answer. Channels' `group_send` does the same in a transaction, a script and its own
/// clock.
pub(super) const PUSH: &str = r"
local taken = {}
for i = 1, #KEYS do
    local at = 4 * (i - 1)
    local body, capacity, sent, expiry = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], tonumber(ARGV[at + 4])
    local trimmed = redis.pcall('ZREMRANGEBYSCORE', KEYS[i], 0, math.floor(tonumber(sent)) - expiry)
    if type(trimmed) == 'table' then
        taken[i] = trimmed
    elseif redis.call('ZCARD', KEYS[i]) < capacity then
        redis.call('ZADD', KEYS[i], sent, body)
        redis.call('EXPIRE', KEYS[i], expiry)
        taken[i] = 1
    else
        taken[i] = 0
    end
end
return taken
";

/// Deletes all keys that fit a pattern: one by one, since on a cluster they are in different slots.
pub(super) const FLUSH: &str = r"
local keys = redis.call('KEYS', ARGV[1])
for i = 1, #keys do
    redis.call('DEL', keys[i])
end
return #keys
";

/// A duration in whole seconds, at least one: what `EXPIRE` takes.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}

/// The time, in seconds since 1970, as Python's `time.time()` has it.
pub(super) fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
