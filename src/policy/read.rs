//! One policy file: which keys there are, what they may hold, which of them go together.

use super::keys::{
    BATCH_ROWS, BATCH_TOKENS, KEYS, LEVELS, LONGEST_NAME, QUEUE_ROWS, RATES, SCHEMAS, SHORTEST_GOAL, WEIGHTS,
};
use super::pattern::Pattern;
use super::scripts::Scripts;
use super::{BatchLimits, OnPredictedMiss, Policy, QueueBytes, QueueLimits, Slo, Source, Strategy, Tenancy};
use crate::document::{Diagnostic, Document, Located, Span, Table};
use std::collections::BTreeSet;
use std::time::Duration;

/// The requests a file is for.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Names and globs, or any model.
    pub(super) models: Option<Vec<Pattern>>,
    /// Names and globs, or any tenant.
    pub(super) tenants: Option<Vec<Pattern>>,
    /// Where the file says so.
    pub(super) at: Span,
}

impl Rule {
    /// Every request.
    pub(super) const ANY: Rule = Rule { models: None, tenants: None, at: 0..0 };

    /// Whether some request for this model falls under it.
    pub(super) fn takes_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|pattern| pattern.matches(model)))
    }

    /// The patterns by which a request falls under it, for its model and for its tenant; `None` where
    /// any would do.
    pub(super) fn closest(&self, model: &str, tenant: &str) -> [Option<&Pattern>; 2] {
        [closest(self.models.as_deref(), model), closest(self.tenants.as_deref(), tenant)]
    }
}

/// A name goes before a glob.
fn closest<'p>(patterns: Option<&'p [Pattern]>, name: &str) -> Option<&'p Pattern> {
    let fitting = || patterns.into_iter().flatten().filter(|pattern| pattern.matches(name));
    fitting().find(|pattern| matches!(pattern, Pattern::Exact(_))).or_else(|| fitting().next())
}

/// What a file says besides the policy itself.
#[derive(Debug)]
pub(super) struct Written {
    /// The requests it is for.
    pub(super) rule: Rule,
    /// The line of each of [`KEYS`] that it names.
    pub(super) lines: [Option<usize>; KEYS.len()],
}

impl Written {
    /// That of no file.
    pub(super) const NOTHING: Written = Written { rule: Rule::ANY, lines: [None; KEYS.len()] };
}

/// Reads one file, with this strategy in place of the one it names.
pub(super) fn read(
    source: &Source,
    scripts: &Scripts<'_>,
    instead: Option<Strategy>,
) -> Result<(Policy, Written), Vec<Diagnostic>> {
    let Some(stem) = stem(&source.name) else {
        let help = "letters, digits, '.', '_' and '-': the file's stem names the policy in headers and metrics";
        let message = "this file name cannot name a policy";
        return Err(vec![Diagnostic::whole(&source.name, message, Some(help.to_owned()))]);
    };
    let document = Document::parse(&source.name, &source.text);
    let (policy, rule) = policy(stem, source, &document, scripts, instead);
    let lines = KEYS.each_ref().map(|key| document.line(key.table, key.name));
    let read = (policy, Written { rule, lines });
    let explain = |fault| match instead {
        Some(strategy) => overridden(fault, strategy),
        None => fault,
    };
    document.finish(read).map_err(|faults| faults.into_iter().map(explain).collect())
}

/// Says that the text does not name the strategy it is at odds with.
fn overridden(mut fault: Diagnostic, strategy: Strategy) -> Diagnostic {
    fault.message.push_str(&format!(" (an override makes the strategy {})", strategy.name()));
    fault
}

/// The policy's name, which goes into headers and metrics.
fn stem(file: &str) -> Option<&str> {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = name.strip_suffix(".toml").unwrap_or(name);
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    (!stem.is_empty() && stem.len() <= LONGEST_NAME && stem.bytes().all(plain)).then_some(stem)
}

fn policy(
    name: &str,
    source: &Source,
    document: &Document<'_>,
    scripts: &Scripts<'_>,
    instead: Option<Strategy>,
) -> (Policy, Rule) {
    let mut root = document.root();
    root.u32("schema", SCHEMAS);
    let written = strategy(&mut root);
    let strategy = instead.or(written);
    let mut policy = Policy::preset(name, strategy.unwrap_or(Strategy::Adaptive));
    policy.dynamic_batching = root.boolean("dynamic_batching").unwrap_or(policy.dynamic_batching);
    let rule = rule(&mut root);
    let mut batch = root.table("batch");
    let mut queue = root.table("queue");
    policy.slo = slo(root.table("slo"), &policy.slo);
    let sizes = batch_limits(&mut batch, &mut policy.batch);
    let rows = queue_limits(&mut queue, &mut policy.queue);
    let mut reuse = root.table("reuse");
    policy.reuse.identical = reuse.boolean("identical").unwrap_or(policy.reuse.identical);
    drop(reuse);
    policy.tenancy = tenancy(root.table("tenancy"), &policy.tenancy);
    let mut custom = root.table("custom");
    policy.script = scripts.read(&mut custom, &source.name);
    if policy.strategy == Strategy::Custom && !custom.has("script") && document.well_formed() {
        let help = "in [custom]: script = \"NAME.rhai\", a file beside this one";
        root.fault("strategy", "custom needs a script", Some(help.to_owned()));
    }
    // A limit that could not be read must not be held against the others.
    if strategy.is_some() && document.well_formed() {
        if sizes.max_is_known {
            check_sizes(document, &sizes.preferred, policy.batch.max_batch_size);
        }
        if sizes.max_is_known && rows {
            check_fixed_size_fits(&policy, &batch, &queue);
        }
    }
    (policy, rule)
}

/// The strategy, or `None` after a fault.
fn strategy(root: &mut Table<'_>) -> Option<Strategy> {
    let choices = Strategy::ALL.map(|strategy| (strategy.name(), strategy));
    let chosen = root.choice("strategy", &choices);
    if root.has("strategy") { chosen } else { Some(Strategy::Adaptive) }
}

fn rule(root: &mut Table<'_>) -> Rule {
    let at = root.key_at("match");
    let mut table = root.table("match");
    Rule { models: patterns(&mut table, "models"), tenants: patterns(&mut table, "tenants"), at }
}

fn patterns(table: &mut Table<'_>, key: &str) -> Option<Vec<Pattern>> {
    let expected = "a list of names, in which * stands for any characters and ? for one";
    let fits = |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(|c: char| c.is_control());
    let names = table.strings(key, expected, fits)?;
    if names.is_empty() {
        table.fault(key, "an empty list matches nothing", Some(format!("{expected}; without `{key}`, any")));
    }
    Some(names.iter().map(|name| Pattern::new(&name.value)).collect())
}

/// What `[batch]` says that is checked against other keys.
struct Sizes {
    /// Whether `max_batch_size` is absent or was read.
    max_is_known: bool,
    preferred: Vec<Located<u32>>,
}

fn batch_limits(table: &mut Table<'_>, limits: &mut BatchLimits) -> Sizes {
    let size = table.u32("max_batch_size", BATCH_ROWS);
    limits.max_batch_size = size.unwrap_or(limits.max_batch_size);
    if let Some(tokens) = table.u32_or_none("max_batch_tokens", BATCH_TOKENS) {
        limits.max_batch_tokens = tokens.unwrap_or(BatchLimits::NO_TOKEN_LIMIT);
    }
    limits.max_queue_delay = table.duration("max_queue_delay", Duration::ZERO).unwrap_or(limits.max_queue_delay);
    let preferred = table.integers("preferred_batch_sizes", BATCH_ROWS).unwrap_or_default();
    limits.preferred_batch_sizes = preferred.iter().map(|size| size.value).collect();
    limits.preferred_batch_sizes.sort_unstable();
    limits.preferred_batch_sizes.dedup();
    Sizes { max_is_known: size.is_some() || !table.has("max_batch_size"), preferred }
}

fn slo(mut table: Table<'_>, defaults: &Slo) -> Slo {
    let choices = OnPredictedMiss::ALL.map(|choice| (choice.name(), choice));
    Slo {
        target: table.duration_or_none("target", SHORTEST_GOAL).unwrap_or(defaults.target),
        deadline: table.duration_or_none("deadline", SHORTEST_GOAL).unwrap_or(defaults.deadline),
        on_predicted_miss: table.choice("on_predicted_miss", &choices).unwrap_or(defaults.on_predicted_miss),
    }
}

/// Answers whether `max_rows` is absent or was read.
fn queue_limits(table: &mut Table<'_>, limits: &mut QueueLimits) -> bool {
    let rows = table.u32("max_rows", QUEUE_ROWS);
    limits.max_rows = rows.unwrap_or(limits.max_rows);
    let bytes = table.bytes_or_auto("max_bytes").map(|bytes| bytes.map_or(QueueBytes::Auto, QueueBytes::Most));
    limits.max_bytes = bytes.unwrap_or(limits.max_bytes);
    limits.priority_levels = table.u32("priority_levels", LEVELS).unwrap_or(limits.priority_levels);
    rows.is_some() || !table.has("max_rows")
}

fn tenancy(mut table: Table<'_>, defaults: &Tenancy) -> Tenancy {
    let rate = format!("rows a second from {}/s to {}/s such as \"200/s\", or \"none\"", RATES.start(), RATES.end());
    let rate = table.parsed("rate_limit", &rate, |text| match text {
        "none" => Some(None),
        text => text.parse().ok().map(Some),
    });
    Tenancy {
        weight: table.number_in("weight", WEIGHTS).unwrap_or(defaults.weight),
        rate_limit: rate.unwrap_or(defaults.rate_limit),
        max_waiting_rows: table.u32_or_none("max_waiting_rows", QUEUE_ROWS).unwrap_or(defaults.max_waiting_rows),
    }
}

fn check_sizes(document: &Document<'_>, preferred: &[Located<u32>], max: u32) {
    let mut seen = BTreeSet::new();
    for Located { value: size, at } in preferred {
        if *size > max {
            let message = format!("a batch of {size} rows is more than max_batch_size, which is {max}");
            document.fault(at.clone(), message, Some(format!("sizes from 1 to {max}")));
        } else if !seen.insert(size) {
            document.fault(at.clone(), format!("{size} is listed twice"), Some("each size once".to_owned()));
        }
    }
}

/// A queue that cannot hold one full batch would make every batch of `fixed_size` wait for its delay.
fn check_fixed_size_fits(policy: &Policy, batch: &Table<'_>, queue: &Table<'_>) {
    let (size, rows) = (policy.batch.max_batch_size, policy.queue.max_rows);
    if policy.strategy != Strategy::FixedSize || size <= rows {
        return;
    }
    let message = format!("fixed_size could never fill a batch: queue.max_rows is {rows}, max_batch_size {size}");
    let help = Some("max_rows at least as large as max_batch_size".to_owned());
    match queue.has("max_rows") {
        true => queue.fault("max_rows", message, help),
        false => batch.fault("max_batch_size", message, help),
    }
}
