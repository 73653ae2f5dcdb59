//! When waiting for company pays: `coalescing` in thin and thick traffic, and as lengths change.

use super::curves::{self, Draw};
use super::rig::Rig;
use super::world::policies;
use crate::sched::*;

const COALESCING: &str = "strategy = 'coalescing'\n[batch]\nmax_queue_delay = '10ms'";
const THROUGHPUT: &str = "strategy = 'throughput_optimized'\n[batch]\nmax_queue_delay = '10ms'";

fn rig(text: &str) -> Rig {
    let mut rig = Rig::new(policies(&[("c.toml", text)], 1), 1, Grid::Stepped, curves::gpu);
    rig.warm_up(1, 1.0);
    rig
}

/// The median in ms, and the batches, of ten seconds after the first two.
fn played(text: &str, rate: f64) -> (f64, usize) {
    let mut rig = rig(text);
    rig.open_loop(rate, 2.0);
    let (before, gone) = (rig.ran.len(), rig.gone.len());
    rig.open_loop(rate, 10.0);
    rig.gone.drain(..gone);
    let figures = (rig.quantile(0..=512, 0.5), rig.ran.len() - before);
    println!("{rate}/s: median {:.1} ms, {} batches, {text:?}", figures.0, figures.1);
    figures
}

#[test]
fn thin_traffic_does_not_pay_the_delay() {
    for rate in [30.0, 100.0] {
        let (at_once, waited, full) = (played("", rate).0, played(COALESCING, rate).0, played(THROUGHPUT, rate).0);
        assert!(waited < at_once + 1.0, "{rate}: {at_once} ms at once, {waited} coalescing");
        assert!(full > at_once + 8.0, "{rate}: throughput_optimized waits all of its delay: {full} ms");
    }
}

#[test]
fn thick_traffic_is_gathered() {
    let (at_once, gathered) = (played("", 600.0).1, played(COALESCING, 600.0).1);
    assert!(gathered * 10 < at_once * 6, "{gathered} batches instead of {at_once}");
}

#[test]
fn as_the_mix_of_lengths_changes_so_do_the_segments() {
    for text in ["", COALESCING] {
        let mut rig = rig(text);
        let efficiency = |rig: &mut Rig, length: fn(&mut Draw) -> u32, seconds: f64| {
            let from = rig.ran.len();
            rig.length = length;
            rig.open_loop(1000.0, seconds);
            rig.efficiency(from)
        };
        let long: fn(&mut Draw) -> u32 = |draw| {
            let median = if draw.even() < 0.5 { 40.0 } else { 200.0 };
            draw.near(median)
        };
        efficiency(&mut rig, Draw::length, 5.0);
        efficiency(&mut rig, long, 1.0);
        let (soon, later) = (efficiency(&mut rig, long, 2.0), efficiency(&mut rig, long, 10.0));
        println!("{text:?}: {soon:.3} of the tokens useful a second after the change, {later:.3} later");
        assert!(soon > 0.97 * later, "{text:?}: {soon}, {later}");
    }
}
