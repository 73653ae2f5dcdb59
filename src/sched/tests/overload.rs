//! More than the device can do: what is served in time, and that nothing starves.

use super::curves;
use super::rig::Rig;
use super::world::{ms, policies};
use crate::sched::*;

const SLO: &str = "[slo]\ntarget = '100ms'";

/// A GPU under so many rows a second for twenty seconds; all of it is answered in the end.
fn served(text: &str, rate: f64) -> Rig {
    let mut rig = Rig::new(policies(&[("p.toml", text)], 1), 1, Grid::Stepped, curves::gpu);
    rig.warm_up(1, 1.0);
    rig.open_loop(rate, 20.0);
    rig.settle();
    rig
}

fn overloaded(rig: &Rig) -> usize {
    rig.ran.iter().filter(|r| r.batch.why == Release::Overload).count()
}

#[test]
fn up_to_saturation_all_are_in_time_and_nobody_is_passed_over() {
    for rate in [1000.0, 2000.0, 2500.0] {
        let rig = served(SLO, rate);
        println!("{rate}/s: {:.2} % within 100 ms", 100.0 * rig.within(ms(100)));
        assert!(rig.within(ms(100)) > 0.99, "{rate}: {}", rig.within(ms(100)));
        let (short, long) = (rig.quantile(0..=40, 0.99), rig.quantile(41..=512, 0.99));
        assert!(long < 1.3 * short && long < 100.0, "{rate}: p99 {short} ms of short rows, {long} of long ones");
        assert!(overloaded(&rig) * 100 <= rig.ran.len(), "{rate}: {} of {}", overloaded(&rig), rig.ran.len());
    }
}

#[test]
fn beyond_saturation_most_are_in_time_and_the_others_are_served_too() {
    for (rate, least) in [(3000.0, 0.7), (4000.0, 0.6)] {
        let rig = served(SLO, rate);
        let (short, long) = (rig.quantile(0..=40, 0.99), rig.quantile(41..=512, 0.99));
        println!("{rate}/s: {:.0} % within 100 ms, p99 {short:.0} and {long:.0} ms", 100.0 * rig.within(ms(100)));
        assert!(rig.within(ms(100)) > least, "{rate}: {}", rig.within(ms(100)));
        assert!(overloaded(&rig) > 100, "{}", overloaded(&rig));
        // The most urgent have a quarter of the time at least: long rows go on being answered meanwhile.
        let long_batches = rig.ran.iter().filter(|r| r.batch.padded_len > 40);
        let ends: Vec<_> = long_batches.map(|r| r.ended).collect();
        let gap = ends.windows(2).map(|w| w[1].since(w[0])).max().unwrap_or_default();
        assert!(gap < ms(300), "{gap:?} without a long row");
    }
}

#[test]
fn without_an_slo_or_deadline_there_is_no_overload() {
    let rig = served("", 4000.0);
    assert_eq!(overloaded(&rig), 0);
}

#[test]
fn with_deadlines_what_is_served_is_served_in_time() {
    for (text, least) in
        [("[slo]\ndeadline = '100ms'", 0.95), ("[slo]\ndeadline = '100ms'\non_predicted_miss = 'serve'", 0.95)]
    {
        let rig = served(text, 2700.0);
        let trimmed = rig.ran.iter().filter(|r| r.batch.why == Release::Trimmed).count();
        println!("{:.1} % in time, {} given up, {trimmed} trimmed", 100.0 * rig.within(ms(100)), rig.missed);
        assert!(rig.within(ms(100)) > least && trimmed > 0, "{}", rig.within(ms(100)));
    }
}
