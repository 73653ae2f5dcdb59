//! More than the device can do: what is served in time, and that nothing starves.

use super::curves;
use super::rig::Rig;
use super::world::{ms, policies};
use crate::sched::*;

const SLO: &str = "[slo]\ntarget = '100ms'";

fn rig(text: &str) -> Rig {
    let mut rig = Rig::new(policies(&[("p.toml", text)], 1), 1, Grid::Stepped, curves::gpu);
    rig.warm_up(1, 1.0);
    rig
}

#[test]
fn figures() {
    for rate in [1000., 2000., 2300., 2500., 2700., 2900., 3100., 3300., 3500., 4000., 5000.] {
        let mut rig = rig(SLO);
        let start = rig.now;
        rig.open_loop(rate, 20.0);
        rig.settle();
        let end = rig.now.since(start).as_secs_f64();
        let rows: u32 = rig.ran.iter().map(|r| r.batch.rows).sum();
        println!(
            "{rate}: {:.2} % in 100 ms, refused {}, p50 {:.1}, short p99 {:.1} max {:.1}, long p99 {:.1} max {:.1}; {:.0}/s, {:.1} rows a batch, eff {:.2}",
            100.0 * rig.within(start, ms(100)),
            rig.refused,
            rig.quantile(start, 0..=512, 0.5),
            rig.quantile(start, 0..=40, 0.99),
            rig.quantile(start, 0..=40, 0.99999),
            rig.quantile(start, 41..=512, 0.99),
            rig.quantile(start, 41..=512, 0.99999),
            f64::from(rows) / end,
            f64::from(rows) / rig.ran.len() as f64,
            rig.efficiency(0),
        );
    }
}
