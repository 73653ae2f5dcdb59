//! A fast device beside a slow one, and one that nothing is known of.

use super::*;

#[test]
fn a_slow_device_makes_nobody_wait_longer_than_the_fast_one_alone_would() {
    for (slow, load) in [(3.0, 200.0), (10.0, 200.0), (100.0, 200.0), (3.0, 1_200.0), (10.0, 1_200.0), (4.0, 2_000.0)] {
        let run = |units: &[f64]| {
            let mut fleet = Fleet::new(units);
            fleet.open_loop(load, Duration::from_secs(40));
            fleet.settle();
            (fleet.p99(fleet.start), fleet.units.iter().map(|u| u.rows).collect::<Vec<_>>())
        };
        let ((alone, _), (both, rows)) = (run(&[1.0]), run(&[1.0, slow]));
        println!("{slow} at {load}: {alone:?} alone, {both:?} with, {rows:?}");
        assert!(both <= alone.mul_f64(1.05), "{both:?} beside {alone:?}");
    }
}

#[test]
fn at_saturation_both_do_what_they_can() {
    for slow in [2.0, 4.0, 10.0] {
        // So many that the fast one alone would take longer for all that waits than the slow one for a batch of long
        // rows: else these are rightly held for it, and at half as many connections the two do 6 % less.
        let run = |units: &[f64]| Fleet::new(units).closed_loop(768, 20_000);
        let (fast, slow_one, both) = (run(&[1.0]), run(&[slow]), run(&[1.0, slow]));
        println!("{slow}: {fast:.0} + {slow_one:.0}: {both:.0}");
        assert!(both >= 0.95 * (fast + slow_one), "{both} of {fast} and {slow_one}");
    }
}

#[test]
fn a_batch_is_held_for_a_faster_device_until_that_is_late() {
    let mut fleet = Fleet::new(&[1.0, 10.0]);
    fleet.arrive();
    fleet.carry_out();
    assert_eq!(fleet.running[0].2.worker, WorkerId(0), "the faster one is taken first");
    fleet.arrive();
    fleet.carry_out();
    assert_eq!(fleet.running.len(), 1, "the second row waits for it too");
    // It never ends: the slow one has the row before long.
    let (end, took, batch) = fleet.running.remove(0);
    fleet.now = fleet.sched.poll_timeout().expect("the hold ends");
    assert!(fleet.now > end && fleet.now < end + took * 10);
    fleet.sched.handle_timeout(fleet.now);
    fleet.carry_out();
    assert_eq!(fleet.running[0].2.worker, WorkerId(1));
    fleet.running.push((fleet.now, took, batch));
    fleet.settle();
}

#[test]
fn a_device_that_was_never_measured_is_tried_and_then_used_as_it_deserves() {
    for slow in [0.2, 1.0, 20.0] {
        let mut fleet = Fleet::new(&[1.0]);
        fleet.units.push(Unit { slow, ..fleet.units[0].clone() });
        fleet.up(1);
        fleet.open_loop(400.0, Duration::from_secs(3));
        let rows: Vec<u64> = fleet.units.iter().map(|u| u.rows).collect();
        println!("{slow}: {rows:?}");
        assert!(!fleet.units[1].batches.is_empty(), "never chosen");
        match slow {
            s if s < 1.0 => assert!(rows[1] > 2 * rows[0], "{rows:?}"),
            s if s > 1.0 => assert!(rows[1] < rows[0] / 10, "{rows:?}"),
            _ => {}
        }
        fleet.settle();
    }
}

#[test]
fn without_any_measurement_all_devices_are_used() {
    let mut fleet = Fleet::cold(&[1.0; 4]);
    fleet.closed_loop(256, 4_000);
    assert!(fleet.units.iter().all(|u| u.rows > 500), "{:?}", fleet.units.iter().map(|u| u.rows).collect::<Vec<_>>());
}
