//! Looks at the models' health. A test asks for each look itself, so that none of them waits for a clock.

use super::*;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU32};
use tokio::sync::Notify;

const ALONE: &str = "dynamic_batching = false";
/// The length of a made-up row.
const MADE_UP: usize = 8;
/// Looks after which what runs is stuck.
const STUCK: u32 = 7;

/// A world whose models are looked at whenever a test says.
struct Checked {
    world: World,
    due: Weak<Notify>,
}

impl Checked {
    /// Workers whose runs each wait for [`Held::end`].
    async fn held(workers: u32) -> Self {
        let (begun, runs) = mpsc::unbounded_channel();
        let begin = move |worker, run: &FakeRun| {
            let (end, ended) = std::sync::mpsc::channel();
            drop(begun.send(Held { worker, run: run.clone(), end }));
            ended.recv().unwrap_or(Ok(()))
        };
        Self::start(workers, spec(), Arc::new(begin), runs).await
    }

    /// One worker whose runs end as `script` says.
    async fn scripted(
        spec: ModelSpec,
        script: impl Fn(&FakeRun) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let (_, runs) = mpsc::unbounded_channel();
        Self::start(1, spec, Arc::new(move |_, run: &FakeRun| script(run)), runs).await
    }

    async fn start(workers: u32, spec: ModelSpec, begin: Begin, runs: mpsc::UnboundedReceiver<Held>) -> Self {
        let mut due = Weak::new();
        let world = checked(workers, spec, begin, runs, |driver| due = driver.check_when_asked()).await;
        Self { world, due }
    }

    /// Has the driver look so many times. What that starts has started; it need not have ended.
    async fn look(&self, looks: u32) {
        for _ in 0..looks {
            self.due.upgrade().unwrap().notify_one();
            // The driver looks before it takes what arrived later.
            let mut late = self.world.request(&[&[1]]);
            late.deadline = Some(Time(1));
            self.world.handle.infer(late).await.unwrap_err();
        }
    }

    /// Has the driver look and waits for the end of the canary, which must be the `count`th with this outcome.
    async fn canary(&self, outcome: &str, count: u32) {
        self.look(1).await;
        self.world.until(|world| checks(world, outcome) == count).await;
    }

    /// Has the driver look and answers the canary, which must be run.
    async fn next_canary(&mut self) -> Held {
        self.look(1).await;
        let run = self.world.next_run().await;
        assert_eq!((run.run.rows, run.run.len), (1, MADE_UP));
        run
    }

    /// Ends a canary well, and waits until the driver knows.
    async fn end(&self, canary: Held) {
        let count = checks(&self.world, "ok");
        canary.end(Ok(()));
        self.world.until(|world| checks(world, "ok") == count + 1).await;
    }

    fn ailment(&self) -> String {
        self.world.model.ailment().map(|why| why.to_string()).unwrap_or_default()
    }
}

async fn checked(
    workers: u32,
    spec: ModelSpec,
    begin: Begin,
    runs: mpsc::UnboundedReceiver<Held>,
    check: impl FnOnce(&mut Driver),
) -> World {
    let model = Arc::new(Model::new(ModelId(0), "fake", spec, None, 0));
    let plans = (0..workers).map(|id| plan(WorkerId(id), &model, &begin)).collect();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (mut driver, handle) = Driver::start(policies(ALONE, 1), plans, Arc::clone(&metrics)).unwrap();
    check(&mut driver);
    let world = World { handle, driver: tokio::spawn(driver.run()), model, metrics, runs };
    world.until(|world| world.model.state() == ModelState::Ready).await;
    world
}

/// How many canaries ended so.
fn checks(world: &World, outcome: &str) -> u32 {
    let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    let name = format!("inferneo_health_checks_total{{model=\"fake\",outcome={outcome:?}}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

/// A script that counts its runs.
fn counting() -> (Arc<AtomicU32>, impl Fn(&FakeRun) -> Result<(), Failure> + Send + Sync + 'static) {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let script = move |_: &FakeRun| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    (runs, script)
}

#[tokio::test]
async fn an_idle_model_runs_one_small_row_that_nobody_counts() {
    let mut checked = Checked::held(2).await;
    let canary = checked.next_canary().await;
    // One at a time.
    checked.look(2).await;
    assert!(checked.world.runs.try_recv().is_err());
    assert_eq!(checked.world.metrics.inflight_rows().get(), 0);
    checked.end(canary).await;
    // What ended well is believed for one look.
    checked.look(1).await;
    assert!(checked.world.runs.try_recv().is_err());
    let canary = checked.next_canary().await;
    checked.end(canary).await;
    let model = checked.world.metrics.model("fake");
    assert_eq!((model.batch_rows().count, model.computed().count, model.queued().count), (0, 0, 0));
    let report = checked.world.handle.report().await.unwrap();
    assert!(report.workers.iter().all(|worker| worker.busy.is_zero()), "{report:?}");
    assert_eq!((checks(&checked.world, "failed"), checked.ailment()), (0, String::new()));
}

#[tokio::test]
async fn a_model_that_answers_is_not_asked() {
    let (runs, script) = counting();
    let checked = Checked::scripted(spec(), script).await;
    for token in 0..10 {
        checked.world.ask(&[&[token]]).await.unwrap().unwrap();
        checked.look(1).await;
    }
    assert_eq!((checks(&checked.world, "ok"), runs.load(Ordering::Relaxed)), (0, 10));
}

#[tokio::test]
async fn a_row_that_comes_during_a_canary_runs_elsewhere_or_next_and_once() {
    let mut checked = Checked::held(2).await;
    let canary = checked.next_canary().await;
    let asked = [checked.world.ask(&[&[1]]), checked.world.ask(&[&[2]])];
    let first = checked.world.next_run().await;
    assert_ne!(first.worker, canary.worker);
    checked.world.rows(2).await;
    assert!(checked.world.runs.try_recv().is_err());
    let busy = canary.worker;
    canary.end(Ok(()));
    let second = checked.world.next_run().await;
    assert_eq!(second.worker, busy);
    first.end(Ok(()));
    second.end(Ok(()));
    for (task, value) in asked.into_iter().zip([1.0, 2.0]) {
        assert_eq!(values(task.await.unwrap().unwrap()), [value]);
    }
    checked.world.rows(0).await;
}

#[tokio::test]
async fn two_failures_in_a_row_are_an_ailment_that_a_canary_ends() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let checked = Checked::scripted(spec(), move |_| match is_broken.load(Ordering::Relaxed) {
        true => Err(Failure::Failed("out of order".into())),
        false => Ok(()),
    })
    .await;
    checked.canary("failed", 1).await;
    assert_eq!(checked.ailment(), "");
    checked.canary("failed", 2).await;
    assert_eq!(checked.ailment(), "canary failed: the model failed: out of order");
    // Its session is left alone, and callers are told what it says.
    assert_eq!(checked.world.model.state(), ModelState::Ready);
    assert_eq!(checked.world.ask(&[&[1]]).await.unwrap().unwrap_err().reason, Reason::ExecutionFailed);
    assert!(!checked.ailment().is_empty());
    broken.store(false, Ordering::Relaxed);
    checked.canary("ok", 1).await;
    assert_eq!(checked.ailment(), "");
}

#[tokio::test]
async fn a_batch_that_ends_well_ends_an_ailment() {
    let checked = Checked::scripted(spec(), |run| match run.len {
        MADE_UP => Err(Failure::Failed("no made-up rows".into())),
        _ => Ok(()),
    })
    .await;
    checked.canary("failed", 1).await;
    checked.canary("failed", 2).await;
    assert!(!checked.ailment().is_empty());
    checked.world.ask(&[&[1]]).await.unwrap().unwrap();
    assert_eq!(checked.ailment(), "");
    // What callers send runs, and what is made up never did: it says nothing of this model.
    checked.look(1).await;
    checked.canary("failed", 3).await;
    checked.look(2).await;
    assert_eq!((checked.ailment(), checks(&checked.world, "failed")), (String::new(), 3));
}

#[tokio::test]
async fn made_up_input_of_unknown_size_says_nothing_until_it_ran() {
    let size = |name: &str, dims: &[Dim]| TensorSpec::new(name, Datatype::Fp32, dims.to_vec());
    let free = || ModelSpec {
        inputs: vec![size("x", &[Dim::Batch, Dim::Free("n".into())])],
        outputs: vec![size("y", &[Dim::Batch, Dim::Fixed(1)])],
        pads: false,
        task: Task::Tensors,
        ..spec()
    };
    let checked = Checked::scripted(free(), |_| Err(Failure::Failed("a size nobody sends".into()))).await;
    checked.canary("failed", 1).await;
    checked.look(STUCK).await;
    assert_eq!((checks(&checked.world, "failed"), checked.ailment()), (1, String::new()));
    let ran = AtomicBool::new(false);
    let checked = Checked::scripted(free(), move |_| match ran.swap(true, Ordering::Relaxed) {
        false => Ok(()),
        true => Err(Failure::Failed("it ran once".into())),
    })
    .await;
    checked.canary("ok", 1).await;
    checked.look(1).await;
    checked.canary("failed", 1).await;
    checked.canary("failed", 2).await;
    assert_eq!(checked.ailment(), "canary failed: the model failed: it ran once");
}

#[tokio::test]
async fn a_canary_that_never_ends_is_an_ailment_until_it_does() {
    let mut checked = Checked::held(1).await;
    let canary = checked.next_canary().await;
    checked.look(STUCK - 1).await;
    assert_eq!(checked.ailment(), "");
    checked.look(1).await;
    assert_eq!(checked.ailment(), "canary failed: it has not ended for 30 s");
    let asked = checked.world.ask(&[&[1]]);
    checked.world.rows(1).await;
    canary.end(Ok(()));
    let run = checked.world.next_run().await;
    assert_eq!((run.heads(), checked.ailment()), (vec![1], String::new()));
    run.end(Ok(()));
    assert_eq!(values(asked.await.unwrap().unwrap()), [1.0]);
}

#[tokio::test]
async fn a_batch_that_never_ends_is_an_ailment_only_with_nobody_left_to_answer() {
    let mut checked = Checked::held(2).await;
    let asked = checked.world.ask(&[&[1]]);
    let stuck = checked.world.next_run().await;
    checked.look(STUCK - 1).await;
    assert!(checked.world.runs.try_recv().is_err());
    // From now on the other worker is asked, and answers.
    for _ in 0..3 {
        let canary = checked.next_canary().await;
        assert_ne!(canary.worker, stuck.worker);
        checked.end(canary).await;
        checked.look(1).await;
        assert_eq!(checked.ailment(), "");
    }
    let second = checked.world.ask(&[&[2]]);
    let also_stuck = checked.world.next_run().await;
    checked.look(STUCK - 1).await;
    assert_eq!(checked.ailment(), "");
    checked.look(1).await;
    assert_eq!(checked.ailment(), "a batch has not ended for 30 s");
    stuck.end(Ok(()));
    asked.await.unwrap().unwrap();
    assert_eq!(checked.ailment(), "");
    also_stuck.end(Ok(()));
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_queue_is_no_ailment() {
    let mut checked = Checked::held(1).await;
    let asked: Vec<_> = (10..40).map(|token| checked.world.ask(&[&[token]])).collect();
    checked.world.rows(30).await;
    for _ in 0..30 {
        let run = checked.world.next_run().await;
        assert_ne!(run.run.len, MADE_UP);
        checked.look(2).await;
        assert_eq!(checked.ailment(), "");
        run.end(Ok(()));
    }
    for task in asked {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn workers_take_turns_at_canaries() {
    let mut checked = Checked::held(3).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let canary = checked.next_canary().await;
        seen.push(canary.worker.0);
        checked.end(canary).await;
        checked.look(1).await;
    }
    assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_loses_its_device_leaves_it_to_the_restart() {
    let mut checked = Checked::held(1).await;
    checked.next_canary().await.end(Err(Failure::DeviceLost("unplugged".into())));
    checked.world.until(|world| world.model.state() == ModelState::Failed).await;
    assert_eq!((checks(&checked.world, "failed"), checked.ailment()), (1, String::new()));
    checked.look(STUCK).await;
    assert_eq!(checked.ailment(), "");
    checked.world.until(|world| world.model.state() == ModelState::Ready).await;
    let canary = checked.next_canary().await;
    checked.end(canary).await;
}

#[tokio::test]
async fn a_drain_waits_for_a_canary_and_starts_none() {
    let mut checked = Checked::held(1).await;
    let canary = checked.next_canary().await;
    let asked = checked.world.ask(&[&[1]]);
    checked.world.rows(1).await;
    checked.world.handle.drain();
    canary.end(Ok(()));
    checked.due.upgrade().unwrap().notify_one();
    let run = checked.world.next_run().await;
    assert_eq!(run.heads(), [1]);
    run.end(Ok(()));
    assert_eq!(values(asked.await.unwrap().unwrap()), [1.0]);
    assert_eq!((&mut checked.world.driver).await.unwrap().len(), 1);
    assert!(checked.due.upgrade().is_none() && checked.world.runs.try_recv().is_err());
}

/// On a clock that jumps to the next timer whenever nothing else can happen.
#[tokio::test(start_paused = true)]
async fn looks_come_by_themselves() {
    let (_, runs) = mpsc::unbounded_channel();
    let (count, script) = counting();
    let begin: Begin = Arc::new(move |_, run: &FakeRun| script(run));
    let world = checked(1, spec(), begin, runs, Driver::check_health).await;
    world.until(|world| checks(world, "ok") >= 3).await;
    assert_eq!((world.model.ailment(), checks(&world, "failed")), (None, 0));
    assert!(count.load(Ordering::Relaxed) >= 3);
}

/// On the same jumping clock: ten minutes pass.
#[tokio::test(start_paused = true)]
async fn without_checks_nothing_is_ever_run() {
    let (runs, script) = counting();
    let world = World::scripted(1, ALONE, script).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.ask(&[&[1]]).await.unwrap().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert!(!String::from_utf8(world.metrics.text().unwrap()).unwrap().contains("inferneo_health_checks"));
}
