//! Overrides while files come, change and go.

use super::{World, files};
use crate::policy::Strategy;
use std::fs;

impl World {
    /// What the overrides in force hold for.
    fn held(&self) -> Vec<String> {
        let status = self.live.status();
        status.overrides.iter().flat_map(|standing| standing.policies.iter().map(ToString::to_string)).collect()
    }

    /// The strategies of all policies, the built-in one last.
    fn strategies(&self) -> Vec<Strategy> {
        self.live.status().policies.policies().iter().map(|policy| policy.strategy).collect()
    }
}

#[test]
fn an_override_holds_for_a_file_until_that_changes() {
    let world = World::new(&[("a.toml", "match.tenants = ['a']"), ("b.toml", "")]);
    world.live.set_override(None, Strategy::ThroughputOptimized).unwrap();
    let both = files(&[("a.toml", "throughput_optimized"), ("b.toml", "throughput_optimized")]);
    assert_eq!(world.shown(), (2, both));
    world.live.set_override(None, Strategy::ThroughputOptimized).unwrap();
    assert_eq!(world.shown().0, 2, "the same again is no change");
    world.write("b.toml", "# the same, in other words");
    world.refresh();
    assert_eq!(world.shown(), (3, files(&[("a.toml", "throughput_optimized"), ("b.toml", "adaptive")])));
    assert_eq!(world.held(), ["a"]);
    fs::remove_file(world.path("a.toml")).unwrap();
    world.refresh();
    // Every request falls under b.toml: an override of the built-in policy would hold for none.
    assert_eq!((world.live.status().overrides.len(), world.reloads()), (0, [2, 0]));
}

#[test]
fn an_override_of_the_built_in_policy_holds_until_it_is_cleared() {
    let world = World::new(&[("a.toml", "match.models = ['m']")]);
    world.live.set_override(None, Strategy::FixedSize).unwrap();
    assert_eq!(world.strategies(), [Strategy::FixedSize; 2]);
    world.write("a.toml", "match.models = ['n']");
    world.refresh();
    assert_eq!(world.strategies(), [Strategy::Adaptive, Strategy::FixedSize]);
    world.live.clear_overrides(None).unwrap();
    assert_eq!((world.strategies(), world.shown().0), (vec![Strategy::Adaptive; 2], 4));
}

#[test]
fn an_override_for_a_model_is_for_its_requests_and_its_files() {
    let world = World::new(&[("all.toml", ""), ("m.toml", "match.models = ['m']"), ("n.toml", "match.models = ['n']")]);
    world.live.set_override(Some("m"), Strategy::LatencyOptimized).unwrap();
    let strategy = |model: &str| {
        let policies = world.live.status().policies.clone();
        policies.policies()[policies.lookup(model, "")].strategy
    };
    assert_eq!(
        (strategy("m"), strategy("n"), strategy("o")),
        (Strategy::LatencyOptimized, Strategy::Adaptive, Strategy::Adaptive)
    );
    assert_eq!(world.live.status().overrides[0].policies, ["m".into()]);
    world.write("n.toml", "match.models = ['n', 'p']");
    world.refresh();
    assert_eq!(strategy("m"), Strategy::LatencyOptimized);
    world.live.set_override(None, Strategy::Coalescing).unwrap();
    assert_eq!((strategy("m"), world.live.status().overrides.len()), (Strategy::Coalescing, 1));
    world.live.clear_overrides(Some("m")).unwrap();
    assert_eq!(strategy("m"), Strategy::Coalescing);
}

#[test]
fn an_override_over_a_folder_that_is_refused_leaves_its_error() {
    let world = World::new(&[("a.toml", "queue.max_rows = 20")]);
    world.write("a.toml", "nonsense");
    world.refresh();
    let error = world.error();
    world.live.set_override(None, Strategy::Coalescing).unwrap();
    assert_eq!((world.error(), world.shown()), (error, (2, files(&[("a.toml", "coalescing")]))));
    let faults = world.live.set_override(None, Strategy::FixedSize).unwrap_err();
    assert!(faults[0].to_string().contains("fixed_size could never fill a batch"), "{}", faults[0]);
    assert_eq!(world.shown(), (2, files(&[("a.toml", "coalescing")])));
    world.write("a.toml", "queue.max_rows = 20");
    world.refresh();
    assert_eq!((world.error(), world.shown()), (String::new(), (3, files(&[("a.toml", "coalescing")]))));
}

#[test]
fn an_override_that_was_not_for_the_built_in_policy_ends_with_its_files() {
    let world = World::new(&[("all.toml", "")]);
    world.live.set_override(None, Strategy::FixedSize).unwrap();
    assert_eq!((world.held(), world.strategies()), (vec!["all".into()], vec![Strategy::FixedSize, Strategy::Adaptive]));
    fs::remove_file(world.path("all.toml")).unwrap();
    world.refresh();
    assert_eq!((world.held(), world.strategies()), (vec![], vec![Strategy::Adaptive]));
    assert!(world.live.status().overrides.is_empty());
}

#[test]
fn an_override_that_ended_for_the_built_in_policy_does_not_come_back() {
    let world = World::new(&[("m.toml", "match.models = ['m']")]);
    world.live.set_override(None, Strategy::FixedSize).unwrap();
    assert_eq!(world.held(), ["m", "default"]);
    world.write("rest.toml", "");
    world.refresh();
    assert_eq!(world.held(), ["m"]);
    fs::remove_file(world.path("rest.toml")).unwrap();
    world.refresh();
    assert_eq!((world.held(), world.strategies()), (vec!["m".into()], vec![Strategy::FixedSize, Strategy::Adaptive]));
}

#[test]
fn an_override_is_of_what_was_saved_before_it() {
    let world = World::new(&[("a.toml", "match.models = ['a']"), ("b.toml", "")]);
    world.write("b.toml", "# saved just now");
    world.live.set_override(None, Strategy::Coalescing).unwrap();
    assert_eq!((world.shown().0, world.reloads()), (3, [1, 0]));
    world.refresh();
    let both = files(&[("a.toml", "coalescing"), ("b.toml", "coalescing")]);
    assert_eq!((world.shown(), world.held()), ((3, both), vec!["a".into(), "b".into()]));
    world.write("b.toml", "# saved again");
    world.live.clear_overrides(Some("m")).unwrap();
    assert_eq!((world.shown().0, world.held()), (4, vec!["a".into()]));
}
