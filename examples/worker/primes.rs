//! The desk, which takes jobs from a client, and the counter, which does them.

use channels::prelude::*;

/// More takes a worker too long.
const MOST: u32 = 50_000_000;

/// A job: how many primes are there up to this number?
#[derive(Serialize, Deserialize, Event)]
#[event("primes.count")]
pub(crate) struct Count {
    up_to: u32,
    /// The channel that wants to know.
    reply_to: String,
}

/// The answer to a job.
#[derive(Serialize, Deserialize, Event)]
#[event("primes.counted")]
pub(crate) struct Counted {
    up_to: u32,
    primes: usize,
}

/// Serves one client: `{"up_to": 100}` in, `{"up_to": 100, "primes": 25}` out, in the order in which jobs are done.
#[derive(Default)]
pub(crate) struct Desk;

#[derive(Deserialize)]
pub(crate) struct Asked {
    up_to: u32,
}

#[consumer]
impl Consumer for Desk {
    async fn receive(&mut self, cx: &mut Context, Json(Asked { up_to }): Json<Asked>) -> Result<()> {
        if up_to > MOST {
            cx.send_json(&event_error(format!("at most {MOST}")))?;
            return Ok(());
        }
        let job = Count { up_to, reply_to: cx.channel_name().to_string() };
        // As many jobs as the channel holds may wait.
        if let Err(error) = cx.send_to("primes", job).await {
            cx.send_json(&event_error(error.to_string()))?;
        }
        Ok(())
    }

    #[handler]
    async fn counted(&mut self, cx: &mut Context, counted: &Counted) -> Result<()> {
        cx.send_json(counted)
    }
}

fn event_error(why: String) -> impl Serialize {
    [("error", why)].into_iter().collect::<std::collections::BTreeMap<_, _>>()
}

/// Reads the channel `primes`.
#[derive(Default)]
pub(crate) struct Counter;

#[consumer]
impl Consumer for Counter {
    #[handler]
    async fn count(&mut self, cx: &mut Context, &Count { up_to, ref reply_to }: &Count) -> Result<()> {
        let primes = cx.block(move || primes(up_to)).await;
        cx.send_to(reply_to.as_str(), Counted { up_to, primes }).await?;
        Ok(())
    }
}

/// How many primes there are up to this number, by the sieve of Eratosthenes.
fn primes(up_to: u32) -> usize {
    let up_to = up_to as usize;
    let mut composite = vec![false; up_to + 1];
    let mut primes = 0;
    for number in 2..=up_to {
        if !composite[number] {
            primes += 1;
            for multiple in (number * number..=up_to).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    primes
}
