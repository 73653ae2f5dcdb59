//! Devices that are throttled, short of memory, or lost: the rest goes on, and so do they afterwards.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_throttled_device_gets_less_at_once_and_its_share_back_afterwards() {
    let mut fleet = Fleet::new(&[1.0; 4]);
    // Enough that each is needed.
    let clients = 4 * 192;
    let usual = fleet.closed_loop(clients, 8_000);
    fleet.units[1].slow = 3.0;
    fleet.condition(1, false, true);
    let (rate, tokens) = fleet.tokens_during(|fleet| fleet.closed_loop(0, 16_000));
    println!("throttled: {rate:.0} rows/s for {usual:.0}, {tokens:?}");
    assert!(tokens[1] < tokens[0] * 40 / 100, "{tokens:?}");
    assert!(rate > 0.93 * usual * (3.0 + 1.0 / 3.0) / 4.0, "{rate} of {usual}");
    let cost = fleet.sched.costs(MODEL).find(|(device, _)| device.0 == 1).expect("known").1;
    assert!(cost.error_ratio() < 0.25, "its runs are foreseen: {}", cost.error_ratio());
    fleet.units[1].slow = 1.0;
    fleet.condition(1, false, false);
    let (rate, tokens) = fleet.tokens_during(|fleet| fleet.closed_loop(0, 8_000));
    println!("after: {rate:.0} rows/s, {tokens:?}");
    assert!(tokens[1] > tokens[0] * 85 / 100, "{tokens:?}");
}

#[test]
fn at_low_load_a_throttled_device_is_left_alone() {
    let mut fleet = Fleet::new(&[1.0; 2]);
    fleet.open_loop(400.0, SECOND);
    fleet.units[0].slow = 3.0;
    fleet.condition(0, false, true);
    fleet.open_loop(400.0, SECOND / 4);
    let since = fleet.now;
    let ((), tokens) = fleet.tokens_during(|fleet| fleet.open_loop(400.0, 2 * SECOND));
    println!("{tokens:?}");
    assert!(tokens[0] < tokens[1] / 4, "{tokens:?}");
    assert!(fleet.p99(since) < Duration::from_millis(12), "{:?}", fleet.p99(since));
}

#[test]
fn while_memory_is_scarce_no_batch_needs_more_than_earlier_ones() {
    let mut fleet = Fleet::cold(&[1.0; 2]);
    fleet.warm_up(0, &SHAPES);
    fleet.warm_up(1, &[(1, 8), (8, 32), (1, 128), (1, 512)]);
    let small = 512;
    fleet.condition(1, true, false);
    let begin = fleet.now;
    fleet.closed_loop(384, 10_000);
    let ran = || fleet.units[1].batches.iter().filter(|b| b.at >= begin);
    assert!(ran().count() > 0 && ran().all(|b| b.padded <= small), "within {small}");
    assert!(ran().any(|b| b.why == Release::Scarce), "and the reason says so");
    assert!(fleet.units[0].batches.iter().all(|b| b.why != Release::Scarce));
    fleet.condition(1, false, false);
    let end = fleet.now;
    fleet.closed_loop(0, 10_000);
    assert!(fleet.units[1].batches.iter().any(|b| b.at >= end && b.padded > small), "it ends with the condition");
}

#[test]
fn of_eight_devices_one_is_lost_one_throttled_and_one_scarce() {
    let mut fleet = Fleet::new(&[1.0; 8]);
    let load = 8.0 * 1_200.0;
    fleet.open_loop(load, SECOND);
    let usual = fleet.p99(fleet.start);
    fleet.lose(3);
    fleet.units[5].slow = 3.0;
    fleet.condition(5, false, true);
    fleet.condition(6, true, false);
    let since = fleet.now;
    let ((), ran) = fleet.tokens_during(|fleet| fleet.open_loop(load, SECOND));
    println!("{usual:?} then {:?}: {ran:?}", fleet.p99(since));
    assert_eq!(ran[3], 0);
    assert!(fleet.p99(since) < usual * 4, "{:?} beside {usual:?}", fleet.p99(since));
    fleet.come_back(3);
    fleet.units[5].slow = 1.0;
    fleet.condition(5, false, false);
    fleet.condition(6, false, false);
    let since = fleet.now;
    let ((), ran) = fleet.tokens_during(|fleet| fleet.open_loop(load, SECOND));
    println!("then {:?}: {ran:?}", fleet.p99(since));
    assert!(ran[3] > 0 && ran[5] > 0 && ran[6] > 0, "{ran:?}");
    assert!(fleet.p99(since) <= usual.mul_f64(1.25), "{:?} beside {usual:?}", fleet.p99(since));
    fleet.settle();
    assert_eq!(fleet.failed, 0);
}
