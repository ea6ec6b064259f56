//! Many threads, whose connections join and leave while others send.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::*;

const THREADS: usize = 3;
const LIVES: usize = 8;
const MEMBERS: usize = 4;
const TURNS: usize = 12;
const GROUPS: [&str; 2] = ["even", "odd"];
/// Two outside of actix, and one on each thread that has members.
const SENDERS: usize = 2 + THREADS;

#[derive(Serialize, Deserialize, Event)]
#[event("count")]
struct Count {
    sender: usize,
    group: usize,
    n: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event("turn")]
struct Turn;

/// How many sends to each group each sender has begun, and how many have ended.
#[derive(Default)]
struct Clock {
    begun: [[AtomicU64; GROUPS.len()]; SENDERS],
    ended: [[AtomicU64; GROUPS.len()]; SENDERS],
    /// Threads that have had all their members.
    done: AtomicUsize,
    stop: AtomicBool,
}

type Counts = [u64; SENDERS];

impl Clock {
    fn begun(&self, group: usize) -> Counts {
        std::array::from_fn(|sender| self.begun[sender][group].load(Ordering::SeqCst))
    }

    fn ended(&self, group: usize) -> Counts {
        std::array::from_fn(|sender| self.ended[sender][group].load(Ordering::SeqCst))
    }

    async fn send(&self, layer: &Layer, sender: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            for (group, name) in GROUPS.into_iter().enumerate() {
                let n = self.begun[sender][group].fetch_add(1, Ordering::SeqCst);
                let sent = layer.group_send(name, Count { sender, group, n }).report().await.expect("it can");
                assert_eq!(sent.full, 0, "the queues are large enough");
                self.ended[sender][group].store(n + 1, Ordering::SeqCst);
            }
            yield_now().await;
        }
    }
}

/// One stay in the group, in the numbers of what was sent.
struct Stay {
    /// What had ended before it began: nothing of it may arrive.
    before: Counts,
    /// What had begun when it was acknowledged: everything from here on must arrive, …
    from: Counts,
    /// … up to what had ended before it was to end.
    until: Counts,
    /// What had begun when the end was acknowledged: nothing from here on may arrive.
    after: Counts,
    /// What came, of each sender.
    came: [Vec<u64>; SENDERS],
}

impl Stay {
    fn check(&self) -> Result<(), String> {
        for sender in 0..SENDERS {
            let came = &self.came[sender];
            let (before, after) = (self.before[sender], self.after[sender]);
            if !came.is_sorted_by(|a, b| a < b) {
                return Err(format!("of sender {sender} came, out of order or twice: {came:?}"));
            }
            if let Some(wrong) = came.iter().find(|n| !(before..after).contains(n)) {
                return Err(format!("of sender {sender} came {wrong}, which is not in {before}..{after}"));
            }
            let missed = (self.from[sender]..self.until[sender]).find(|n| came.binary_search(n).is_err());
            if let Some(missed) = missed {
                let (from, until) = (self.from[sender], self.until[sender]);
                return Err(format!("of sender {sender} {missed} was missed, of {from}..{until}: {came:?}"));
            }
        }
        Ok(())
    }
}

/// Whether to join or to leave, who, which group, and whom to tell that it is done.
type Errand = (bool, ChannelName, &'static str, oneshot::Sender<()>);

/// Joins and leaves for others, on a thread of its own.
async fn run_errands(layer: Layer, mut errands: mpsc::UnboundedReceiver<Errand>) {
    while let Some((joins, channel, group, done)) = errands.recv().await {
        match joins {
            true => layer.group_add(group, channel).await.expect("it can"),
            false => layer.group_discard(group, channel).await.expect("it can"),
        }
        let _ = done.send(());
    }
}

/// Joins and leaves its group turn by turn, by itself and through an errand. It sends itself the next turn, which comes behind what came before.
struct Member {
    group: usize,
    clock: Arc<Clock>,
    errands: mpsc::UnboundedSender<Errand>,
    tell: mpsc::UnboundedSender<Result<(), String>>,
    stay: Option<Stay>,
    inside: bool,
    turns: usize,
}

impl Member {
    async fn change(&self, cx: &mut Context, joins: bool) -> Result<()> {
        let group = GROUPS[self.group];
        if self.turns.is_multiple_of(3) {
            let (done, is_done) = oneshot::channel();
            self.errands.send((joins, cx.channel_name().clone(), group, done))?;
            is_done.await?;
        } else if joins {
            cx.group_add(group).await?;
        } else {
            cx.group_discard(group).await?;
        }
        Ok(())
    }

    async fn go_on(&mut self, cx: &mut Context) -> Result<()> {
        let (clock, group) = (self.clock.clone(), self.group);
        if self.inside {
            let stay = self.stay.as_mut().expect("who is inside stays");
            let until = clock.ended(group);
            let longer = until.iter().zip(stay.from).all(|(until, from)| *until <= from + 1);
            if !longer {
                stay.until = until;
                self.change(cx, false).await?;
                if let Some(stay) = &mut self.stay {
                    stay.after = clock.begun(group);
                }
                self.inside = false;
            }
        } else {
            let checked = self.stay.take().map_or(Ok(()), |stay| stay.check());
            let before = clock.ended(group);
            self.turns += 1;
            self.change(cx, true).await?;
            let from = clock.begun(group);
            self.inside = true;
            let all = [u64::MAX; SENDERS];
            self.stay = Some(Stay { before, from, until: from, after: all, came: Default::default() });
            if checked.is_err() || self.turns == TURNS {
                // It is inside: the end of the connection must take it out.
                let _ = self.tell.send(checked);
                return Ok(());
            }
        }
        yield_now().await;
        cx.send_to(cx.channel_name(), Turn).await?;
        Ok(())
    }
}

#[consumer]
impl Consumer for Member {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.send_to(cx.channel_name(), Turn).await?;
        Ok(())
    }

    #[handler]
    async fn turn(&mut self, cx: &mut Context, _: &Turn) -> Result<()> {
        self.go_on(cx).await
    }

    #[handler]
    async fn count(&mut self, _: &mut Context, event: &Count) -> Result<()> {
        match &mut self.stay {
            Some(stay) if event.group == self.group => stay.came[event.sender].push(event.n),
            _ => drop(self.tell.send(Err(format!("{} of another group, or of no stay", event.n)))),
        }
        Ok(())
    }
}

/// The connections of one thread, one after the other in the same seats.
async fn live(layer: Layer, clock: Arc<Clock>, errands: mpsc::UnboundedSender<Errand>, thread: usize) {
    let (sent, sends) = (layer.clone(), clock.clone());
    let sender = channels::actix_web::rt::spawn(async move { sends.send(&sent, 2 + thread).await });
    for life in 0..LIVES {
        let mut members = Vec::new();
        for member in 0..MEMBERS {
            let group = (thread + life + member) % GROUPS.len();
            let (tell, told) = mpsc::unbounded_channel();
            let (clock, errands) = (clock.clone(), errands.clone());
            let make = move || {
                let (clock, errands, tell) = (clock.clone(), errands.clone(), tell.clone());
                Member { group, clock, errands, tell, stay: None, inside: false, turns: 0 }
            };
            let mut socket = WebsocketCommunicator::new(make, "/").layers(layer.clone()).timeout(DEADLINE);
            assert!(socket.connect().await.expect("it is answered").accepted);
            members.push((socket, told));
        }
        for (socket, mut told) in members {
            assert_eq!(within(told.recv()).await, Some(Ok(())), "thread {thread}, life {life}");
            socket.disconnect(1000).await.expect("it ends");
        }
    }
    if clock.done.fetch_add(1, Ordering::SeqCst) + 1 == THREADS {
        clock.stop.store(true, Ordering::SeqCst);
    }
    within(sender).await.expect("it does not panic");
}

// Ours: the promise of `group_add` over threads, and places in the layer that are taken again.
#[test]
fn every_acknowledged_member_gets_what_is_sent_after_its_acknowledgement_and_nothing_else() {
    let layer = Layer::new(InMemoryChannelLayer::default().capacity(1_000_000));
    let clock = Arc::new(Clock::default());
    let (errands, to_run) = mpsc::unbounded_channel();
    thread::scope(|scope| {
        let runs = layer.clone();
        scope.spawn(|| outside(run_errands(runs, to_run)));
        for sender in 0..2 {
            let (layer, clock) = (&layer, &clock);
            scope.spawn(move || outside(clock.send(layer, sender)));
        }
        for thread in 0..THREADS {
            let (layer, clock, errands) = (layer.clone(), clock.clone(), errands.clone());
            scope.spawn(move || {
                let stop = clock.clone();
                let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    channels::run(live(layer, clock, errands, thread));
                }));
                if lived.is_err() {
                    stop.stop.store(true, Ordering::SeqCst);
                    panic!("not every member got what it should");
                }
            });
        }
        drop(errands);
    });
    outside(async {
        for group in GROUPS {
            assert_eq!(layer.group_size(group).await.unwrap(), 0);
            assert_eq!(layer.group_send(group, numbered(0)).report().await.unwrap(), report(0, 0, 0));
        }
    });
}
