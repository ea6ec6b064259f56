//! Consumers that read named channels.

use channels::{ChannelNameRouter, Layer, Worker, WriteError, actix_web::rt, prelude::*};
use tokio::sync::{mpsc, oneshot, watch};

use crate::support::{serve, within};

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
        let (done, said) = mpsc::unbounded_channel();
        let (may_end, ends) = watch::channel(may_end);
        let (stop, stopped) = oneshot::channel::<()>();
        let jobs = move || Jobs { done: done.clone(), may_end: ends.clone() };
        let app = ProtocolTypeRouter::new().channel(ChannelNameRouter::new([("jobs", jobs)]).unwrap());
        let layers = Layers::default();
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
