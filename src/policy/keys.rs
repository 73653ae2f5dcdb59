//! Every key of a policy file: where it stands, what it may hold and what it is for.
//!
//! Decides the bounds that the reader, the schema for editors and the documentation share, and how a
//! value is written. Does not know files.

use super::read::Rule;
use super::scripts::ENDING;
use super::{BatchLimits, OnPredictedMiss, Policy, QueueBytes, Strategy};
use crate::document;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Formats of a file.
pub(super) const SCHEMAS: RangeInclusive<u32> = 1..=1;
/// Rows of one batch.
pub(super) const BATCH_ROWS: RangeInclusive<u32> = 1..=65_536;
/// Padded tokens of one batch.
pub(super) const BATCH_TOKENS: RangeInclusive<u32> = 1..=1_000_000_000;
/// Rows of one queue.
pub(super) const QUEUE_ROWS: RangeInclusive<u32> = 1..=1_000_000_000;
/// Rows a second of one tenant.
pub(super) const RATES: RangeInclusive<u32> = 1..=1_000_000_000;
/// Weights of one tenant beside others.
pub(super) const WEIGHTS: RangeInclusive<f64> = 0.001..=1000.0;
/// Levels of priority.
pub(super) const LEVELS: RangeInclusive<u32> = 1..=64;
/// The shortest goal that means something.
pub(super) const SHORTEST_GOAL: Duration = Duration::from_micros(1);
/// Longest name of a model or a tenant, in bytes.
pub const LONGEST_NAME: usize = 256;

/// A key of a policy file.
#[derive(Debug)]
pub struct Key {
    /// The table it stands in; empty for the top level.
    pub table: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether each strategy has a default of its own.
    pub by_strategy: bool,
    /// What it is for, in one sentence.
    pub about: &'static str,
    value: fn(&Policy, &Rule) -> Option<String>,
}

/// What a key may hold.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`, as far as supported.
    Boolean(&'static [bool]),
    /// A whole number.
    Integer(RangeInclusive<u32>),
    /// A whole number or `"none"`.
    IntegerOrNone(RangeInclusive<u32>),
    /// A number, with or without a fraction.
    Number(RangeInclusive<f64>),
    /// Rows a second, written as in `"200/s"`, or `"none"`.
    RateOrNone(RangeInclusive<u32>),
    /// A list of whole numbers, each once.
    Integers(RangeInclusive<u32>),
    /// A duration of at least this, up to a day.
    Duration(Duration),
    /// The same, or `"none"`.
    DurationOrNone(Duration),
    /// A size in bytes, written with a unit or as a number, or `"auto"`.
    BytesOrAuto,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Names and globs, at least one.
    Names,
    /// The name of a file beside the policy's that ends so.
    File(&'static str),
}

impl Key {
    /// The name with its table, `batch.max_batch_size`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }

    /// What it is without being written, as TOML; `None` where only its absence says so.
    #[must_use]
    pub fn default(&self, strategy: Strategy) -> Option<String> {
        self.value(&Policy::preset("", strategy), &Rule::ANY)
    }

    pub(super) fn value(&self, policy: &Policy, rule: &Rule) -> Option<String> {
        (self.value)(policy, rule)
    }

    const fn new(
        table: &'static str,
        name: &'static str,
        kind: Kind,
        value: fn(&Policy, &Rule) -> Option<String>,
        about: &'static str,
    ) -> Self {
        Self { table, name, kind, by_strategy: false, about, value }
    }

    const fn by_strategy(mut self) -> Self {
        self.by_strategy = true;
        self
    }
}

/// The tables and what they are for.
pub static TABLES: [(&str, &str); 7] = [
    ("match", "The requests this file is for; without it, whatever no other file matches. The closest match wins."),
    ("batch", "Limits of one batch."),
    ("slo", "Latency goals."),
    ("queue", "Limits of what waits for the model."),
    (
        "tenancy",
        "What each tenant is entitled to. A tenant that no policy and no key names has one account with all such.",
    ),
    ("reuse", "What is not computed twice."),
    ("custom", "The script of the strategy custom."),
];

/// All keys, in the order in which a file is best written.
pub static KEYS: [Key; 20] = [
    Key::new("", "schema", Kind::Integer(SCHEMAS), |_, _| Some("1".to_owned()), "The format of this file."),
    Key::new(
        "",
        "strategy",
        Kind::Choice(&Strategy::ALL_NAMES),
        |policy, _| quoted(policy.strategy.name()),
        "How the next batch is chosen; every other key that is absent defaults by it.",
    ),
    Key::new(
        "",
        "dynamic_batching",
        Kind::Boolean(&[false, true]),
        |policy, _| Some(policy.dynamic_batching.to_string()),
        "False: every request runs alone, at once.",
    ),
    Key::new(
        "match",
        "models",
        Kind::Names,
        |_, rule| rule.models.as_ref().map(|models| list(models.iter().map(string))),
        "The models this file is for: names, or globs with * (any characters) and ? (one); without it, any.",
    ),
    Key::new(
        "match",
        "tenants",
        Kind::Names,
        |_, rule| rule.tenants.as_ref().map(|tenants| list(tenants.iter().map(string))),
        "The tenants this file is for: names, or globs with * (any characters) and ? (one); without it, any.",
    ),
    Key::new(
        "batch",
        "max_batch_size",
        Kind::Integer(BATCH_ROWS),
        |policy, _| Some(policy.batch.max_batch_size.to_string()),
        "Most rows of a batch: higher gives more throughput under load and longer single runs.",
    )
    .by_strategy(),
    Key::new(
        "batch",
        "max_batch_tokens",
        Kind::IntegerOrNone(BATCH_TOKENS),
        |policy, _| match policy.batch.max_batch_tokens {
            BatchLimits::NO_TOKEN_LIMIT => quoted("none"),
            tokens => Some(tokens.to_string()),
        },
        "Most padded tokens of a batch, longest row × rows: bounds memory and the time of one run; a longer row is \
         refused.",
    )
    .by_strategy(),
    Key::new(
        "batch",
        "max_queue_delay",
        Kind::Duration(Duration::ZERO),
        |policy, _| duration(policy.batch.max_queue_delay),
        "An upper bound on holding rows back for company while a worker is free; of adaptive \
         only while other workers run; not used by latency_optimized.",
    )
    .by_strategy(),
    Key::new(
        "batch",
        "preferred_batch_sizes",
        Kind::Integers(BATCH_ROWS),
        |policy, _| Some(list(policy.batch.preferred_batch_sizes.iter())),
        "Sizes at which a held-back batch goes before its delay is over, none above max_batch_size; used by \
         coalescing and throughput_optimized.",
    ),
    Key::new(
        "slo",
        "target",
        Kind::DurationOrNone(SHORTEST_GOAL),
        |policy, _| duration_or_none(policy.slo.target),
        "The latency aimed at: the sooner, the more urgent the row; misses are counted, nothing is refused.",
    ),
    Key::new(
        "slo",
        "deadline",
        Kind::DurationOrNone(SHORTEST_GOAL),
        |policy, _| duration_or_none(policy.slo.deadline),
        "Given to a request that names none; past it, the request is answered 504.",
    ),
    Key::new(
        "slo",
        "on_predicted_miss",
        Kind::Choice(&OnPredictedMiss::ALL_NAMES),
        |policy, _| quoted(policy.slo.on_predicted_miss.name()),
        "For requests with a deadline: reject at once (503) what is predicted to be late, or serve it all the same.",
    ),
    Key::new(
        "queue",
        "max_rows",
        Kind::Integer(QUEUE_ROWS),
        |policy, _| Some(policy.queue.max_rows.to_string()),
        "Most rows that wait for the model; beyond it 503.",
    ),
    Key::new(
        "queue",
        "max_bytes",
        Kind::BytesOrAuto,
        |policy, _| match policy.queue.max_bytes {
            QueueBytes::Auto => quoted("auto"),
            QueueBytes::Most(bytes) => quoted(&document::bytes_as_text(bytes)),
        },
        "Most payload bytes that wait for the model; beyond it 503. With auto 64 MiB, or 64 of the largest requests.",
    ),
    Key::new(
        "queue",
        "priority_levels",
        Kind::Integer(LEVELS),
        |policy, _| Some(policy.queue.priority_levels.to_string()),
        "Levels of priority, from 1 (most urgent) to this; a request that names none is in the middle.",
    ),
    Key::new(
        "tenancy",
        "weight",
        Kind::Number(WEIGHTS),
        |policy, _| Some(format!("{:?}", policy.tenancy.weight)),
        "A tenant's share of the model's time beside other tenants that wait.",
    ),
    Key::new(
        "tenancy",
        "rate_limit",
        Kind::RateOrNone(RATES),
        |policy, _| policy.tenancy.rate_limit.map_or_else(|| quoted("none"), |rate| quoted(&rate.to_string())),
        "Rows a second that each tenant may send, one second's worth at once; beyond it 429.",
    ),
    Key::new(
        "tenancy",
        "max_waiting_rows",
        Kind::IntegerOrNone(QUEUE_ROWS),
        |policy, _| policy.tenancy.max_waiting_rows.map_or_else(|| quoted("none"), |rows| Some(rows.to_string())),
        "Most rows of one tenant that wait for the model; beyond it 429.",
    ),
    Key::new(
        "reuse",
        "identical",
        Kind::Boolean(&[false, true]),
        |policy, _| Some(policy.reuse.identical.to_string()),
        "True: equal rows of one tenant that meet in a batch are computed once; they still count in full.",
    ),
    Key::new(
        "custom",
        "script",
        Kind::File(ENDING),
        |policy, _| policy.script.as_ref().and_then(|script| quoted(script.name())),
        "The script, a file beside this one, that scores what could run next; every file may name one, custom needs one.",
    ),
];

fn string(text: &impl ToString) -> toml::Value {
    toml::Value::String(text.to_string())
}

fn quoted(text: &str) -> Option<String> {
    Some(string(&text).to_string())
}

fn list(elements: impl Iterator<Item = impl ToString>) -> String {
    format!("[{}]", elements.map(|element| element.to_string()).collect::<Vec<_>>().join(", "))
}

fn duration(duration: Duration) -> Option<String> {
    quoted(&document::duration_as_text(duration))
}

fn duration_or_none(goal: Option<Duration>) -> Option<String> {
    goal.map_or_else(|| quoted("none"), duration)
}
