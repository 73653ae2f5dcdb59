//! What is shown, and that it reads back as the policy it shows.

use super::*;
use crate::policy::{Policy, Source, compile};
use proptest::prelude::{Just, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use std::fs;

fn show(folder: Option<&Path>, model: Option<&str>, tenant: Option<&str>) -> Said {
    let [model, tenant] = [model, tenant].map(|name| name.map(str::to_owned));
    run(&Args { policies: folder.map(Into::into), model, tenant })
}

/// What a saved output means.
fn read_back(name: &str, shown: &str) -> Policy {
    let source = Source { name: format!("{name}.toml"), text: shown.to_owned() };
    let script = include_str!("../../../../policies/custom.rhai").to_owned();
    let sources = [source, Source { name: "custom.rhai".into(), text: script }];
    Policy::clone(&compile(&sources, &[], 1).unwrap().policies()[0])
}

#[test]
fn without_a_folder_the_built_in_policy_is_shown() {
    let said = show(None, None, None);
    assert_eq!((said.code, &*said.report), (0, ""));
    let expected = "# Policy `default`: no model named, no tenant named.\n\
                    # Built in: no policy folder is named.\n\nschema = 1  ";
    assert!(said.result.starts_with(expected), "{}", said.result);
    for line in
        ["strategy = \"adaptive\"         # built-in\n", "max_batch_size = 64           # default of adaptive\n"]
    {
        assert!(said.result.contains(line), "{}", said.result);
    }
    assert!(!said.result.contains("[match]"), "{}", said.result);
    assert_eq!(show(Some(Path::new("")), None, None).result, said.result);
    assert_eq!(read_back("default", &said.result), Policy::preset("default", Strategy::Adaptive));
}

#[test]
fn each_line_says_who_chose_its_value_and_the_head_why_the_file_won() {
    let folder = tempfile::tempdir().unwrap();
    let text = "strategy = \"coalescing\"\n[match]\nmodels = [\"bert\", \"mini*\"]\n[batch]\nmax_batch_size = 48\n";
    fs::write(folder.path().join("acme.toml"), text).unwrap();
    let said = show(Some(folder.path()), Some("minilm"), Some("eu")).result;
    let file = folder.path().join("acme.toml");
    let head = format!(
        "# Policy `acme`: model `minilm`, tenant `eu`.\n# From {}, the closest match: models `mini*`, tenants any.\n\n",
        quote(&file.display().to_string())
    );
    assert!(said.starts_with(&head), "{said}");
    let comment = |key: &str| said.lines().find(|line| line.starts_with(key)).unwrap().split("  # ").nth(1).unwrap();
    assert_eq!(comment("strategy"), "acme.toml:1");
    assert_eq!(comment("models"), "acme.toml:3");
    assert_eq!(comment("max_batch_size"), "acme.toml:5");
    assert_eq!(comment("max_batch_tokens"), "default of coalescing");
    assert_eq!(comment("max_rows"), "built-in");
    let other = show(Some(folder.path()), None, None).result;
    assert!(other.contains("# Built in: no file of `"), "{other}");
    assert!(other.contains("# Other policies, for the --model and --tenant they match: acme.\n"), "{other}");
}

#[test]
fn a_name_cannot_leave_its_comment() {
    let said = show(None, Some("a\nb = 1"), Some("`\u{1b}\r\n")).result;
    assert_eq!(read_back("default", &said), Policy::preset("default", Strategy::Adaptive));
}

#[test]
fn faults_are_exit_1_and_a_folder_that_is_not_there_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), "strategy = \"fast\"").unwrap();
    let said = show(Some(folder.path()), None, None);
    assert_eq!((said.code, &*said.result), (1, ""));
    assert!(said.report.contains("a.toml:1:12: "), "{}", said.report);
    fs::write(folder.path().join("a.toml"), b"\xff").unwrap();
    let said = show(Some(folder.path()), None, None);
    assert_eq!(said.code, 1);
    assert!(said.report.contains("a.toml:1:1: this byte is not UTF-8"), "{}", said.report);
    let said = show(Some(Path::new("absent")), None, None);
    assert_eq!((said.code, &*said.result), (2, ""));
    assert!(said.report.starts_with("cannot read absent: "), "{}", said.report);
}

#[test]
fn what_is_shown_of_each_shipped_policy_reads_back_as_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let set = compile(&reload::read_folder(&folder).unwrap(), &[], 1).unwrap();
    for strategy in Strategy::ALL {
        let said = show(Some(&folder), None, Some(strategy.name())).result;
        assert_eq!(read_back(strategy.name(), &said), *set.policies()[set.lookup("", strategy.name())]);
        let again = tempfile::tempdir().unwrap();
        fs::copy(folder.join("custom.rhai"), again.path().join("custom.rhai")).unwrap();
        fs::write(again.path().join("x.toml"), &said).unwrap();
        assert_eq!(super::super::check::run(&[again.path().to_owned()]).code, 0);
    }
}

/// A value, or the absence of its key.
fn maybe(key: &'static str, value: impl Generator<Value = String> + 'static) -> impl Generator<Value = String> {
    prop_oneof![Just(String::new()), value.prop_map(move |value| format!("{key} = {value}\n"))]
}

fn durations() -> impl Generator<Value = String> {
    (1000..=86_400u64, prop::sample::select(vec!["ns", "us", "µs", "ms", "s"]))
        .prop_map(|(n, unit)| format!("\"{n}{unit}\""))
}

fn goals() -> impl Generator<Value = String> {
    prop_oneof![durations(), Just("\"none\"".to_owned())]
}

fn names() -> impl Generator<Value = String> {
    prop::collection::vec("[\\PC&&[^\u{7f}]]{1,8}", 1..4).prop_map(|names| {
        let quoted = names.into_iter().map(|name| toml::Value::String(name).to_string());
        format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
    })
}

fn texts() -> impl Generator<Value = String> {
    let strategies = Strategy::ALL[..5].iter().map(|strategy| format!("\"{}\"", strategy.name())).collect::<Vec<_>>();
    let top = (
        maybe("strategy", prop::sample::select(strategies)),
        maybe("dynamic_batching", any::<bool>().prop_map(|b| b.to_string())),
    );
    let rule = (maybe("models", names()), maybe("tenants", names()));
    let batch = (
        maybe("max_batch_size", (16..4096u32).prop_map(|n| n.to_string())),
        maybe(
            "max_batch_tokens",
            prop_oneof![Just("\"none\"".to_owned()), (1..=1_000_000_000u32).prop_map(|n| n.to_string())],
        ),
        maybe("max_queue_delay", durations()),
        maybe(
            "preferred_batch_sizes",
            prop::collection::hash_set(1..=16u32, 0..4)
                .prop_map(|sizes| format!("{:?}", sizes.into_iter().collect::<Vec<_>>())),
        ),
    );
    let slo = (
        maybe("target", goals()),
        maybe("deadline", goals()),
        maybe("on_predicted_miss", Just("\"serve\"".to_owned())),
    );
    let queue = (
        maybe("max_rows", (4096..1_000_000u32).prop_map(|n| n.to_string())),
        maybe("max_bytes", prop_oneof![(1..=1u64 << 40).prop_map(|n| n.to_string()), Just("\"3MB\"".to_owned())]),
        maybe("priority_levels", (1..=64u32).prop_map(|n| n.to_string())),
    );
    (top, rule, batch, slo, queue).prop_map(|(top, rule, batch, slo, queue)| {
        let (batch, slo, queue) = (
            [batch.0, batch.1, batch.2, batch.3].concat(),
            [slo.0, slo.1, slo.2].concat(),
            [queue.0, queue.1, queue.2].concat(),
        );
        format!("{}{}[match]\n{}{}[batch]\n{batch}[slo]\n{slo}[queue]\n{queue}", top.0, top.1, rule.0, rule.1)
    })
}

proptest! {
    #[test]
    fn whatever_is_shown_reads_back_as_the_same_policy(text in texts()) {
        let set = compile(&[Source { name: "p.toml".into(), text }], &[], 1).unwrap();
        let shown = toml(&set.settings(0), &set.origins()[0], set.policies()[0].strategy);
        let again = compile(&[Source { name: "p.toml".into(), text: shown.clone() }], &[], 1).unwrap();
        prop_assert_eq!(&*again.policies()[0], &*set.policies()[0]);
        prop_assert_eq!(policy::diff(&set, &again).to_string(), "", "{}", shown);
    }
}
