//! Policies as lists of keys, and what a change of a folder is told as.

use super::source;
use crate::policy::{KEYS, Override, PolicySet, Provenance, Setting, Strategy, compile, diff};

fn folder(files: &[(&str, &str)]) -> PolicySet {
    let sources: Vec<_> = files.iter().map(|(name, text)| source(name, text)).collect();
    compile(&sources, &[], 1).unwrap()
}

fn setting(settings: &[Setting], path: &str) -> (Option<String>, Provenance) {
    let found = settings.iter().find(|setting| setting.key.path() == path).unwrap();
    (found.value.clone(), found.from)
}

#[test]
fn every_key_has_a_value_and_says_who_chose_it() {
    let text = "strategy = \"coalescing\"\n[match]\n  models = [\n    \"m\", \"x*\" ]\n[batch]\n\nmax_batch_tokens = \"none\"\n\
                max_queue_delay = \"7000us\"\n[queue]\nmax_bytes = 1_000_000\n";
    let settings = folder(&[("a.toml", text)]).settings(0);
    assert_eq!(settings.len(), KEYS.len());
    let is = |path: &str, value: &str, from| {
        assert_eq!(setting(&settings, path), (Some(value.to_owned()), from), "{path}");
    };
    is("schema", "1", Provenance::Default);
    is("strategy", "\"coalescing\"", Provenance::Line(1));
    is("match.models", "[\"m\", \"x*\"]", Provenance::Line(3));
    is("batch.max_batch_size", "32", Provenance::Default);
    is("batch.max_batch_tokens", "\"none\"", Provenance::Line(7));
    is("batch.max_queue_delay", "\"7ms\"", Provenance::Line(8));
    is("batch.preferred_batch_sizes", "[]", Provenance::Default);
    is("slo.target", "\"none\"", Provenance::Default);
    is("slo.on_predicted_miss", "\"reject\"", Provenance::Default);
    is("queue.max_bytes", "\"1MB\"", Provenance::Line(10));
    assert_eq!(setting(&settings, "match.tenants"), (None, Provenance::Default));
    assert!(folder(&[]).settings(9).is_empty());
}

#[test]
fn an_overridden_strategy_is_not_that_of_the_file() {
    let sources = [source("a.toml", "strategy = \"coalescing\"")];
    let version = crate::policy::Version { text: sources[0].text.clone(), script: None };
    let files = [(sources[0].name.clone(), version)].into();
    let over = Override { model: None, strategy: Strategy::FixedSize, files, builtin: false };
    let settings = compile(&sources, &[over], 1).unwrap().settings(0);
    assert_eq!(setting(&settings, "strategy"), (Some("\"fixed_size\"".to_owned()), Provenance::Override));
}

#[test]
fn what_changed_is_told_a_line_a_key() {
    let old = folder(&[("acme.toml", "match.tenants = [\"acme\"]\nbatch.max_batch_size = 32"), ("gone.toml", "")]);
    let new = folder(&[
        ("acme.toml", "match.tenants = [\"acme\", \"a-*\"]\n[batch]\nmax_batch_size = 64\n[slo]\ntarget = \"1500ms\""),
        ("new.toml", "strategy = \"fixed_size\""),
    ]);
    let expected = "acme: match.tenants [\"acme\"] → [\"acme\", \"a-*\"]\n\
                    acme: batch.max_batch_size 32 → 64\n\
                    acme: slo.target \"none\" → \"1500ms\"\n\
                    gone: removed\n\
                    new: added (fixed_size)";
    assert_eq!(diff(&old, &new).to_string(), expected);
}

#[test]
fn defaults_that_change_with_the_strategy_are_told() {
    let told = diff(&folder(&[("a.toml", "")]), &folder(&[("a.toml", "strategy = \"fixed_size\"")])).to_string();
    assert!(told.starts_with("a: strategy \"adaptive\" → \"fixed_size\"\na: batch.max_batch_size 64 → 32\n"), "{told}");
    assert!(told.contains("a: batch.max_batch_tokens 16384 → \"none\""), "{told}");
}

#[test]
fn a_file_with_the_name_of_the_built_in_policy_is_told_too() {
    let plain = folder(&[]);
    let named = folder(&[("default.toml", "match.models = [\"m\"]")]);
    let changed = folder(&[("default.toml", "match.models = [\"m\"]\nqueue.max_rows = 5")]);
    assert_eq!(diff(&plain, &named).to_string(), "default: added (adaptive)");
    assert_eq!(diff(&named, &changed).to_string(), "default: queue.max_rows 4096 → 5");
}

#[test]
fn a_policy_that_no_request_falls_under_is_not_told() {
    let (open, closed) = (folder(&[]), folder(&[("all.toml", "")]));
    assert_eq!(diff(&open, &closed).to_string(), "all: added (adaptive)\ndefault: removed");
    let shadowed = folder(&[("all.toml", ""), ("any.toml", "match.models = ['*']")]);
    assert_eq!(diff(&closed, &shadowed).to_string(), "all: removed\nany: added (adaptive)");
}

#[test]
fn comments_order_and_spelling_are_no_change() {
    let old = folder(&[("a.toml", "slo.target = \"1s\"\nbatch.preferred_batch_sizes = [8, 4]")]);
    let new = folder(&[("a.toml", "# hello\n[batch]\npreferred_batch_sizes = [4, 8]\n[slo]\ntarget = \"1000ms\"\n")]);
    assert!(diff(&old, &new).is_empty());
    assert_eq!(diff(&old, &new).to_string(), "");
}

#[test]
fn what_an_override_derives_is_told_with_its_model() {
    let over =
        Override { model: Some("minilm".into()), strategy: Strategy::FixedSize, files: [].into(), builtin: true };
    let (plain, over) = (folder(&[]), compile(&[], &[over], 2).unwrap());
    assert_eq!(diff(&plain, &over).to_string(), "default for minilm: added (fixed_size)");
    assert_eq!(diff(&over, &plain).to_string(), "default for minilm: removed");
}
