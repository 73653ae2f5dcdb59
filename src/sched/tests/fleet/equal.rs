//! Devices alike: twice as many do twice as much, as evenly and as soon.

use super::*;

/// Connections a device.
const CLIENTS: u32 = 192;

#[test]
fn throughput_at_saturation_grows_with_the_devices_and_all_are_equally_busy() {
    let run = |n: u32| {
        let mut fleet = Fleet::new(&vec![1.0; n as usize]);
        let rate = fleet.closed_loop(CLIENTS * n, 8_000 * n);
        (rate, fleet.utilisation())
    };
    let (one, _) = run(1);
    for n in [2, 4, 8] {
        let (rate, busy) = run(n);
        println!("{n} devices: {rate:.0} rows/s for {one:.0} of one, busy {busy:.3?}");
        assert!(rate >= 0.95 * f64::from(n) * one, "{rate} rows/s of {n} devices, {one} of one");
        let (least, most) = busy.iter().fold((1.0_f64, 0.0_f64), |(l, m), b| (l.min(*b), m.max(*b)));
        assert!(most - least < 0.03 && least > 0.95, "{busy:?}");
    }
}

#[test]
fn the_slowest_requests_are_no_slower_on_many_devices() {
    for load in [300.0, 1_500.0, 2_300.0] {
        let p99 = |n: u32| {
            let mut fleet = Fleet::new(&vec![1.0; n as usize]);
            fleet.open_loop(load * f64::from(n), Duration::from_secs(3));
            fleet.settle();
            assert_eq!(fleet.failed, 0);
            fleet.p99(fleet.start)
        };
        let one = p99(1);
        for n in [2, 4, 8] {
            let many = p99(n);
            println!("{n} devices at {load}/s each: p99 {many:?}, one {one:?}");
            assert!(many <= one.mul_f64(1.02), "{many:?} for {one:?}");
        }
    }
}
