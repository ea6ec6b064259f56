//! Rolls on a broker: who is present, in a hash.

use std::{collections::HashMap, time::Duration};

use redis::{Cmd, Value, cmd};

use super::{DriverError, RollChange, RollState, RollStep, calls};
use crate::layer::redis::mailbox::seconds;

/// Sets an entry, or takes some out; if that changed something: numbers it, renews the roll's end, and publishes. A roll whose last
/// entry is taken out is kept for an hour, so that its numbers go on. They begin with the time, so that those of a roll which was lost
/// and begun anew are larger; a double has them exactly.
const CHANGE: &str = r"
local roll, channel = KEYS[1], KEYS[2]
local publish, mark, body, expiry, capacity = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local version = redis.call('HGET', roll, 'version')
if capacity < 0 then
    if redis.call('HDEL', roll, unpack(ARGV, 6)) == 0 then
        return tonumber(version or 0)
    end
else
    local count = redis.call('HLEN', roll) - 2
    if count >= capacity and redis.call('HEXISTS', roll, ARGV[6]) == 0 then
        return -1
    end
    redis.call('HSET', roll, ARGV[6], body)
end
if not version then
    local time = redis.call('TIME')
    local epoch = string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('HMSET', roll, 'epoch', epoch, 'version', epoch)
end
version = redis.call('HINCRBY', roll, 'version', 1)
if redis.call('HLEN', roll) == 2 then
    expiry = math.min(tonumber(expiry), 3600)
end
redis.call('EXPIRE', roll, expiry)
redis.call(publish, channel, mark .. string.format('%020.0f', version) .. body)
return version
";

/// The whole roll, unless it has the version that is known; and renews its end, unless it is empty.
const READ: &str = r"
if redis.call('HLEN', KEYS[1]) > 2 then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then
    return false
end
return redis.call('HGETALL', KEYS[1])
";

/// The script that changes a roll; `publish` is the command that publishes.
pub(super) fn change(change: &RollChange, publish: &str) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(CHANGE).arg(2).arg(change.key.as_str()).arg(change.channel.as_str());
    script.arg(publish).arg(change.mark.as_slice()).arg(change.body.as_slice()).arg(seconds(change.expiry));
    match &change.step {
        RollStep::Set { entry, capacity } => script.arg(*capacity).arg(entry.as_str()),
        RollStep::Unset { entries } => script.arg(-1).arg(entries),
    };
    script
}

pub(super) fn changed(version: i64) -> Option<u64> {
    version.try_into().ok()
}

pub(super) fn read(key: &str, known: u64, expiry: Duration) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(READ).arg(1).arg(key).arg(known).arg(seconds(expiry));
    script
}

pub(super) fn state(answer: Value) -> Result<Option<RollState>, DriverError> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let mut fields: HashMap<String, Vec<u8>> = calls::read(answer)?;
    let mut number = |field: &str| {
        let number = fields.remove(field).and_then(|digits| String::from_utf8(digits).ok());
        number.and_then(|digits| digits.parse().ok()).unwrap_or_default()
    };
    let (epoch, version) = (number("epoch"), number("version"));
    Ok(Some(RollState { epoch, version, entries: fields.into_iter().collect() }))
}

/// The time that a lease has left, as `PTTL` tells it.
pub(super) fn left(milliseconds: i64) -> Option<Duration> {
    milliseconds.try_into().ok().map(Duration::from_millis)
}
