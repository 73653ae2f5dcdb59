//! What becomes of a script's answers: scores, waits, faults, and that nothing starves.

use super::world::*;
use crate::policy::{PolicySet, Strategy};
use crate::sched::*;
use crate::types::*;
use std::sync::Arc;

const SHIPPED: &str = include_str!("../../../policies/custom.rhai");

/// One custom policy for everything.
fn custom(script: &str, more: &str) -> Arc<PolicySet> {
    let policy = format!("strategy = 'custom'\n[custom]\nscript = 's.rhai'\n{more}");
    policies(&[("p.toml", &policy), ("s.rhai", script)], 1)
}

fn world(script: &str, more: &str) -> World {
    World::new(custom(script, more), 1, cpu)
}

fn lengths(batches: &[Dispatch]) -> Vec<u32> {
    batches.iter().map(|batch| batch.padded_len).collect()
}

#[test]
fn the_segment_with_the_highest_score_runs() {
    for (script, first) in [("segment.length", 200), ("-segment.length", 10), ("if segment.is_anchor { 1 }", 90)] {
        let mut world = world(script, "");
        for len in [90, 10, 200] {
            world.arrive(len);
            world.now = world.now + ms(1);
        }
        let ran = world.poll();
        assert_eq!((lengths(&ran), ran[0].why), (vec![first], Release::Script), "{script}");
        world.settle();
        assert_eq!((world.history.len(), world.fallbacks.len()), (3, 0));
    }
}

#[test]
fn a_wait_is_asked_again_and_bounded_by_the_delay() {
    let mut world = world("wait(2)", "[batch]\nmax_queue_delay = '5ms'");
    world.arrive(10);
    assert!(world.poll().is_empty());
    assert_eq!(world.sched.poll_timeout(), Some(world.now + ms(2)));
    world.settle();
    let waited = world.callers.values().next().unwrap();
    assert!(waited.left.unwrap() >= waited.arrived + ms(5));
    assert_eq!(world.history[0].why, Release::Delay);
}

#[test]
fn to_decline_everything_is_to_wait_and_a_full_batch_ends_it() {
    let script = "if segment.rows >= 8 { 1 }";
    let mut world = world(script, "[batch]\nmax_batch_size = 8\nmax_queue_delay = '50ms'");
    (0..7).for_each(|_| {
        world.arrive(10);
    });
    assert!(world.poll().is_empty());
    assert_eq!(world.sched.poll_timeout(), Some(world.now + ms(50)));
    world.arrive(10);
    assert_eq!(world.poll().iter().map(|b| (b.rows, b.why)).collect::<Vec<_>>(), [(8, Release::Script)]);
}

#[test]
fn a_near_deadline_and_a_drain_end_a_wait() {
    let mut world = world("wait(1000)", "[batch]\nmax_queue_delay = '500ms'");
    world.request("", Priority(0), Some(ms(40)), &[row(10)]).unwrap();
    world.settle();
    assert_eq!(
        (world.history[0].why, world.callers.values().next().unwrap().fate),
        (Release::Deadline, Fate::Answered)
    );
    world.arrive(10);
    assert!(world.poll().is_empty());
    world.sched.handle_drain(world.now);
    assert_eq!(world.poll()[0].why, Release::Drain);
}

#[test]
fn nothing_starves_whatever_the_script_says() {
    // Long rows are always preferred, and there are always some.
    let mut world = world("segment.length", "[batch]\nmax_batch_size = 2\nmax_queue_delay = '5ms'");
    let short = world.arrive(10);
    for _ in 0..100 {
        (0..2).for_each(|_| {
            world.arrive(200);
        });
        world.poll();
        world.step();
    }
    let served = world.callers[&short].left.expect("it was served");
    assert!(served.since(world.callers[&short].arrived) < ms(120), "{served:?}");
}

#[test]
fn where_the_script_fails_the_decision_is_adaptive_s_and_told_once() {
    // No made-up scene has just five rows of 77 tokens.
    let script = "if segment.length == 77 && segment.rows == 5 { throw \"five\" }\nsegment.length";
    let run = |policies: Arc<PolicySet>| {
        let mut world = World::new(policies, 1, cpu);
        for len in [77, 77, 77, 77, 77, 20, 150] {
            world.arrive(len);
        }
        let first = world.poll();
        (lengths(&first), first[0].rows, first[0].why, world.fallbacks)
    };
    let [ours, theirs] = [run(custom(script, "")), run(preset(Strategy::Adaptive))];
    if ours.3.is_empty() {
        panic!("the plan no longer has a segment of these five: {ours:?} {theirs:?}");
    }
    assert_eq!(ours.3.len(), 1, "once a decision");
    let (policy, fault) = &ours.3[0];
    assert_eq!((&**policy, fault.line), ("p", 1));
    assert!(fault.message.contains("five"), "{fault}");
    assert_eq!((ours.0, ours.2), (theirs.0, theirs.2));
}

#[test]
fn rows_are_shared_out_among_free_workers_and_the_script_sees_it() {
    let mut world = World::new(custom("if segment.rows < 9 { segment.rows }", ""), 2, cpu);
    (0..16).for_each(|_| {
        world.arrive(12);
    });
    assert_eq!(world.poll().iter().map(|batch| batch.rows).collect::<Vec<_>>(), [8, 8]);
    assert!(world.fallbacks.is_empty());
}

#[test]
fn what_a_script_is_shown_is_what_is_there() {
    let facts = [
        "segment.rows == 3",
        "segment.waiting == 3",
        "segment.best_rows >= 3",
        "segment.length == 30",
        "segment.tokens == 90",
        "segment.padding == 0",
        "segment.predicted_ms > 1 && segment.predicted_ms < 20",
        "(segment.waited_ms - 4).abs() < 0.001",
        "(segment.slack_ms + segment.predicted_ms - 86).abs() < 0.001",
        "segment.is_anchor",
        "load.waiting_rows == 3",
        "load.arrivals_per_s > 0",
        "load.workers == 1 && load.free_workers == 1",
        "!load.gpu && !load.memory_scarce",
        "load.max_wait_ms == 7 && load.slo_ms == 250",
    ];
    for fact in facts {
        let script = format!("if {fact} {{ 1 }} else {{ wait(1) }}");
        let mut world = world(&script, "[batch]\nmax_queue_delay = '7ms'\n[slo]\ntarget = '250ms'");
        for _ in 0..2 {
            world.request("", Priority(0), Some(ms(90)), &[row(30)]).unwrap();
        }
        world.now = world.now + ms(4);
        world.arrive(30);
        let ran = world.poll();
        assert_eq!((ran.len(), ran.first().map(|b| b.why)), (1, Some(Release::Script)), "{fact}");
    }
}

/// The script that the page on policies shows.
fn documented() -> String {
    let page = include_str!("../../../docs/policies.md");
    let block = page.split("```rhai\n").find(|block| block.starts_with("// fill/fill.rhai")).expect("it is shown");
    block.split("```").next().unwrap_or_default().to_owned()
}

/// A GPU's milliseconds: nothing is saved by fewer than 32 rows of ten tokens.
fn gpu(rows: u32, len: u32) -> f64 {
    2.5_f64.max(0.8 + 0.004 * f64::from(rows * len))
}

#[test]
fn the_documented_script_fills_batches_while_rows_come_and_else_never_waits() {
    let fill = |gap_us: u64| {
        let mut world = World::new(custom(&documented(), "[batch]\nmax_queue_delay = '20ms'"), 1, gpu);
        for _ in 0..2_000 {
            world.arrive(10);
            world.poll();
            let next = world.now + std::time::Duration::from_micros(gap_us);
            while world.next_event().is_some_and(|at| at <= next) {
                world.step();
            }
            world.now = next;
        }
        world.settle();
        assert!(world.fallbacks.is_empty());
        let waited = world.callers.values().filter(|c| c.left.unwrap().since(c.arrived) > ms(9)).count();
        (2_000.0 / world.history.len() as f64, waited)
    };
    let (busy, quiet) = (fill(250), fill(60_000));
    assert!(busy.0 > 20.0, "{busy:?} rows a batch");
    assert_eq!(quiet, (1.0, 0), "one row a batch, and none waits");
}

#[test]
fn the_shipped_script_runs_short_work_first_until_long_work_has_waited() {
    let mut world = world(SHIPPED, "[batch]\nmax_queue_delay = '50ms'");
    let long = world.arrive(250);
    world.arrive(10);
    assert_eq!(lengths(&world.poll()), [10], "the long one came first, the short one is ten times as fast");
    // Short rows keep coming as fast as they are served.
    let mut batches = 0;
    while world.callers[&long].left.is_none() && batches < 1_000 {
        world.arrive(10);
        world.step();
        world.poll();
        batches += 1;
    }
    assert!((10..400).contains(&batches), "{batches}");
    let waited = world.callers[&long].left.unwrap().since(world.callers[&long].arrived);
    assert!(waited < ms(400), "by its age, not by the guard: {waited:?}");
    assert!(world.fallbacks.is_empty());
}
