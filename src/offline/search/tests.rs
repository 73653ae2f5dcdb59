//! The search on made-up machines, on a clock of their own.

use super::*;

/// A machine whose rows a second are a function of the trial, and of how many passes it has run.
struct Machine<F> {
    rps: F,
    now: Duration,
    passes: Vec<Trial>,
    left: Vec<Layout>,
}

impl<F: Fn(Trial, usize) -> f64> Machine<F> {
    fn new(rps: F) -> Self {
        Self { rps, now: Duration::ZERO, passes: Vec::new(), left: Vec::new() }
    }
}

impl<F: Fn(Trial, usize) -> f64> Bench for Machine<F> {
    type Error = ();

    fn pass(&mut self, trial: Trial, time: Duration) -> Result<Pass, ()> {
        assert!(!self.left.contains(&trial.layout), "its sessions are gone");
        let rps = (self.rps)(trial, self.passes.len());
        self.passes.push(trial);
        self.now += time;
        Ok(Pass { rps, padding_efficiency: 0.9 })
    }

    fn leave(&mut self, layout: Layout) {
        self.left.push(layout);
    }

    fn elapsed(&self) -> Duration {
        self.now
    }
}

const LIMIT: Duration = Duration::from_secs(45);
const BUDGETS: [u32; 4] = [512, 1024, 256, 2048];

fn two() -> Layout {
    Layout::new(2, 1)
}

fn one() -> Layout {
    Layout::new(1, 2)
}

#[test]
fn the_best_of_all_budgets_and_layouts_is_found_in_time() {
    let curve = |trial: Trial, _| {
        let budget = if trial.budget == 256 { 1000.0 } else { 940.0 };
        budget * if trial.layout == one() { 1.02 } else { 1.0 }
    };
    let mut machine = Machine::new(curve);
    let tried = search(&[two(), one()], &BUDGETS, LIMIT, &mut machine).unwrap();
    assert_eq!(tried.len(), 8);
    let best = best(&tried).unwrap();
    assert_eq!((best.layout, best.budget_tokens), (one(), 256));
    assert!(best.passes >= 3 && machine.now <= LIMIT, "{best:?} {:?}", machine.now);
    // Both layouts were measured longer, and a second budget of one of them.
    let longer: Vec<_> = tried.iter().filter(|one| one.passes > 0).map(|one| one.layout).collect();
    assert!(longer.len() == 3 && longer.contains(&two()) && longer.contains(&one()));
}

#[test]
fn a_hopeless_layout_is_given_up_after_two_budgets() {
    let mut machine = Machine::new(|trial: Trial, _| if trial.layout == one() { 600.0 } else { 1000.0 });
    let tried = search(&[two(), one()], &BUDGETS, LIMIT, &mut machine).unwrap();
    assert_eq!(tried.iter().filter(|tried| tried.layout == one()).count(), 2);
    assert!(machine.left.contains(&one()));
    assert_eq!(best(&tried).unwrap().layout, two());
}

#[test]
fn a_lucky_look_does_not_win() {
    // The first pass of all goes twice as fast as any after it.
    let mut machine = Machine::new(|trial: Trial, nth| match (nth, trial.layout == one()) {
        (0, _) => 1040.0,
        (_, true) => 1000.0,
        (_, false) => 980.0,
    });
    let tried = search(&[two(), one()], &BUDGETS, LIMIT, &mut machine).unwrap();
    let best = best(&tried).unwrap();
    assert_eq!((best.layout, best.rps), (one(), 1000.0));
}

#[test]
fn what_slows_the_machine_for_a_while_slows_all() {
    // Every third turn is slow.
    let mut machine = Machine::new(|trial: Trial, nth| {
        let usual = if trial.layout == one() { 1000.0 } else { 990.0 };
        if nth > 8 && (nth - 8) / 3 % 3 == 0 { usual / 4.0 } else { usual }
    });
    let tried = search(&[two(), one()], &BUDGETS, LIMIT, &mut machine).unwrap();
    let best = best(&tried).unwrap();
    assert_eq!((best.layout, best.rps), (one(), 1000.0));
}

#[test]
fn little_time_still_looks_at_every_layout() {
    let mut machine = Machine::new(|_, _| 10.0);
    let tried = search(&[two(), one()], &BUDGETS, Duration::from_millis(1), &mut machine).unwrap();
    assert!([two(), one()].iter().all(|layout| tried.iter().any(|one| one.layout == *layout && one.passes > 0)));
    assert!(machine.passes.len() <= 6, "{:?}", machine.passes);
}
