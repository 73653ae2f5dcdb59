//! A worker's thread around a scripted backend.

use super::*;
use crate::exec::fixtures::{job, model, text_spec, tokens};
use crate::exec::{Fake, FakeRun, warm_up};
use crate::request::{Answer, Want};
use crate::types::Device;

/// A worker whose runs end as `script` says, and what it tells.
fn worker(
    warm: bool,
    script: impl FnMut(&FakeRun) -> Result<(), Failure> + Send + 'static,
) -> (WorkerHandle, Receiver<WorkerEvent>, Arc<Model>) {
    let (events, told) = channel();
    let m = model(text_spec());
    let part = warm.then(|| warm_up(&m.spec, Device::Cpu(0), 1).remove(0));
    let config = WorkerConfig { id: WorkerId(3), name: "w3".into(), model: m.clone(), warm_up: part };
    let spec = m.spec.clone();
    let make = move || Ok(Box::new(Fake::new(spec, script)) as Box<dyn Backend>);
    let handle = spawn(config, make, move |event| events.send(event).unwrap()).unwrap();
    (handle, told, m)
}

fn batch(m: &Arc<Model>, rows: &[&[u32]]) -> Job {
    let longest = rows.iter().map(|r| r.len()).max().unwrap_or(1) as u32;
    job(m, longest, rows.iter().map(|ids| (tokens(ids), Want::Embedding)).collect())
}

fn done(told: &Receiver<WorkerEvent>) -> JobDone {
    match told.recv().unwrap() {
        WorkerEvent::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ready_then_one_done_a_batch_then_silence() {
    let (handle, told, m) = worker(false, |_| Ok(()));
    assert!(
        matches!(told.recv().unwrap(), WorkerEvent::Ready { worker: WorkerId(3), samples, .. } if samples.is_empty())
    );
    handle.submit(batch(&m, &[&[2, 4], &[5]])).unwrap();
    let done = done(&told);
    assert_eq!((done.worker, done.batch.0), (WorkerId(3), 7));
    assert_eq!(done.result.unwrap(), [vec![3.0; 2], vec![5.0; 2]].map(Answer::Embedding));
    handle.join();
    assert!(told.recv().is_err());
}

#[test]
fn a_failure_or_a_panic_ends_its_batch_only() {
    let (handle, told, m) = worker(false, |run| match run.heads[0] {
        13 => Err(Failure::Failed("scripted".into())),
        14 => panic!("scripted {}", 14),
        15 => Err(Failure::OutOfMemory("scripted".into())),
        _ => Ok(()),
    });
    told.recv().unwrap();
    let run = |head| {
        handle.submit(batch(&m, &[&[head]])).unwrap();
        done(&told).result
    };
    assert_eq!(run(13), Err(Failure::Failed("scripted".into())));
    assert_eq!(run(14), Err(Failure::Failed("panic: scripted 14".into())));
    assert_eq!(run(15), Err(Failure::OutOfMemory("scripted".into())));
    assert!(run(1).is_ok());
}

#[test]
fn a_lost_device_ends_the_worker() {
    let (handle, told, m) = worker(false, |_| Err(Failure::DeviceLost("gone".into())));
    told.recv().unwrap();
    handle.submit(batch(&m, &[&[1]])).unwrap();
    assert_eq!(done(&told).result, Err(Failure::DeviceLost("gone".into())));
    assert!(matches!(told.recv().unwrap(), WorkerEvent::Lost { worker: WorkerId(3), .. }));
    assert!(told.recv().is_err());
    assert_eq!(handle.submit(batch(&m, &[&[1]])).unwrap_err().items.len(), 1);
}

#[test]
fn a_batch_can_be_run_by_who_has_it_and_nobody_is_told() {
    let (handle, told, m) = worker(false, |run| {
        assert_ne!(std::thread::current().name(), Some("w3"));
        if run.heads == [14] { Err(Failure::DeviceLost("gone".into())) } else { Ok(()) }
    });
    told.recv().unwrap();
    let done = handle.run_here(batch(&m, &[&[2, 4]])).unwrap();
    assert_eq!((done.worker, done.result), (WorkerId(3), Ok(vec![Answer::Embedding(vec![3.0; 2])])));
    assert!(told.try_recv().is_err());
    // As on its own thread, a lost device is the worker's end, which is told of.
    let lost = handle.run_here(batch(&m, &[&[14]])).unwrap();
    assert_eq!(lost.result, Err(Failure::DeviceLost("gone".into())));
    assert_eq!(handle.run_here(batch(&m, &[&[1]])).unwrap_err().items.len(), 1);
    assert!(matches!(told.recv().unwrap(), WorkerEvent::Lost { worker: WorkerId(3), device_gone: true, .. }));
    assert!(told.recv().is_err());
}

#[test]
fn who_is_at_work_gives_a_batch_back() {
    let ((begin, begun), (release, held)) = (channel(), channel::<()>());
    let (handle, told, m) = worker(false, move |_| {
        begin.send(()).unwrap();
        held.recv().ok();
        Ok(())
    });
    told.recv().unwrap();
    handle.submit(batch(&m, &[&[8]])).unwrap();
    begun.recv().unwrap();
    assert!(handle.run_here(batch(&m, &[&[9]])).is_err());
    release.send(()).unwrap();
    assert!(done(&told).result.is_ok());
}

#[test]
fn a_worker_that_cannot_start_says_so() {
    for panics in [false, true] {
        let (events, told) = channel();
        let config = WorkerConfig { id: WorkerId(0), name: "w".into(), model: model(text_spec()), warm_up: None };
        let make = move || {
            if panics { panic!("no file") } else { Err(Failure::Failed("no file".into())) }
        };
        let _handle = spawn(config, make, move |event| events.send(event).unwrap()).unwrap();
        match told.recv().unwrap() {
            WorkerEvent::Lost { message, device_gone, .. } => {
                assert!(message.contains("no file") && !device_gone, "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn warm_up_measures_and_survives_failures() {
    let (_handle, told, _) = worker(true, |_| Ok(()));
    let WorkerEvent::Ready { samples, .. } = told.recv().unwrap() else { panic!() };
    assert!(samples.len() >= 3 && samples.iter().all(|s| s.busy == 1), "{samples:?}");
    let (_handle, told, _) = worker(true, |_| Err(Failure::DeviceLost("scripted".into())));
    assert!(matches!(told.recv().unwrap(), WorkerEvent::Lost { device_gone: true, .. }));
    let (_handle, told, _) = worker(true, |_| Err(Failure::Failed("scripted".into())));
    assert!(matches!(told.recv().unwrap(), WorkerEvent::Ready { samples, .. } if samples.is_empty()));
    let full = |run: &FakeRun| if run.rows > 1 { Err(Failure::OutOfMemory("scripted".into())) } else { Ok(()) };
    let (_handle, told, _) = worker(true, full);
    let WorkerEvent::Ready { samples, too_large, .. } = told.recv().unwrap() else { panic!() };
    assert_eq!(too_large, [(8, 8)]);
    assert!(!samples.is_empty() && samples.iter().all(|s| s.rows == 1), "{samples:?}");
}

#[test]
fn a_dropped_handle_lets_the_last_batch_finish() {
    let (release, held) = channel::<()>();
    let (handle, told, m) = worker(false, move |_| {
        held.recv().ok();
        Ok(())
    });
    told.recv().unwrap();
    handle.submit(batch(&m, &[&[8]])).unwrap();
    drop(handle);
    release.send(()).unwrap();
    assert_eq!(done(&told).result.unwrap(), [Answer::Embedding(vec![8.0; 2])]);
    assert!(told.recv().is_err());
}
