//! Models that are loaded anew while requests come.

use super::*;
use crate::dispatch::Source;
use crate::model::Registry;
use crate::request::InferReply;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

/// What a source holds when it is read next.
enum Holds {
    /// A model that starts.
    Good,
    /// One that starts once this is dropped or sent to.
    Slow(std::sync::mpsc::Receiver<()>),
    /// One whose workers do not start, with these words.
    Broken(&'static str),
    /// Nothing that can be read.
    Nothing,
    /// A fault of the program.
    Panic,
}

/// Models of fake workers, each under numbers of its own.
#[derive(Default)]
struct Fakes {
    next: Mutex<VecDeque<Holds>>,
    /// The model that is made next; its workers are numbered from ten times that on.
    number: AtomicU32,
    /// Reads under way, and the most there were.
    reads: Mutex<(u32, u32)>,
    /// Costs that the last read was told of.
    told: Mutex<Vec<LearnedCost>>,
    placed: Arc<AtomicU32>,
    begin: Option<Begin>,
}

impl std::fmt::Debug for Fakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fakes").finish_non_exhaustive()
    }
}

impl Source for Fakes {
    fn read(&self, before: &Model, learned: &[LearnedCost]) -> Result<Fresh, String> {
        {
            let mut reads = self.reads.lock().unwrap();
            reads.0 += 1;
            reads.1 = reads.1.max(reads.0);
        }
        *self.told.lock().unwrap() = learned.to_vec();
        let holds = self.next.lock().unwrap().pop_front().unwrap_or(Holds::Good);
        let read = self.made(before, holds, learned);
        self.reads.lock().unwrap().0 -= 1;
        read
    }
}

impl Fakes {
    fn made(&self, before: &Model, holds: Holds, learned: &[LearnedCost]) -> Result<Fresh, String> {
        let number = 1 + self.number.fetch_add(1, Ordering::Relaxed);
        let model = Arc::new(Model::new(ModelId(number), &before.name, spec(), None, 0));
        let mut plan = plan(WorkerId(10 * number), &model, self.begin.as_ref().unwrap());
        match holds {
            Holds::Good => {}
            Holds::Slow(gate) => plan.start = starting(plan.id, &model, gate),
            Holds::Broken(why) => plan.start = broken(plan.id, &model, why),
            Holds::Nothing => return Err("m/model.onnx: no model".into()),
            Holds::Panic => panic!("as told"),
        }
        let own = learned.iter().filter(|learned| learned.model == before.id);
        let learned = own.map(|learned| (DeviceId(0), learned.cost.clone())).collect();
        let placed = Arc::clone(&self.placed);
        let placed = Box::new(move || {
            placed.fetch_add(1, Ordering::Relaxed);
        });
        Ok(Fresh { model, plans: vec![plan], learned, placed })
    }
}

fn starting(id: WorkerId, model: &Arc<Model>, gate: std::sync::mpsc::Receiver<()>) -> Start {
    let (owner, gate) = (Arc::clone(model), Mutex::new(Some(gate)));
    Box::new(move |events| {
        let config = WorkerConfig { id, name: "slow".into(), model: Arc::clone(&owner), warm_up: None };
        let (spec, gate) = (owner.spec.clone(), gate.lock().unwrap().take());
        let make = move || {
            // A gate that is gone is open.
            while gate.as_ref().is_some_and(|gate| gate.recv().is_ok()) {}
            Ok(Box::new(Fake::new(spec, |_| Ok(()))) as Box<dyn Backend>)
        };
        exec::spawn(config, make, events)
    })
}

fn broken(id: WorkerId, model: &Arc<Model>, why: &'static str) -> Start {
    let owner = Arc::clone(model);
    Box::new(move |events| {
        let config = WorkerConfig { id, name: "broken".into(), model: Arc::clone(&owner), warm_up: None };
        exec::spawn(config, move || Err(Failure::Failed(why.to_owned())), events)
    })
}

/// A world whose model can be loaded anew.
struct Reloaded {
    world: World,
    registry: Arc<Registry>,
    repository: Repository,
    source: Arc<Fakes>,
}

impl Reloaded {
    /// One worker whose runs each wait for [`Held::end`].
    async fn held() -> Self {
        let (begun, runs) = mpsc::unbounded_channel();
        let begin = move |worker, run: &FakeRun| {
            let (end, ended) = std::sync::mpsc::channel();
            drop(begun.send(Held { worker, run: run.clone(), end }));
            ended.recv().unwrap_or(Ok(()))
        };
        Self::over(Arc::new(begin), runs).await
    }

    /// One worker whose runs end at once.
    async fn quick() -> Self {
        let (_, runs) = mpsc::unbounded_channel();
        Self::over(Arc::new(|_, _: &FakeRun| Ok(())), runs).await
    }

    async fn over(begin: Begin, runs: mpsc::UnboundedReceiver<Held>) -> Self {
        let world = World::start(1, ALONE, Arc::clone(&begin), runs).await;
        let registry = Arc::new(Registry::new(vec![Arc::clone(&world.model)]));
        let source = Arc::new(Fakes { begin: Some(begin), ..Fakes::default() });
        let own = Arc::clone(&source) as Arc<dyn Source>;
        let repository = Repository::new(world.handle.clone(), Arc::clone(&registry), Some(own));
        Self { world, registry, repository, source }
    }

    /// Says what the source holds at the next readings.
    fn holds(&self, next: impl IntoIterator<Item = Holds>) {
        self.source.next.lock().unwrap().extend(next);
    }

    fn load(&self) -> JoinHandle<Result<(), Error>> {
        let repository = self.repository.clone();
        tokio::spawn(async move { repository.load("fake").await })
    }

    fn served(&self) -> Arc<Model> {
        self.registry.get("fake").unwrap()
    }

    /// Sends a row as the front does: to the model that is served, which it holds until it has its answer.
    fn ask(&self, head: u32) -> JoinHandle<Result<InferReply, Error>> {
        let (handle, registry) = (self.world.handle.clone(), Arc::clone(&self.registry));
        let request = self.world.request(&[&[head]]);
        tokio::spawn(async move {
            let _reading = registry.read();
            let model = registry.get("fake").unwrap();
            handle.infer(InferRequest { model, ..request }).await
        })
    }

    async fn report(&self) -> Report {
        self.world.handle.report().await.unwrap()
    }

    /// Waits until the driver knows of one model alone, and answers its number.
    async fn only(&self) -> ModelId {
        loop {
            let report = self.report().await;
            if let (Some((model, _)), 1) = (report.models.first_key_value(), report.models.len()) {
                return *model;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn the_new_model_answers_while_the_old_one_ends_what_it_began() {
    let mut held = Reloaded::held().await;
    let (first, second) = (held.ask(1), held.world.next_run().await);
    let waiting = held.ask(2);
    held.world.rows(2).await;
    held.load().await.unwrap().unwrap();
    assert_eq!((held.served().id, held.served().state()), (ModelId(1), ModelState::Ready));
    assert_eq!(held.source.placed.load(Ordering::Relaxed), 1);
    let third = held.ask(3);
    let run = held.world.next_run().await;
    assert_eq!((run.worker, run.heads()), (WorkerId(10), vec![3]));
    // Callers know one model: what waits and runs is shown together.
    let report = held.report().await;
    let (old, new) = (&report.models[&ModelId(0)], &report.models[&ModelId(1)]);
    assert_eq!((old.queue, new.queue.rows, report.workers.len()), (new.queue, 1, 2));
    assert_eq!((new.running.len(), report.inflight_rows), (2, 3));
    let exported = String::from_utf8(held.world.metrics.text().unwrap()).unwrap();
    let bytes = format!("inferneo_queue_bytes{{model=\"fake\"}} {}\n", new.queue.bytes);
    assert!(new.queue.bytes > 0 && exported.contains(&bytes), "{bytes}{exported}");
    run.end(Ok(()));
    assert_eq!(values(third.await.unwrap().unwrap()), [3.0]);
    second.end(Ok(()));
    assert_eq!(values(first.await.unwrap().unwrap()), [1.0]);
    let run = held.world.next_run().await;
    assert_eq!((run.worker, run.heads()), (WorkerId(0), vec![2]), "what waited for the old model is its");
    run.end(Ok(()));
    assert_eq!(values(waiting.await.unwrap().unwrap()), [2.0]);
    assert_eq!(held.only().await, ModelId(1));
    let report = held.report().await;
    assert_eq!(report.workers.iter().map(|w| w.id).collect::<Vec<_>>(), [WorkerId(10)]);
    assert!(report.workers[0].busy > Duration::ZERO, "the device was as busy as it was");
}

#[tokio::test]
async fn a_request_that_is_being_decoded_keeps_its_model() {
    let quick = Reloaded::quick().await;
    let (reading, old) = (quick.registry.read(), quick.served());
    quick.load().await.unwrap().unwrap();
    let mut late = quick.world.request(&[&[7]]);
    late.model = Arc::clone(&old);
    assert_eq!(values(quick.world.handle.infer(late).await.unwrap()), [7.0]);
    assert_eq!((old.state(), quick.report().await.models.len()), (ModelState::Ready, 2));
    drop(reading);
    assert_eq!(quick.only().await, ModelId(1));
    // Whoever did not say that it is being read is told to try again.
    let mut later = quick.world.request(&[&[7]]);
    later.model = old;
    let refused = quick.world.handle.infer(later).await.unwrap_err();
    assert_eq!(refused.reason, Reason::NotReady);
    assert!(refused.message.contains("loaded anew") && refused.retry_after.is_some(), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_read_or_started_leaves_the_old_model_as_it_was() {
    let quick = Reloaded::quick().await;
    quick.holds([Holds::Nothing, Holds::Broken("m/model.onnx: weights are missing"), Holds::Panic]);
    for why in ["m/model.onnx: no model", "m/model.onnx: weights are missing", "panicked"] {
        let error = quick.load().await.unwrap().unwrap_err();
        assert_eq!(error.reason, Reason::NotReady);
        assert!(error.message.contains(why), "{}", error.message);
        assert_eq!((quick.served().id, quick.only().await), (ModelId(0), ModelId(0)));
        assert_eq!(values(quick.ask(5).await.unwrap().unwrap()), [5.0]);
        assert_eq!(quick.report().await.workers.len(), 1);
    }
    assert_eq!(quick.source.placed.load(Ordering::Relaxed), 0);
    quick.load().await.unwrap().unwrap();
    assert_eq!(quick.source.placed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_unloaded_model_is_read_again_and_stays_unloaded_if_that_fails() {
    let quick = Reloaded::quick().await;
    quick.repository.unload("fake").await.unwrap();
    assert_eq!(quick.ask(1).await.unwrap().unwrap_err().reason, Reason::NotReady);
    quick.holds([Holds::Broken("no")]);
    quick.load().await.unwrap().unwrap_err();
    assert_eq!(quick.served().state(), ModelState::Unloaded);
    for number in [2, 3] {
        quick.load().await.unwrap().unwrap();
        assert_eq!(quick.only().await, ModelId(number));
        assert_eq!(values(quick.ask(1).await.unwrap().unwrap()), [1.0]);
        quick.repository.unload("fake").await.unwrap();
    }
    assert_eq!(quick.repository.load("none").await.unwrap_err().reason, Reason::UnknownModel);
    assert_eq!(quick.repository.unload("none").await.unwrap_err().reason, Reason::UnknownModel);
}

#[tokio::test]
async fn of_a_load_and_an_unload_the_last_counts() {
    let quick = Reloaded::quick().await;
    let (gate, slow) = std::sync::mpsc::channel();
    quick.holds([Holds::Slow(slow)]);
    let overtaken = quick.load();
    let two = async |quick: &Reloaded| quick.report().await.models.len() == 2;
    while !two(&quick).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(quick.served().state(), ModelState::Ready, "the old model serves meanwhile");
    let second = quick.load();
    // It takes its turn before the unload is asked for.
    tokio::task::yield_now().await;
    quick.repository.unload("fake").await.unwrap();
    let last = quick.load();
    drop(gate);
    for load in [overtaken, second] {
        let error = load.await.unwrap().unwrap_err();
        assert!(error.message.contains("unloaded again"), "{}", error.message);
    }
    last.await.unwrap().unwrap();
    assert_eq!(quick.only().await, quick.served().id);
    assert_eq!(values(quick.ask(1).await.unwrap().unwrap()), [1.0]);
    quick.repository.unload("fake").await.unwrap();
    assert_eq!(quick.served().state(), ModelState::Unloaded);
    assert_eq!(quick.source.reads.lock().unwrap().1, 1, "one at a time");
}

#[tokio::test]
async fn twenty_loads_under_load_lose_nothing() {
    let quick = Reloaded::quick().await;
    let asking = |from: u32| {
        let (handle, registry) = (quick.world.handle.clone(), Arc::clone(&quick.registry));
        tokio::spawn(async move {
            let mut answered = 0;
            while registry.get("fake").unwrap().id < ModelId(20) {
                let _reading = registry.read();
                let request = InferRequest {
                    id: "r".into(),
                    model: registry.get("fake").unwrap(),
                    tenant: "".into(),
                    priority: Priority(0),
                    deadline: None,
                    items: vec![Payload::Tokens(Tokens { ids: vec![from], type_ids: Vec::new() })],
                    want: Want::Embedding,
                };
                // Between the look and the request the model may be replaced.
                tokio::task::yield_now().await;
                assert_eq!(values(handle.infer(request).await.unwrap()), [from as f32]);
                answered += 1;
            }
            answered
        })
    };
    let callers: Vec<_> = (20..28).map(asking).collect();
    for number in 1..=20 {
        quick.load().await.unwrap().unwrap();
        assert_eq!(quick.served().id, ModelId(number));
    }
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
    assert_eq!(quick.only().await, ModelId(20));
    let report = quick.report().await;
    assert_eq!((report.workers.len(), report.inflight_rows), (1, 0));
    let exported = String::from_utf8(quick.world.metrics.text().unwrap()).unwrap();
    for gauge in ["batches_in_flight{device=\"cpu\",model=\"fake\"}", "queue_bytes{model=\"fake\"}", "inflight_rows"] {
        assert!(exported.contains(&format!("inferneo_{gauge} 0\n")), "{gauge}: {exported}");
    }
}

#[tokio::test]
async fn what_was_learned_goes_on_with_the_new_model() {
    let quick = Reloaded::quick().await;
    for head in 20..30 {
        quick.ask(head).await.unwrap().unwrap();
    }
    quick.load().await.unwrap().unwrap();
    assert_eq!(quick.source.told.lock().unwrap()[0].cost.observations(), 10);
    let model = quick.only().await;
    let report = quick.report().await;
    assert_eq!((model, report.models[&model].costs[0].observations), (ModelId(1), 10));
}

#[tokio::test]
async fn a_drain_ends_a_load() {
    let quick = Reloaded::quick().await;
    let (gate, slow) = std::sync::mpsc::channel();
    quick.holds([Holds::Slow(slow)]);
    let load = quick.load();
    while quick.report().await.models.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    quick.world.handle.drain();
    assert_eq!(load.await.unwrap().unwrap_err().reason, Reason::Draining);
    drop(gate);
    let Reloaded { world, repository, .. } = quick;
    // The workers of both are left to be joined.
    assert_eq!(world.driver.await.unwrap().len(), 2);
    assert_eq!(repository.load("fake").await.unwrap_err().reason, Reason::Draining);
    assert_eq!(repository.unload("fake").await.unwrap_err().reason, Reason::Draining);
}
