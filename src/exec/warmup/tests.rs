//! The sweep's plan, and instances that leave it.

use super::*;
use crate::exec::fixtures::{identity_spec, text_spec};
use crate::model::Datatype;
use std::sync::mpsc::channel;
use std::thread;

fn shapes(spec: &ModelSpec) -> Vec<(u32, u32)> {
    cells(spec).iter().map(|c| (c.rows, c.len)).collect()
}

#[test]
fn the_cells_fit_the_model() {
    let mut text = text_spec();
    text.max_length = Some(64);
    assert!(shapes(&text).iter().all(|(_, len)| *len <= 64));
    text.max_length = None;
    assert!(shapes(&text).contains(&(1, DEFAULT_LENGTH)));
    text.batchable = false;
    assert!(shapes(&text).iter().all(|(rows, _)| *rows == 1));
    assert_eq!(shapes(&identity_spec(Datatype::Fp32, &[Dim::Fixed(3)])), [(1, 1), (8, 1), (32, 1)]);
    assert_eq!(shapes(&identity_spec(Datatype::Fp32, &[Dim::Free("n".into())])), []);
}

#[test]
fn larger_cells_follow_smaller_ones_until_they_are_too_slow() {
    let mut plan = Plan::of(cells(&text_spec()), false, false);
    let mut last = 0;
    while let Some(step) = plan.next(Time(1)) {
        assert!(step.cell.work() >= last && step.cell.work() <= 64, "{step:?}");
        last = step.cell.work();
        plan.record(step.cell, Duration::from_millis(4 * last));
    }
    assert!(last > 0);
}

#[test]
fn the_sweep_ends_with_its_budget() {
    let mut plan = Plan::of(cells(&text_spec()), false, true);
    let first = plan.next(Time(1)).unwrap();
    plan.record(first.cell, Duration::from_millis(1));
    assert_eq!(plan.next(Time(1) + BUDGET), None);
}

#[test]
fn one_instance_runs_alone_while_the_others_wait() {
    let threads = warm_up(&text_spec(), Device::Cpu(0), 2).into_iter().map(|part| {
        thread::spawn(move || {
            let mut seen = Vec::new();
            while let Some((step, busy)) = part.next() {
                part.record(step.cell, Duration::from_micros(step.cell.work()));
                seen.push((step, busy));
            }
            seen
        })
    });
    let threads: Vec<_> = threads.collect();
    let seen: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(seen[0].len(), seen[1].len());
    for ((step, first), (same, second)) in seen[0].iter().zip(&seen[1]) {
        assert_eq!(step, same);
        assert_eq!((*first, *second), if step.alone { (1, 0) } else { (2, 2) });
    }
    assert!(seen[0].iter().any(|(step, _)| step.alone));
}

#[test]
fn an_instance_that_dies_holds_nobody_up() {
    let mut parts = warm_up(&text_spec(), Device::Cpu(0), 3);
    let (dying, idle) = (parts.remove(0), parts.remove(0));
    let (going, gone) = channel();
    let rest = thread::spawn(move || {
        let (_, busy) = parts[0].next().unwrap();
        going.send(busy).unwrap();
        let mut steps = 1;
        while parts[0].next().is_some() {
            steps += 1;
        }
        steps
    });
    drop(idle);
    let dead = thread::spawn(move || {
        dying.next();
        assert_eq!(gone.recv().unwrap(), 2);
        panic!("as scripted");
    });
    assert!(dead.join().is_err());
    assert!(rest.join().unwrap() > 1);
}

/// Runs a resumed sweep of one instance, whose runs take what was usual times a factor of their own.
fn resumed(device: Device, off: impl Fn(Cell) -> f64) -> usize {
    let usual = |cell: Cell| Duration::from_micros(100 + 5 * cell.work());
    let part = resume(&text_spec(), device, 1, |rows, len, _| Some(usual(Cell { rows, len }))).remove(0);
    let mut steps = 0;
    while let Some((step, _)) = part.next() {
        part.record(step.cell, usual(step.cell).mul_f64(off(step.cell)));
        steps += 1;
    }
    steps
}

#[test]
fn what_is_known_is_checked_by_three_shapes_and_measured_anew_where_it_does_not_hold() {
    let all = cells(&text_spec()).len();
    assert!(all > 3);
    assert_eq!(resumed(Device::Cpu(0), |_| 1.1), 3);
    assert_eq!(resumed(Device::Cpu(0), |_| 2.0), 3, "all off by one factor");
    assert_eq!(resumed(Device::Cpu(0), |cell| if cell.rows == 1 { 1.0 } else { 2.0 }), 3 + all);
    let usual = |rows, len, _| (rows == 1 && len == 8).then_some(Duration::from_micros(1));
    let part = resume(&text_spec(), Device::Cpu(0), 1, usual).remove(0);
    assert!(part.shared.lock().plan.checks.is_empty(), "one shape alone shows nothing");
    assert_eq!(resumed(GPU, |_| 1.0), gpu_cells(&text_spec()).len(), "every shape of a GPU is run");
}

const GPU: Device = Device::Cuda(0);

#[test]
fn a_gpu_is_swept_from_the_largest_bounded_shape_down() {
    let mut text = text_spec();
    text.max_length = Some(512);
    let mut plan = Plan::new(&text, GPU, true);
    let mut steps = Vec::new();
    while let Some(step) = plan.next(Time(1)) {
        // What is slow on a CPU is not left out here.
        plan.record(step.cell, Duration::from_millis(300));
        steps.push(step);
    }
    assert_eq!(steps[0], Step { cell: Cell { rows: 32, len: 512 }, alone: false });
    let (together, alone) = steps.split_at(steps.len() / 2);
    assert!(together.iter().all(|step| !step.alone) && alone.iter().all(|step| step.alone));
    assert!(together.windows(2).all(|pair| pair[0].cell.work() >= pair[1].cell.work()), "{together:?}");
    assert!(steps.iter().all(|step| step.cell.work() <= u64::from(GPU_TOKENS)));
    let [first] = &Vec::from(first_run(&text, GPU).remove(0).shared.lock().plan.steps.clone())[..] else { panic!() };
    assert_eq!(first.cell, Cell { rows: 32, len: 512 });
}

#[test]
fn shapes_of_a_gpu_fit_the_model() {
    let shapes = |spec: &ModelSpec| gpu_cells(spec).iter().map(|c| (c.rows, c.len)).collect::<Vec<_>>();
    let mut text = text_spec();
    assert!(shapes(&text).iter().all(|(_, len)| *len <= 16) && shapes(&text).contains(&(32, 16)));
    text.max_length = Some(40_000);
    assert!(shapes(&text).contains(&(1, 40_000)) && !shapes(&text).contains(&(2, 40_000)));
    text.batchable = false;
    assert!(shapes(&text).iter().all(|(rows, _)| *rows == 1));
    let images = identity_spec(Datatype::Fp32, &[Dim::Fixed(3)]);
    assert_eq!(shapes(&images), [1, 2, 4, 8, 16, 32].map(|rows| (rows, 1)));
    assert_eq!(shapes(&identity_spec(Datatype::Fp32, &[Dim::Free("n".into())])), []);
}

#[test]
fn a_shape_there_is_no_memory_for_takes_those_no_smaller_along() {
    let mut text = text_spec();
    text.max_length = Some(512);
    let part = warm_up(&text, GPU, 1).remove(0);
    let (first, _) = part.next().unwrap();
    part.too_large(first.cell);
    part.too_large(Cell { rows: 16, len: 128 });
    while let Some((step, _)) = part.next() {
        assert!(step.cell.rows < 16 || step.cell.len < 128, "{step:?}");
        part.record(step.cell, Duration::from_micros(1));
    }
}
