//! Consumers that read named channels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use channels::{ChannelNameRouter, Config, Layer, Worker, WriteError, actix_web::rt, prelude::*};
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    logs,
    support::{serve, within},
};

/// A job, answered on a channel.
#[derive(Serialize, Deserialize, Event)]
#[event("job.run")]
struct Job {
    number: u32,
}

#[derive(Clone)]
struct Jobs {
    done: mpsc::UnboundedSender<String>,
    /// Jobs end when this becomes true.
    may_end: watch::Receiver<bool>,
}

#[consumer]
impl Consumer for Jobs {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        self.done.send(format!("connect {}", cx.scope().path()))?;
        Ok(())
    }

    #[handler]
    async fn job_run(&mut self, cx: &mut Context, job: &Job) -> Result<()> {
        self.done.send(format!("begin {}", job.number))?;
        self.may_end.wait_for(|may| *may).await?;
        if job.number == 13 {
            panic!("13 brings bad luck");
        }
        self.done.send(format!("end {}", job.number))?;
        cx.group_send("watchers", Job { number: job.number }).await?;
        Ok(())
    }

    async fn disconnect(&mut self, _: &mut Context, close: &Close) {
        let _ = self.done.send(format!("disconnect {}", close.code));
    }
}

struct Bench {
    layer: Layer,
    said: mpsc::UnboundedReceiver<String>,
    may_end: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    worker: rt::task::JoinHandle<()>,
}

impl Bench {
    fn start(may_end: bool) -> Self {
        Self::with(may_end, 1, Layers::default())
    }

    fn with(may_end: bool, at_once: usize, layers: Layers) -> Self {
        let (done, said) = mpsc::unbounded_channel();
        let (may_end, ends) = watch::channel(may_end);
        let (stop, stopped) = oneshot::channel::<()>();
        let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
        let app = ProtocolTypeRouter::new()
            .channel(ChannelNameRouter::new([("jobs", jobs)]).unwrap().at_once("jobs", at_once));
        let layer = layers.get("default").unwrap().clone();
        let worker = Worker::new(app).layers(layers).run_until(async {
            let _ = stopped.await;
        });
        let worker = rt::spawn(async { worker.await.unwrap() });
        Self { layer, said, may_end, stop: Some(stop), worker }
    }

    async fn said(&mut self) -> String {
        within(self.said.recv()).await.unwrap()
    }

    async fn send(&self, number: u32) {
        self.layer.send("jobs", Job { number }).await.unwrap();
    }
}

#[test]
fn a_worker_handles_events_one_at_a_time_and_in_order() {
    channels::run(async {
        let mut bench = Bench::start(false);
        for number in [1, 2, 3] {
            bench.send(number).await;
        }
        assert_eq!(bench.said().await, "connect jobs");
        assert_eq!(bench.said().await, "begin 1");
        assert!(bench.said.try_recv().is_err());
        bench.may_end.send(true).unwrap();
        for expected in ["end 1", "begin 2", "end 2", "begin 3", "end 3"] {
            assert_eq!(bench.said().await, expected);
        }
    });
}

#[test]
fn a_consumer_that_panics_is_replaced_and_the_next_event_handled() {
    channels::run(async {
        let mut bench = Bench::start(true);
        bench.send(13).await;
        for expected in ["connect jobs", "begin 13", "disconnect 1011", "connect jobs"] {
            assert_eq!(bench.said().await, expected);
        }
        bench.send(14).await;
        assert_eq!(bench.said().await, "begin 14");
        assert_eq!(bench.said().await, "end 14");
    });
}

#[test]
fn a_worker_that_stops_ends_its_handler_and_tells_its_consumer() {
    channels::run(async {
        let mut bench = Bench::start(false);
        bench.send(1).await;
        assert_eq!(bench.said().await, "connect jobs");
        assert_eq!(bench.said().await, "begin 1");
        bench.stop.take().unwrap().send(()).unwrap();
        bench.may_end.send(true).unwrap();
        assert_eq!(bench.said().await, "end 1");
        assert_eq!(bench.said().await, "disconnect 1001");
        within(bench.worker).await.unwrap();
    });
}

#[test]
fn no_event_is_taken_before_the_last_one_is_done_so_a_failure_loses_only_its_own() {
    channels::run(async {
        let mut bench = Bench::start(false);
        for number in [13, 14] {
            bench.send(number).await;
        }
        assert_eq!(bench.said().await, "connect jobs");
        assert_eq!(bench.said().await, "begin 13");
        bench.may_end.send(true).unwrap();
        for expected in ["disconnect 1011", "connect jobs", "begin 14", "end 14"] {
            assert_eq!(bench.said().await, expected);
        }
    });
}

#[test]
fn a_channel_has_as_many_events_handled_at_once_as_its_router_says_and_no_more() {
    channels::run(async {
        let mut bench = Bench::with(false, 2, Layers::default());
        for number in [1, 2, 3] {
            bench.send(number).await;
        }
        let mut said = Vec::new();
        while said.len() < 4 {
            said.push(bench.said().await);
        }
        said.sort();
        assert_eq!(said, ["begin 1", "begin 2", "connect jobs", "connect jobs"]);
        tokio::task::yield_now().await;
        assert!(bench.said.try_recv().is_err(), "the third waits in the channel");
        bench.may_end.send(true).unwrap();
        let mut said = Vec::new();
        while said.len() < 4 {
            said.push(bench.said().await);
        }
        said.sort();
        assert_eq!(said, ["begin 3", "end 1", "end 2", "end 3"]);
    });
}

#[test]
fn what_waits_when_a_worker_stops_stays_in_the_channel() {
    channels::run(async {
        let layers = Layers::default();
        let mut bench = Bench::with(false, 2, layers.clone());
        for number in [1, 2, 3, 4] {
            bench.send(number).await;
        }
        for _ in 0..4 {
            bench.said().await;
        }
        bench.stop.take().unwrap().send(()).unwrap();
        bench.may_end.send(true).unwrap();
        within(bench.worker).await.unwrap();
        let mut next = Bench::with(true, 1, layers);
        for expected in ["connect jobs", "begin 3", "end 3", "begin 4", "end 4"] {
            assert_eq!(next.said().await, expected);
        }
    });
}

/// Does not come to take an event, in one of several ways.
struct Doomed(&'static str);

impl Doomed {
    fn make(how: &'static str) -> Self {
        assert!(how != "is never made", "no database");
        Self(how)
    }
}

#[consumer]
impl Consumer for Doomed {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        if self.0.starts_with("accepts") {
            cx.accept()?;
        }
        match self.0 {
            "accepts and closes" => cx.close(4000, ""),
            "stops" => cx.stop(),
            "panics" => panic!("no database"),
            "waits" => std::future::pending().await,
            _ => Err(Error::msg("no database"))?,
        }
        Ok(())
    }
}

#[channels::test(start_paused = true)]
async fn a_consumer_that_takes_no_event_is_made_anew_every_second() {
    for how in ["fails", "panics", "stops", "accepts and fails", "accepts and closes", "is never made"] {
        let (tried, mut tries) = mpsc::unbounded_channel();
        let made = AtomicUsize::new(0);
        let make = move || {
            let _ = tried.send(());
            // One that is tried without a pause would leave this test no turn.
            Doomed::make(if made.fetch_add(1, Ordering::Relaxed) < 20 { how } else { "waits" })
        };
        let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", make)]).unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = rt::spawn(Worker::new(app).run_until(async {
            let _ = stopped.await;
        }));
        let start = tokio::time::Instant::now();
        for _ in 0..10 {
            within(tries.recv()).await.unwrap();
        }
        assert_eq!(start.elapsed().as_secs(), 9, "{how}");
        drop(stop);
        within(worker).await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), 9, "a stop does not wait for the next try");
    }
}

#[channels::test(start_paused = true)]
async fn a_consumer_that_takes_no_event_waits_whatever_others_of_its_type_take() {
    /// Begins on one channel alone, and fails on the other when an event has been handled there.
    #[derive(Clone)]
    struct Twin {
        tried: mpsc::UnboundedSender<()>,
        handled: Arc<Notify>,
    }

    #[consumer]
    impl Consumer for Twin {
        async fn connect(&mut self, cx: &mut Context) -> Result<()> {
            if cx.scope().path() == "works" {
                return Ok(());
            }
            self.tried.send(())?;
            cx.send_to("works", Job { number: 1 }).await?;
            self.handled.notified().await;
            Err(Error::msg("no database"))
        }

        #[handler]
        async fn job_run(&mut self, _: &mut Context, _: &Job) -> Result<()> {
            self.handled.notify_one();
            Ok(())
        }
    }

    let (tried, mut tries) = mpsc::unbounded_channel();
    let twin = Twin { tried, handled: Arc::default() };
    let make = move || twin.clone();
    let twins = ["works", "fails"].map(|channel| (channel, make.clone()));
    let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new(twins).unwrap());
    rt::spawn(Worker::new(app).run_until(std::future::pending()));
    let start = tokio::time::Instant::now();
    for _ in 0..10 {
        within(tries.recv()).await.unwrap();
    }
    assert_eq!(start.elapsed().as_secs(), 9);
}

#[channels::test(start_paused = true)]
async fn a_consumer_that_cannot_be_made_at_first_reads_its_channel_later() {
    let (done, mut said) = mpsc::unbounded_channel();
    let (_may_end, ends) = watch::channel(true);
    let made = AtomicUsize::new(0);
    let make = move || {
        assert!(made.fetch_add(1, Ordering::Relaxed) > 0, "no database yet");
        Jobs { done: done.clone(), may_end: ends.clone() }
    };
    let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", make)]).unwrap());
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    rt::spawn(Worker::new(app).layers(layers).run_until(std::future::pending()));
    layer.send("jobs", Job { number: 1 }).await.unwrap();
    for expected in ["connect jobs", "begin 1", "end 1"] {
        assert_eq!(within(said.recv()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_workers_longer_than_for_its_connections() {
    logs::keep();
    let (done, mut said) = mpsc::unbounded_channel();
    let (_may_end, ends) = watch::channel(false);
    let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
    let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", jobs)]).unwrap());
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let config = Config { drain_timeout: Duration::from_millis(733), ..Config::default() };
    let server = serve(Server::new(app).layers(layers).config(config).workers(1));
    layer.send("jobs", Job { number: 1 }).await.unwrap();
    while within(said.recv()).await.unwrap() != "begin 1" {}
    let asked = Instant::now();
    server.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(8), "the job's own grace is ten");
    logs::wait_for(&["WARN", "workers that had not ended in time are cut", "733ms"]).await;
}

#[channels::test(start_paused = true)]
async fn events_for_a_channel_that_nobody_reads_are_dropped_and_logged_once() {
    logs::keep();
    let layers = Layers::default();
    let layer = layers.get("default").unwrap();
    for number in 0..5 {
        layer.send("jbos.misspelt", Job { number }).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    }
    layer.send("other", Job { number: 6 }).await.unwrap();
    assert_eq!(layer.dropped().expired, 4);
    let line = "WARN nobody took these events in time; does a worker read the channel? channel=jbos.misspelt events=1";
    assert_eq!(logs::with(&["jbos.misspelt"]), [line]);
}

#[test]
fn an_event_that_is_none_or_that_nobody_handles_is_dropped_and_the_next_one_handled() {
    logs::keep();
    channels::run(async {
        let mut bench = Bench::start(true);
        let error = bench.layer.send("jobs", serde_json::json!({"number": 1})).await.unwrap_err();
        let text = r#"an event needs a `type` that is a string: {"type": "chat.message", …}"#;
        assert_eq!(error.to_string(), text);
        bench.layer.send("jobs", channels::event!({"type": "job.rnu.misspelt"})).await.unwrap();
        bench.send(2).await;
        for expected in ["connect jobs", "begin 2", "end 2"] {
            assert_eq!(bench.said().await, expected);
        }
        logs::wait_for(&["WARN", "no handler for this event", "it is dropped", "job.rnu.misspelt"]).await;
    });
}

#[test]
fn a_worker_reads_the_channels_that_it_is_told_and_refuses_those_that_nobody_reads() {
    channels::run(async {
        let (done, mut said) = mpsc::unbounded_channel();
        let (_may_end, ends) = watch::channel(true);
        let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
        let router = ChannelNameRouter::new([("jobs", jobs.clone()), ("mail", jobs.clone()), ("maps", jobs)]).unwrap();
        let app = ProtocolTypeRouter::new().channel(router);
        let stopped = std::future::ready(());
        let error = Worker::new(app.clone()).only(["mail", "mial"]).run_until(stopped).await.unwrap_err();
        assert_eq!(error.to_string(), "no consumer reads the channel `mial` (there are: jobs, mail, maps)");

        logs::keep();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = rt::spawn(Worker::new(app).only(["mail", "maps"]).run_until(async {
            let _ = stopped.await;
        }));
        let mut both = [within(said.recv()).await.unwrap(), within(said.recv()).await.unwrap()];
        both.sort();
        assert_eq!(both, ["connect mail", "connect maps"]);
        logs::wait_for(&["INFO serving route=maps consumer=it::worker::Jobs", r#"events=["job.run"]"#]).await;
        drop(stop);
        within(worker).await.unwrap().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_on_tokios_runtime_too() {
    let (done, mut said) = mpsc::unbounded_channel();
    let (_may_end, ends) = watch::channel(true);
    let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
    let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", jobs)]).unwrap());
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let heard = async move {
        layer.send("jobs", Job { number: 5 }).await.unwrap();
        for expected in ["connect jobs", "begin 5", "end 5"] {
            assert_eq!(within(said.recv()).await.unwrap(), expected);
        }
    };
    Worker::new(app).layers(layers).run_until(heard).await.unwrap();
}

#[test]
fn a_worker_or_a_server_without_a_runtime_is_an_error_and_no_panic() {
    let app = ProtocolTypeRouter::new();
    let text = "this thread has no runtime for sessions; run it with `channels::run(…)` or `#[actix_web::main]`";
    let error = Worker::new(app.clone()).run().now_or_never().unwrap().unwrap_err();
    assert_eq!(error.to_string(), text);
    let server = Server::new(app).bind("127.0.0.1:0").unwrap();
    assert_eq!(server.run().now_or_never().unwrap().unwrap_err().to_string(), text);
}

#[test]
#[should_panic(expected = "the router has no channel `mial` (it has: jobs)")]
fn a_number_for_a_channel_that_the_router_does_not_have_is_a_mistake() {
    #[derive(Default)]
    struct Idle;

    #[consumer]
    impl Consumer for Idle {}

    let _ = ChannelNameRouter::new([("jobs", Idle::default)]).unwrap().at_once("mial", 2);
}

#[tokio::test]
async fn a_server_runs_the_workers_of_its_application() {
    #[derive(Default)]
    struct Asker;

    #[consumer]
    impl Consumer for Asker {
        fn groups(&self, _: &Scope) -> Vec<String> {
            vec!["watchers".to_owned()]
        }

        async fn receive(&mut self, cx: &mut Context, Json(number): Json<u32>) -> Result<()> {
            cx.send_to("jobs", Job { number }).await?;
            Ok(())
        }

        #[handler]
        fn job_run(job: &Job) -> Result<Message> {
            Ok(format!("done {}", job.number).into())
        }
    }

    let (done, mut said) = mpsc::unbounded_channel();
    let (_may_end, ends) = watch::channel(true);
    let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
    let app = ProtocolTypeRouter::new()
        .websocket(URLRouter::new([path("ws/", Asker::default)]).unwrap())
        .channel(ChannelNameRouter::new([("jobs", jobs)]).unwrap());
    let served = serve(Server::new(app));
    let mut socket = served.connect("/ws/").await;
    socket.send("7").await;
    assert_eq!(socket.text().await, "done 7");
    served.stop().await;
    let mut last = String::new();
    while let Some(line) = within(said.recv()).await {
        last = line;
    }
    assert_eq!(last, "disconnect 1001");
}

#[test]
fn a_consumer_without_a_client_is_told_so_when_it_sends() {
    #[derive(Clone)]
    struct Talker(mpsc::UnboundedSender<Option<WriteError>>);

    #[consumer]
    impl Consumer for Talker {
        #[handler("talk")]
        async fn talk(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
            self.0.send(cx.send("to whom?").unwrap_err().write_error().copied())?;
            Ok(())
        }
    }

    channels::run(async {
        let (said, mut heard) = mpsc::unbounded_channel();
        let talker = Talker(said);
        let app =
            ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("talk", move || talker.clone())]).unwrap());
        let layers = Layers::default();
        let layer = layers.get("default").unwrap().clone();
        rt::spawn(Worker::new(app).layers(layers).run());
        layer.send("talk", channels::event!({"type": "talk"})).await.unwrap();
        assert_eq!(within(heard.recv()).await, Some(Some(WriteError::NoClient)));
    });
}
