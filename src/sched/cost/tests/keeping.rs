//! What is kept of a cost model, and what is believed of what is read back.

use super::*;

fn learned() -> CostModel {
    let mut cost = CostModel::default();
    let shapes = [(1, 8), (8, 8), (1, 64), (8, 32), (4, 64), (1, 128), (4, 128)];
    for i in 0..803_u32 {
        let (b, s) = if i % 2 == 0 { shapes[i as usize / 2 % 7] } else { (1 + i * 7 % 32, 1 + i * 13 % 256) };
        cost.observe(b, s, 1 + i / 3 % 2, ms(cpu(b, s) * (1.0 + f64::from(i % 5) / 25.0)));
    }
    cost
}

fn restored(cost: &CostModel) -> CostModel {
    let mut again = CostModel::default();
    again.restore(&cost.state()).expect("sound");
    again
}

fn same(a: &CostModel, b: &CostModel) {
    for busy in 1..=3 {
        for (rows, len) in (1..40).flat_map(|rows| [(rows, 8), (rows, 100), (rows, 300)]) {
            assert_eq!(a.predict(rows, len, busy), b.predict(rows, len, busy), "{rows} x {len}, {busy}");
        }
    }
}

#[test]
fn a_restored_model_predicts_what_the_saved_one_did_and_goes_on_like_it() {
    let mut cost = learned();
    let mut again = restored(&cost);
    same(&cost, &again);
    assert!(again.restored() && !cost.restored());
    let figures = |c: &CostModel| (c.observations(), c.error_ratio(), c.median_error(), c.margin());
    assert_eq!(figures(&cost), figures(&again));
    let usual = cost.predict(8, 32, 1);
    for i in 0..64 {
        for model in [&mut cost, &mut again] {
            model.observe(8, 32, 1, Duration::from_nanos((usual * (1.0 + f64::from(i % 3) / 50.0)) as u64));
        }
    }
    for (rows, len) in [(8, 32), (1, 8), (16, 64)] {
        let (old, new) = (cost.predict(rows, len, 1), again.predict(rows, len, 1));
        assert!((new / old - 1.0).abs() < 0.02, "{old} and {new}");
    }
}

#[test]
fn every_state_of_a_model_is_believed() {
    let mut cost = CostModel::default();
    for i in 1..400_u32 {
        let (b, s) = (1 + i * 7 % 13, 1 + i * 31 % 97);
        cost.observe(b, s, 1 + i / 3 % 2, ms(cpu(b, s) * (1.0 + f64::from(i % 7) / 9.0)));
        assert_eq!(CostModel::default().restore(&cost.state()), Ok(()), "after {i} runs");
    }
}

#[test]
fn the_first_runs_of_a_new_life_tell_that_all_is_slower() {
    let cost = learned();
    let mut again = restored(&cost);
    for (b, s) in [(1, 8), (4, 64), (8, 32)] {
        again.observe(b, s, 1, Duration::from_nanos((1.8 * cost.predict(b, s, 1)) as u64));
    }
    let factor = again.predict(24, 128, 1) / cost.predict(24, 128, 1);
    assert!((factor - 1.8).abs() < 0.02, "{factor}");
}

#[test]
fn another_machine_is_learned_anew() {
    let cost = learned();
    let mut again = restored(&cost);
    // Flat, where what was learned grows with every token.
    for _ in 0..3 {
        for (b, s) in [(1, 8), (8, 8), (1, 64), (4, 64), (1, 128), (4, 128)] {
            again.observe(b, s, 1, ms(6.0));
        }
    }
    for (b, s) in [(1, 8), (4, 64), (4, 128)] {
        let predicted = again.predict(b, s, 1) / 6e6;
        assert!((predicted - 1.0).abs() < 0.25, "{b} x {s}: {predicted}");
    }
}

#[test]
fn what_no_model_could_have_learned_is_refused_as_a_whole() {
    let state = learned().state();
    let text = toml::to_string(&state).expect("written");
    let read = |text: &str| toml::from_str::<CostState>(text).expect("read");
    let mut model = CostModel::default();
    assert_eq!(model.restore(&read(&text)), Ok(()));
    let number = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).expect("there");
        line.to_owned()
    };
    for (key, wrong) in [
        ("version", "2"),
        ("error", "nan"),
        ("error", "-1.0"),
        ("log", "inf"),
        ("held", "1.5"),
        ("at", "99"),
        ("theta", "[-1.0, 0.0, 0.0]"),
        ("theta", "[nan, 1.0, 0.0]"),
        ("theta", "[1e300, 1.0, 0.0]"),
        ("seen", "0"),
        // What the next run would make of it.
        ("target", "[1e15, 1e15, 1e15]"),
        ("target", "[1e300, 1e300, 1e300]"),
        ("observations", "9223372036854775807"),
        ("runs", "9223372036854775807"),
        ("recent", "[0.0]"),
        ("recent", "[1.0, inf]"),
    ] {
        let spoilt = read(&text.replacen(&number(key), &format!("{key} = {wrong}"), 1));
        let mut fresh = CostModel::default();
        assert!(fresh.restore(&spoilt).is_err(), "{key} = {wrong}");
        assert!(!fresh.known() && !fresh.restored(), "it is as it was");
    }
}
