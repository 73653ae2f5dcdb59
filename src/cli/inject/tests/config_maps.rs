//! Which ConfigMaps an injection makes, replaces and leaves.

use super::*;
use std::collections::HashMap;

fn workload(kind: &str, api_version: &str, name: &str) -> String {
    format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - name: app\n        image: shop:1\n"
    )
}

/// The ConfigMaps in a text, as namespace and name, with their data.
fn config_maps(text: &str) -> HashMap<(String, String), Node> {
    let mut found = HashMap::new();
    for object in objects(text).into_iter().filter(|object| object.str_at("kind") == "ConfigMap") {
        let metadata = object.get("metadata").unwrap();
        let at = (metadata.str_at("namespace").to_owned(), metadata.str_at("name").to_owned());
        assert!(at.1.len() <= 63, "{}", at.1);
        assert!(found.insert(at.clone(), object.get("data").unwrap().clone()).is_none(), "twice: {at:?}");
    }
    found
}

/// The names of ConfigMaps that the pods of a text mount.
fn mounted(text: &str) -> Vec<&str> {
    let names = text.split("configMap:\n").skip(1).filter_map(|rest| rest.trim_start().strip_prefix("name: "));
    names.filter_map(|rest| rest.lines().next()).collect()
}

#[test]
fn each_object_of_a_manifest_has_config_maps_of_its_own() {
    let long = "shop-production-eu-west-1-recommendations-service";
    let manifest: Vec<String> = [
        workload("Deployment", "apps/v1", "shop"),
        workload("StatefulSet", "apps/v1", "shop"),
        workload("Deployment", "apps/v1", "shop").replace("  name: shop\n", "  name: shop\n  namespace: b\n"),
        workload("StatefulSet", "apps/v1", "other").replace("  name: other\n", "  name: shop\n  namespace: b\n"),
        workload("Deployment", "apps/v1", "shop-inferneo"),
        workload("Deployment", "apps/v1", "shop.eu"),
        workload("Deployment", "apps/v1", "shop-eu"),
        workload("Deployment", "apps/v1", &format!("{long}-frontend")),
        workload("Deployment", "apps/v1", &format!("{long}-backend")),
    ]
    .into();
    let done = injected(&manifest.join("---\n"), "");
    let made = config_maps(&done.text);
    assert_eq!(made.len(), 2 * manifest.len());
    assert_eq!(mounted(&done.text).len(), made.len());
    assert!(mounted(&done.text).iter().all(|name| made.keys().any(|(_, made)| made == name)));
    for place in [("", "shop-inferneo-config"), ("b", "shop-inferneo-statefulset-policies")] {
        assert!(made.contains_key(&(place.0.to_owned(), place.1.to_owned())), "{place:?}");
    }
}

#[test]
fn a_name_that_is_given_stands_for_all_objects_and_once() {
    let manifest = [workload("Deployment", "apps/v1", "a"), workload("StatefulSet", "apps/v1", "b")].join("---\n");
    let sidecar = sidecar("");
    let done = inject(&manifest, "m.yaml", &sidecar, Some("ours")).unwrap();
    assert_eq!(config_maps(&done.text).len(), 2);
    assert_eq!(mounted(&done.text), ["ours-config", "ours-policies", "ours-config", "ours-policies"]);
    assert_eq!(inject(&done.text, "m.yaml", &sidecar, Some("ours")).unwrap(), done);
}

#[test]
fn a_config_map_of_somebody_else_is_not_doubled() {
    let theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop-inferneo-config}\ndata: {a: b}\n";
    let manifest = format!("{}---\n{theirs}", workload("Deployment", "apps/v1", "shop"));
    let fault = refused(&manifest, "");
    assert!(fault.contains("Deployment/shop: ") && fault.contains("shop-inferneo-config") && fault.contains("--name"));
    let elsewhere = manifest.replace("{name: shop-inferneo-config}", "{name: shop-inferneo-config, namespace: b}");
    assert!(injected(&elsewhere, "").text.ends_with("data: {a: b}\n"));
    let fault = refused(&workload("Deployment", "apps/v1", "shop"), "--policies-config-map shop-inferneo-config");
    assert!(fault.contains("--policies-config-map"), "{fault}");
}

#[test]
fn policies_that_were_written_into_the_config_map_stay() {
    let first = injected(&workload("StatefulSet", "apps/v1", "shop"), "").text;
    let edited = first.replace("data: {}\n", "data:\n  all.toml: \"[batch]\"\n");
    assert!(edited != first && injected(&edited, "--model n=/models/n").text.contains("all.toml: \"[batch]\"\n"));
    // Under the name that an earlier version gave them, too.
    let older = edited.replace("shop-inferneo-statefulset-", "shop-inferneo-");
    assert_eq!(injected(&older, "").text, injected(&edited, "").text);
    let shared = injected(&edited, "--policies-config-map shared");
    let [note] = notes(&shared)[..] else { panic!("{:?}", shared.remarks) };
    assert!(!shared.text.contains("all.toml") && note.starts_with("ConfigMap/shop-inferneo-statefulset-policies: "));
    assert!(injected(&first, "--policies-config-map shared").remarks.is_empty());
    let own = injected(&edited, "--policies-config-map shop-inferneo-statefulset-policies").text;
    assert!(own.contains("all.toml: \"[batch]\"\n"), "{own}");
    let two = format!("{edited}---\n{}", edited.replace("shop", "web").replace("[batch]", "[slo]"));
    let fault = inject(&two, "m.yaml", &sidecar(""), Some("ours")).unwrap_err();
    assert!(fault.contains("StatefulSet/web: ") && fault.contains("ours-policies"), "{fault}");
}

#[test]
fn config_maps_of_an_injection_without_its_object_stay() {
    let first = injected(&workload("Deployment", "apps/v1", "shop"), "").text;
    let (maps, _) = first.rsplit_once("---\n").unwrap();
    assert_eq!(injected(maps, "").text, maps);
    let other = injected(&format!("{maps}---\n{}", workload("Deployment", "apps/v1", "web")), "").text;
    assert!(other.starts_with(maps), "{other}");
    let again = injected(&format!("{maps}---\n{}", workload("Deployment", "apps/v1", "shop")), "").text;
    assert_eq!(again, first);
}

#[test]
fn an_object_without_a_name_of_its_own_needs_one_for_its_config_maps() {
    let job = workload("Job", "batch/v1", "x").replace("  name: x\n", "  generateName: run-\n");
    let fault = refused(&job, "");
    assert!(fault.contains("Job/run-: ") && fault.contains("--name"), "{fault}");
    let done = inject(&job, "m.yaml", &sidecar(""), Some("run")).unwrap();
    assert_eq!(mounted(&done.text), ["run-config", "run-policies"]);
    let fault = refused(&workload("Deployment", "apps/v1", "\"${APP}\""), "");
    assert!(fault.contains("metadata.name \"${APP}\"") && fault.contains("lower-case"), "{fault}");
}
