//! Scenarios a reviewer can read: each file in `golden/` is a script and what the scheduler does with it.
//!
//! A line is a command; lines that begin with `>` are the decisions that follow it. Commands:
//! `policy KEY = VALUE` (before the first arrival, TOML), `workers N`, `at MS`,
//! `row LEN [tenant=T] [within=MS] [priority=P]`, `cancel N`, `bad N`, `drain`, `settle`.

use super::world::*;
use crate::types::*;
use std::fmt::Write as _;

macro_rules! scenario {
    ($name:ident) => {
        #[test]
        fn $name() {
            check(include_str!(concat!("golden/", stringify!($name), ".txt")));
        }
    };
}

scenario!(adaptive_mixed);
scenario!(fixed_size);
scenario!(coalescing_waits);
scenario!(one_bad_row);
scenario!(deadlines);
scenario!(padding_counts);

/// A round GPU-like curve, so that predictions are easy to follow: 2 ms + 10 µs a token.
fn curve(rows: u32, len: u32) -> f64 {
    2.0 + 0.01 * f64::from(rows * len)
}

fn check(script: &str) {
    let commands: Vec<&str> = script.lines().filter(|l| !l.starts_with('>')).collect();
    let played = play(&commands);
    assert!(played == script, "the decisions differ; played now:\n{played}");
}

fn play(lines: &[&str]) -> String {
    let policy: String = lines.iter().filter_map(|l| l.strip_prefix("policy ")).map(|l| format!("{l}\n")).collect();
    let workers = lines.iter().find_map(|l| l.strip_prefix("workers ")).and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut world = World::new(policies(&[("p.toml", &policy)], 1), workers, curve);
    let start = world.now;
    let (mut out, mut shown) = (String::new(), 0);
    for line in lines {
        writeln!(out, "{line}").expect("a string");
        command(&mut world, line, start);
        for d in &world.history[shown..] {
            let ids: Vec<String> = d.items.iter().map(|(r, _)| r.to_string()).collect();
            let why = d.why.label();
            writeln!(out, "> run {} on {}: len {}, {why}", ids.join(" "), d.worker, d.padded_len).expect("a string");
        }
        shown = world.history.len();
    }
    for (id, caller) in &world.callers {
        let after = caller.left.map_or(0.0, |t| t.since(start).as_secs_f64() * 1e3);
        writeln!(out, "> {id} {:?} at {after:.2}", caller.fate).expect("a string");
    }
    out
}

fn command(world: &mut World, line: &str, start: Time) {
    let mut words = line.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let number = |i: usize| rest[i].parse::<u64>().expect("a number");
    match verb {
        "" | "#" | "policy" | "workers" => return,
        "at" => {
            let until = start + ms(number(0));
            while world.next_event().is_some_and(|t| t <= until) {
                world.step();
            }
            world.now = until;
            world.sched.handle_timeout(until);
        }
        "row" => {
            let option = |name: &str| rest.iter().find_map(|w| w.strip_prefix(name)).map(str::to_owned);
            let within = option("within=").map(|t| ms(t.parse().expect("ms")));
            let priority = Priority(option("priority=").map_or(0, |p| p.parse().expect("a level")));
            let tenant = option("tenant=").unwrap_or_default();
            world.request(&tenant, priority, within, &[row(number(0) as u32)]).expect("accepted");
            return;
        }
        "cancel" => world.cancel(RequestId(number(0))),
        "bad" => {
            world.guilty.insert(RequestId(number(0)));
        }
        "go" => {}
        "drain" => world.sched.handle_drain(world.now),
        "settle" => world.settle(),
        other => panic!("unknown command {other}"),
    }
    world.poll();
}
