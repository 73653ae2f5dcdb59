//! What an override changes, how long, and what it leaves alone.

use super::source;
use crate::policy::{Override, Policy, PolicySet, Source, Strategy, Version, compile};
use crate::script::Script;
use proptest::prelude::{Just, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use std::sync::Arc;

/// An override of these files and the built-in policy.
fn set(model: Option<&str>, strategy: Strategy, sources: &[Source]) -> Override {
    let version = |source: &Source| Version { text: source.text.clone(), script: script_of(source, sources) };
    let files = sources.iter().map(|source| (source.name.clone(), version(source))).collect();
    Override { model: model.map(Into::into), strategy, files, builtin: true }
}

/// The script that a file names.
fn script_of(source: &Source, sources: &[Source]) -> Option<Arc<Script>> {
    let set = compile(sources, &[], 1).ok()?;
    let at = set.origins().iter().position(|origin| origin.file.as_deref() == Some(&*source.name))?;
    set.policies()[at].script.clone()
}

fn found<'s>(set: &'s PolicySet, model: &str, tenant: &str) -> &'s Policy {
    &set.policies()[set.lookup(model, tenant)]
}

#[test]
fn keys_of_the_file_stay_and_all_others_default_by_the_new_strategy() {
    let sources = [source("a.toml", "strategy = \"coalescing\"\n[batch]\nmax_batch_size = 9\n[queue]\nmax_rows = 70")];
    let over = set(None, Strategy::ThroughputOptimized, &sources);
    let compiled = compile(&sources, &[over], 1).unwrap();
    let policy = found(&compiled, "m", "t");
    assert_eq!((&*policy.name, policy.strategy), ("a", Strategy::ThroughputOptimized));
    assert_eq!((policy.batch.max_batch_size, policy.queue.max_rows), (9, 70));
    assert_eq!(policy.batch.max_batch_tokens, Strategy::ThroughputOptimized.batch_limits().max_batch_tokens);
    assert_eq!(compiled.origins()[0].own, Strategy::Coalescing);
    assert_eq!(compiled.policies().len(), 2);
}

#[test]
fn an_override_of_one_model_derives_policies_for_it_alone() {
    let sources = [source("a.toml", "match.tenants = [\"acme\"]"), source("b.toml", "match.models = [\"other\"]")];
    let over = set(Some("m"), Strategy::FixedSize, &sources);
    let compiled = compile(&sources, &[over], 3).unwrap();
    for tenant in ["acme", ""] {
        assert_eq!(found(&compiled, "m", tenant).strategy, Strategy::FixedSize);
        assert_eq!(found(&compiled, "other", tenant).strategy, Strategy::Adaptive);
        assert_eq!(found(&compiled, "n", tenant).strategy, Strategy::Adaptive);
    }
    // a, b, default, and what stands in for a and default: b is not for that model.
    let told = |index: usize| {
        let origin = &compiled.origins()[index];
        (&*compiled.policies()[index].name, origin.file.as_deref(), origin.model.as_deref())
    };
    let all: Vec<_> = (0..compiled.policies().len()).map(told).collect();
    let (a, b) = (Some("a.toml"), Some("b.toml"));
    assert_eq!(
        all,
        [("a", a, None), ("b", b, None), ("default", None, None), ("a", a, Some("m")), ("default", None, Some("m"))]
    );
    assert_eq!(*compiled.policies()[4], Policy::preset("default", Strategy::FixedSize));
}

#[test]
fn one_for_a_model_goes_before_one_for_every_model_and_the_later_wins() {
    use Strategy::{Adaptive, Coalescing, FixedSize, LatencyOptimized};
    let overrides = [(Some("m"), FixedSize), (Some("m"), Coalescing), (None, Adaptive), (None, LatencyOptimized)];
    let overrides = overrides.map(|(model, strategy)| set(model, strategy, &[]));
    let compiled = compile(&[], &overrides, 1).unwrap();
    assert_eq!(found(&compiled, "m", "").strategy, Coalescing);
    assert_eq!(found(&compiled, "n", "").strategy, LatencyOptimized);
    assert_eq!(compiled.origins()[0].own, Adaptive);
}

#[test]
fn one_that_was_not_set_for_the_built_in_policy_leaves_that_alone() {
    for model in [None, Some("m")] {
        let over = Override { builtin: false, ..set(model, Strategy::FixedSize, &[]) };
        let compiled = compile(&[], &[over], 1).unwrap();
        assert_eq!((found(&compiled, "m", "").strategy, compiled.policies().len()), (Strategy::Adaptive, 1));
    }
}

#[test]
fn no_policy_is_derived_where_it_would_be_the_same() {
    let compiled = compile(&[], &[set(Some("m"), Strategy::Adaptive, &[])], 1).unwrap();
    assert_eq!(compiled.policies().len(), 1);
}

#[test]
fn what_another_stands_in_for_altogether_is_not_in_use() {
    let sources = [source("all.toml", ""), source("m.toml", "match.models = [\"m\"]")];
    let in_use = |overrides: &[Override]| {
        let set = compile(&sources, overrides, 1).unwrap();
        let told = |at: usize| (set.policies()[at].name.to_string(), set.policies()[at].strategy);
        set.in_use().into_iter().map(told).collect::<Vec<_>>()
    };
    let is = |name: &str, strategy| (name.to_owned(), strategy);
    let plain = [is("all", Strategy::Adaptive), is("m", Strategy::Adaptive)];
    assert_eq!(in_use(&[]), plain);
    let over_m = in_use(&[set(Some("m"), Strategy::FixedSize, &sources)]);
    assert_eq!(over_m, [is("all", Strategy::Adaptive), is("m", Strategy::FixedSize)]);
    let over_n = in_use(&[set(Some("n"), Strategy::FixedSize, &sources)]);
    assert_eq!(over_n, [plain[0].clone(), plain[1].clone(), is("all", Strategy::FixedSize)]);
}

#[test]
fn a_file_that_cannot_have_the_strategy_is_told_with_the_reason() {
    let sources = [source("a.toml", "strategy = \"coalescing\"\n[batch]\npreferred_batch_sizes = [32]")];
    for model in [None, Some("m")] {
        let over = set(model, Strategy::LatencyOptimized, &sources);
        let faults = compile(&sources, &[over], 1).unwrap_err();
        let shown = faults[0].to_string();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            shown.starts_with("a.toml:3:26: a batch of 32 rows is more than max_batch_size, which is 16 ("),
            "{shown}"
        );
        assert!(shown.contains("(an override makes the strategy latency_optimized)"), "{shown}");
    }
}

#[test]
fn a_changed_text_ends_the_override_for_that_file_alone() {
    let mut sources = [source("a.toml", "match.models = [\"a\"]"), source("b.toml", "match.models = [\"b\"]")];
    let overrides = [set(None, Strategy::Coalescing, &sources), set(Some("a"), Strategy::FixedSize, &sources)];
    sources[0].text.push_str("# changed");
    let compiled = compile(&sources, &overrides, 1).unwrap();
    assert_eq!(found(&compiled, "a", "").strategy, Strategy::Adaptive);
    assert_eq!(found(&compiled, "b", "").strategy, Strategy::Coalescing);
    assert_eq!(found(&compiled, "c", "").strategy, Strategy::Coalescing);
}

#[test]
fn a_file_that_came_later_is_not_under_the_override() {
    let over = set(None, Strategy::FixedSize, &[]);
    let compiled = compile(&[source("a.toml", "match.models = [\"a\"]")], &[over], 1).unwrap();
    assert_eq!(found(&compiled, "a", "").strategy, Strategy::Adaptive);
    assert_eq!(found(&compiled, "b", "").strategy, Strategy::FixedSize);
}

/// What the files of a folder are for: no two of them the same.
const RULES: [&str; 5] =
    ["", "models = [\"a\"]", "models = [\"?\"]", "tenants = [\"t\"]", "models = [\"b\"]\ntenants = [\"*\"]"];

/// Every strategy that needs no script.
fn scriptless() -> Vec<Strategy> {
    Strategy::ALL.into_iter().filter(|strategy| *strategy != Strategy::Custom).collect()
}

/// A folder of some of these, with any strategies, and limits that fit every strategy.
fn folders() -> impl Generator<Value = Vec<Source>> {
    let strategy = prop::sample::select(scriptless());
    let size = prop_oneof![Just(String::new()), (1..60u32).prop_map(|size| format!("max_batch_size = {size}\n"))];
    let delay = prop_oneof![Just(""), Just("max_queue_delay = \"3ms\"\n")];
    let file = (strategy, size, delay).prop_map(|(strategy, size, delay)| {
        format!("strategy = \"{}\"\n[batch]\n{size}{delay}[match]\n", strategy.name())
    });
    prop::collection::vec(prop::option::weighted(0.7, file), RULES.len()).prop_map(|files| {
        let files = files.into_iter().zip(RULES).zip(0..);
        files.filter_map(|((file, rule), index)| Some(source(&format!("{index}.toml"), &(file? + rule)))).collect()
    })
}

const MODELS: [&str; 4] = ["a", "b", "c", "long"];
const TENANTS: [&str; 3] = ["", "t", "u"];

/// Says whether a file names a key.
fn names(sources: &[Source], policy: &Policy, key: &str) -> bool {
    sources.iter().any(|source| source.name == format!("{}.toml", policy.name) && source.text.contains(key))
}

proptest! {
    #[test]
    fn under_an_override_every_request_has_its_strategy(
        sources in folders(), strategy in prop::sample::select(scriptless()),
        of in prop::option::of(prop::sample::select(MODELS.to_vec()))
    ) {
        let before = compile(&sources, &[], 1).unwrap();
        let after = compile(&sources, &[set(of, strategy, &sources)], 2).unwrap();
        for (model, tenant) in MODELS.iter().flat_map(|model| TENANTS.map(|tenant| (*model, tenant))) {
            let (old, new) = (found(&before, model, tenant), found(&after, model, tenant));
            if of.is_some_and(|of| of != model) {
                prop_assert_eq!(old, new);
                continue;
            }
            prop_assert_eq!((&new.name, new.strategy), (&old.name, strategy));
            prop_assert_eq!((&new.slo, &new.queue), (&old.slo, &old.queue));
            let (kept, preset) = (&old.batch, strategy.batch_limits());
            let size = if names(&sources, new, "max_batch_size") { kept } else { &preset };
            let delay = if names(&sources, new, "max_queue_delay") { kept } else { &preset };
            prop_assert_eq!(new.batch.max_batch_size, size.max_batch_size);
            prop_assert_eq!(new.batch.max_queue_delay, delay.max_queue_delay);
            prop_assert_eq!(new.batch.max_batch_tokens, preset.max_batch_tokens);
        }
        // The samples come to everything that these rules tell apart: models one letter long and longer.
        let all = MODELS.iter().chain(&["x", "longer"]).flat_map(|model| TENANTS.map(|tenant| (*model, tenant)));
        prop_assert_eq!(after.in_use(), all.map(|(model, tenant)| after.lookup(model, tenant)).collect());
    }

    #[test]
    fn an_edit_ends_it_for_the_edited_files_alone(sources in folders(), edited in prop::collection::vec(prop::bool::ANY, 5)) {
        let over = set(None, Strategy::FixedSize, &sources);
        let mut later = sources.clone();
        for (source, _) in later.iter_mut().zip(&edited).filter(|(_, edited)| **edited) {
            source.text.insert(0, '\n');
        }
        let (own, after) = (compile(&later, &[], 1).unwrap(), compile(&later, &[over], 2).unwrap());
        prop_assert!(after.policies().len() == own.policies().len());
        for (index, policy) in after.policies().iter().enumerate() {
            let is_edited = index < sources.len() && edited[index];
            prop_assert_eq!(policy.strategy, if is_edited { own.policies()[index].strategy } else { Strategy::FixedSize });
        }
    }
}
