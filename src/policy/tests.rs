//! What policy files mean, which file a request falls under, and what is refused.

use super::pattern::{Pattern, matches};
use super::*;
use proptest::{prop_assert_eq, proptest};
use std::time::Duration;

mod overrides;
mod scripts;
mod settings;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

fn one(text: &str) -> Policy {
    Policy::clone(&compile(&[source("p.toml", text)], &[], 1).unwrap().policies()[0])
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(name, text)| source(name, text)).collect();
    compile(&sources, &[], 1).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_adaptive_with_its_defaults() {
    let policy = one("");
    assert_eq!(policy, Policy::preset("p", Strategy::Adaptive));
    assert_eq!((policy.batch.max_batch_size, policy.batch.max_batch_tokens), (64, 16_384));
    assert_eq!(policy.queue, QueueLimits { max_rows: 4096, max_bytes: QueueBytes::Auto, priority_levels: 3 });
}

#[test]
fn each_strategy_brings_its_defaults() {
    let script = source("a.rhai", "1");
    for strategy in Strategy::ALL {
        assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
        let text = format!("strategy = \"{}\"\n[custom]\nscript = \"a.rhai\"", strategy.name());
        let set = compile(&[source("p.toml", &text), script.clone()], &[], 1).unwrap();
        assert_eq!(set.policies()[0].batch, strategy.batch_limits());
    }
    assert_eq!(Strategy::from_name("customs"), None);
}

#[test]
fn every_key_is_read() {
    let policy = one(
        "schema = 1\nstrategy = \"coalescing\"\ndynamic_batching = false\n[match]\nmodels = [\"m\"]\ntenants = [\"t-*\"]\n\
         [batch]\nmax_batch_size = 48\nmax_batch_tokens = \"none\"\nmax_queue_delay = \"7ms\"\n\
         preferred_batch_sizes = [32, 8]\n[slo]\ntarget = \"100ms\"\ndeadline = \"2s\"\non_predicted_miss = \"serve\"\n\
         [queue]\nmax_rows = 10\nmax_bytes = 1000\npriority_levels = 5\n\
         [tenancy]\nweight = 2.5\nrate_limit = \"200/s\"\nmax_waiting_rows = 512\n[reuse]\nidentical = true\n",
    );
    let expected = Policy {
        name: "p".into(),
        strategy: Strategy::Coalescing,
        dynamic_batching: false,
        batch: BatchLimits {
            max_batch_size: 48,
            max_batch_tokens: BatchLimits::NO_TOKEN_LIMIT,
            max_queue_delay: Duration::from_millis(7),
            preferred_batch_sizes: vec![8, 32],
        },
        slo: Slo {
            target: Some(Duration::from_millis(100)),
            deadline: Some(Duration::from_secs(2)),
            on_predicted_miss: OnPredictedMiss::Serve,
        },
        queue: QueueLimits { max_rows: 10, max_bytes: QueueBytes::Most(1000), priority_levels: 5 },
        tenancy: Tenancy { weight: 2.5, rate_limit: Some(RowRate(200)), max_waiting_rows: Some(512) },
        reuse: Reuse { identical: true },
        script: None,
    };
    assert_eq!(policy, expected);
}

#[test]
fn a_key_that_a_strategy_does_not_use_is_accepted() {
    for strategy in Strategy::ALL.iter().filter(|s| **s != Strategy::Custom).map(|s| s.name()) {
        let batch = "max_batch_size = 32\nmax_queue_delay = \"7ms\"\npreferred_batch_sizes = [8, 16, 32]";
        let policy = one(&format!("strategy = \"{strategy}\"\n[batch]\n{batch}\n[slo]\ntarget = \"100ms\""));
        assert_eq!(policy.batch.max_queue_delay, Duration::from_millis(7));
        assert_eq!(policy.batch.preferred_batch_sizes, [8, 16, 32]);
        assert_eq!(policy.slo.target, Some(Duration::from_millis(100)));
    }
}

#[test]
fn faults_of_all_files_are_told_at_once() {
    let shown = faults(&[
        ("d/b.toml", "schema = 2\n[batch]\nmax_batchsize = 3\n[slo]\ntarget = \"0s\"\n"),
        ("d/a.toml", "[match]\nmodels = []\ntenants = [\"ok\", \"\"]\n"),
    ]);
    let places: Vec<&str> = shown.iter().map(|s| s.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["d/a.toml:2:10", "d/a.toml:3:18", "d/b.toml:1:10", "d/b.toml:3:1", "d/b.toml:5:10"]);
    assert!(shown[2].contains("expected 1, found 2"), "{shown:#?}");
    assert!(shown[3].contains("did you mean `max_batch_size`?"), "{shown:#?}");
    assert!(shown[4].contains("a duration from 1µs to 24h"), "{shown:#?}");
}

#[test]
fn limits_must_go_together() {
    let shown = faults(&[("p.toml", "[batch]\nmax_batch_size = 8\npreferred_batch_sizes = [4, 16, 4]")]);
    assert!(
        shown[0].starts_with("p.toml:3:29: a batch of 16 rows is more than max_batch_size, which is 8"),
        "{shown:?}"
    );
    assert!(shown[1].starts_with("p.toml:3:33: 4 is listed twice"), "{shown:?}");
    let shown = faults(&[("p.toml", "strategy = \"fixed_size\"\n[queue]\nmax_rows = 31")]);
    assert!(shown[0].starts_with("p.toml:3:12: fixed_size could never fill a batch"), "{shown:?}");
    let shown = faults(&[("p.toml", "strategy = \"fixed_size\"\n[batch]\nmax_batch_size = 5000")]);
    assert!(shown[0].starts_with("p.toml:3:18: fixed_size could never fill a batch"), "{shown:?}");
    assert_eq!(one("[queue]\nmax_rows = 5").queue.max_rows, 5);
}

#[test]
fn a_limit_that_is_a_fault_is_not_held_against_others() {
    let shown = faults(&[("p.toml", "[batch]\nmax_batch_size = \"x\"\npreferred_batch_sizes = [500]")]);
    assert_eq!(shown.len(), 1, "{shown:?}");
    let shown = faults(&[("p.toml", "strategy = \"x\"\n[batch]\npreferred_batch_sizes = [100]")]);
    assert_eq!(shown.len(), 1, "{shown:?}");
}

#[test]
fn a_file_name_must_be_fit_for_a_header() {
    assert!(faults(&[("d/a b.toml", "")])[0].starts_with("d/a b.toml: this file name cannot name a policy"));
    assert!(faults(&[("d/.toml", "")])[0].contains("cannot name a policy"));
}

#[test]
fn the_most_specific_file_wins_and_models_count_first() {
    let files = [
        ("all.toml", ""),
        ("glob.toml", "match.models = [\"mini*\"]"),
        ("globtenant.toml", "match = { models = [\"mini*\"], tenants = [\"acme\"] }"),
        ("model.toml", "match.models = [\"minilm\", \"bert\"]"),
        ("modeltenant.toml", "match = { models = [\"minilm\"], tenants = [\"free-*\"] }"),
        ("tenant.toml", "match.tenants = [\"acme\"]"),
        ("tenantglob.toml", "match.tenants = [\"ac??\", \"x*\"]"),
    ];
    let set = compile(&files.map(|(name, text)| source(name, text)), &[], 7).unwrap();
    let name = |model: &str, tenant: &str| set.policies()[set.lookup(model, tenant)].name.to_string();
    assert_eq!(set.generation, 7);
    assert!(set.names_tenants());
    assert_eq!(name("other", ""), "all");
    assert_eq!(name("minibert", "free-1"), "glob");
    assert_eq!(name("minibert", "acme"), "globtenant");
    assert_eq!(name("minilm", "acme"), "model");
    assert_eq!(name("minilm", "free-1"), "modeltenant");
    assert_eq!(name("bert", "free-1"), "model");
    assert_eq!(name("other", "acme"), "tenant");
    assert_eq!(name("other", "acid"), "tenantglob");
}

#[test]
fn the_built_in_policy_applies_where_no_file_matches() {
    let set = compile(&[source("m.toml", "match.models = [\"m\"]")], &[], 1).unwrap();
    assert_eq!((set.lookup("m", "t"), set.lookup("n", "t"), set.policies().len()), (0, 1, 2));
    assert_eq!(*set.policies()[1], Policy::preset("default", Strategy::Adaptive));
    assert!(!set.names_tenants());
    assert_eq!(PolicySet::builtin(1).lookup("m", "t"), 0);
    assert_eq!(compile(&[], &[], 1).unwrap().policies().len(), 1);
}

#[test]
fn what_requests_can_fall_under_leaves_out_what_closer_files_take() {
    let files = [
        ("any.toml", "match.tenants = ['acme']"),
        ("glob.toml", "match.models = ['mini*']"),
        ("model.toml", "match = { models = ['bert'], tenants = ['acme'] }"),
    ];
    let reach = |set: &PolicySet, model| {
        set.reachable(model).into_iter().map(|at| set.policies()[at].name.to_string()).collect::<Vec<_>>()
    };
    let set = compile(&files.map(|(name, text)| source(name, text)), &[], 1).unwrap();
    assert_eq!(reach(&set, Some("minilm")), ["glob"]);
    assert_eq!(reach(&set, Some("bert")), ["any", "model", "default"]);
    assert_eq!(reach(&set, Some("other")), ["any", "default"]);
    assert_eq!(reach(&set, None), ["any", "glob", "model", "default"]);
    assert_eq!(reach(&compile(&[source("all.toml", "")], &[], 1).unwrap(), None), ["all"]);
    assert_eq!(reach(&PolicySet::builtin(1), Some("m")), ["default"]);
}

#[test]
fn a_star_takes_every_name_and_so_leaves_nothing() {
    let reach = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(name, text)| source(name, text)).collect();
        let set = compile(&sources, &[], 1).unwrap();
        set.reachable(None).into_iter().map(|at| set.policies()[at].name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(reach(&[("a.toml", "match.models = ['*']"), ("b.toml", "")]), ["a"]);
    assert_eq!(reach(&[("a.toml", "match.tenants = ['**']"), ("b.toml", "")]), ["a"]);
    assert_eq!(reach(&[("a.toml", "match = { models = ['*'], tenants = ['?*'] }"), ("b.toml", "")]), ["a", "b"]);
    assert_eq!(
        reach(&[("a.toml", "match.models = ['?*']"), ("b.toml", "match.tenants = ['t']")]),
        ["a", "b", "default"]
    );
}

#[test]
fn a_tie_is_told_at_the_match_of_the_later_file() {
    let a = ("a.toml", "[match]\nmodels = [\"m*\", \"x\"]");
    let shown = faults(&[a, ("b.toml", "schema = 1\n[match]\nmodels = [\"*m\"]")]);
    assert_eq!(shown.len(), 1);
    assert!(shown[0].starts_with("b.toml:2:2: this file and a.toml match equally well"), "{shown:?}");
    assert!(shown[0].contains("models \"m*\" and \"*m\", tenants any"), "{shown:?}");
    assert!(faults(&[("a.toml", ""), ("b.toml", "")])[0].starts_with("b.toml:1:1: this file and a.toml"));
    let apart = ["models = [\"m\"]", "models = [\"n*\"]", "models = [\"m*\"]\ntenants = [\"a\"]", "tenants = [\"?\"]"];
    let files = apart.map(|rule| format!("[match]\n{rule}"));
    let names = ["b.toml", "c.toml", "d.toml", "e.toml"];
    let sources: Vec<Source> = names.iter().zip(&files).map(|(name, text)| source(name, text)).collect();
    assert!(compile(&[&sources[..], &[source(a.0, "[match]\nmodels = [\"m*\", \"x\"]")]].concat(), &[], 1).is_ok());
}

#[test]
fn a_tie_is_found_however_tenants_are_told_among_many_files() {
    let many = (0..2_000).map(|n| (format!("m{n:04}.toml"), format!("match.tenants = ['t{n}', 't{n}']")));
    let few = [
        ("a.toml", "['x', 'g*']"),
        ("b.toml", "['y', 'x']"),
        ("c.toml", "['z', '*h']"),
        ("d.toml", "['g']"),
        ("n.toml", "['t1999']"),
    ];
    let few = few.map(|(name, tenants)| (name.to_owned(), format!("match.tenants = {tenants}")));
    let none = ["e.toml", "f.toml"].map(|name| (name.to_owned(), String::new()));
    let files: Vec<_> = many.chain(few).chain(none).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let heads: Vec<_> =
        faults(&files).iter().map(|fault| fault.lines().next().unwrap().replace("toml:1:1:", "")).collect();
    let tie = |later: &str, earlier: &str, tenants: &str| {
        format!("{later}. this file and {earlier}.toml match equally well: models any, tenants {tenants}")
    };
    let expected = [
        tie("b", "a", "\"x\""),
        tie("c", "a", "\"g*\" and \"*h\""),
        tie("f", "e", "any"),
        tie("n", "m1999", "\"t1999\""),
    ];
    assert_eq!(heads, expected);
}

/// Says by trying whether a glob matches.
fn matches_slowly(glob: &[char], name: &[char]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => matches_slowly(rest, name),
        (Some(('*', rest)), Some((_, tail))) => matches_slowly(rest, name) || matches_slowly(glob, tail),
        (Some((want, rest)), Some((letter, tail))) => (*want == '?' || want == letter) && matches_slowly(rest, tail),
        _ => false,
    }
}

/// All names of up to six of the letters `a` and `b`.
fn short_names() -> impl Iterator<Item = String> {
    let of_length = |length: u32| {
        (0..1u32 << length).map(move |bits| (0..length).map(|n| if bits >> n & 1 == 1 { 'a' } else { 'b' }).collect())
    };
    (0..=6).flat_map(of_length)
}

proptest! {
    #[test]
    fn globs_match_as_their_definition_says(glob in "[ab?*]{0,6}", name in "[ab]{0,6}") {
        let glob: Vec<char> = glob.chars().collect();
        let letters: Vec<char> = name.chars().collect();
        prop_assert_eq!(matches(&glob, &name), matches_slowly(&glob, &letters));
    }

    #[test]
    fn globs_compete_exactly_where_they_share_a_name(a in "[ab?]{0,2}[*?][ab?*]{0,1}", b in "[ab?]{0,2}[*?][ab?*]{0,1}") {
        let letters = |glob: &str| glob.chars().collect::<Vec<char>>();
        let shared = short_names().any(|name| matches(&letters(&a), &name) && matches(&letters(&b), &name));
        prop_assert_eq!(Pattern::new(&a).competes(&Pattern::new(&b)), shared);
        prop_assert_eq!(Pattern::new(&b).competes(&Pattern::new(&a)), shared);
    }
}
