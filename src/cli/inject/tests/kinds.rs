//! Which objects are injected, which are left with a word, and which without one.

use super::*;

const TEMPLATE: &str = "template: {spec: {containers: [{name: app}]}}";

fn object(api_version: &str, kind: &str, spec: &str) -> String {
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: shop}}\nspec: {{{spec}}}\n")
}

#[test]
fn every_kind_with_a_pod_template_gets_it() {
    for (api_version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("v1", "ReplicationController"),
        ("argoproj.io/v1alpha1", "Rollout"),
        ("apps.openshift.io/v1", "DeploymentConfig"),
        ("v1", "DeploymentConfig"),
    ] {
        let done = injected(&object(api_version, kind, TEMPLATE), "");
        assert_eq!((&done.objects, left_out(&done).len()), (&vec![format!("{kind}/shop")], 0));
        assert_eq!(done.text.matches("image: inferneo:").count(), 1, "{}", done.text);
    }
    for (api_version, kind, plain) in [
        ("apps/v1", "ReplicaSet", 1),
        ("argoproj.io/v1alpha1", "Rollout", 0),
        ("v1", "DeploymentConfig", 0),
        ("apps/v1", "Deployment", 0),
    ] {
        let object = object(api_version, kind, TEMPLATE);
        assert_eq!(notes(&injected(&object, "")).len(), usize::from(kind != "Deployment"), "{kind}");
        assert_eq!(notes(&injected(&object, "--plain")).len(), plain, "{kind}");
    }
    let cron = injected(&object("batch/v1", "CronJob", &format!("jobTemplate: {{spec: {{{TEMPLATE}}}}}")), "");
    assert!(cron.text.contains("\n    spec:\n      template:\n        spec:\n"), "{}", cron.text);
    assert_eq!(injected(POD, "").objects, ["Pod/shop"]);
}

#[test]
fn what_may_run_pods_and_is_left_alone_is_told_once() {
    let containers = "containers: [{image: x}]";
    let cases = [
        ("serving.knative.dev/v1", "Service", TEMPLATE.to_owned(), "spec.template.spec.containers"),
        ("batch.volcano.sh/v1", "Job", format!("tasks: [{{{TEMPLATE}}}]"), "spec.tasks[0].template.spec.containers"),
        ("serving.kserve.io/v1alpha1", "ServingRuntime", containers.to_owned(), "spec.containers"),
        ("serving.kserve.io/v1beta1", "InferenceService", "predictor: {}".to_owned(), "KServe"),
        (
            "argoproj.io/v1alpha1",
            "Workflow",
            "templates: [{container: {image: x}}]".to_owned(),
            "templates[0].container",
        ),
        ("tekton.dev/v1", "Task", "steps: [{image: x}]".to_owned(), "spec.steps"),
        ("extensions/v1beta1", "Deployment", TEMPLATE.to_owned(), "(extensions/v1beta1) is not a kind known here"),
        ("apps/v1", "deployment", TEMPLATE.to_owned(), "deployment (apps/v1)"),
        ("argoproj.io/v1alpha1", "Rollout", "workloadRef: {kind: Deployment, name: web}".to_owned(), "Deployment/web"),
    ];
    for (api_version, kind, spec, why) in cases {
        let other = object(api_version, kind, &spec);
        let done = injected(&other, "");
        assert_eq!((&done.text, done.objects.len(), done.remarks.len()), (&other, 0, 1), "{kind}");
        let told = left_out(&done)[0];
        assert!(told.starts_with(&format!("{kind}/shop: left without the sidecar: ")) && told.contains(why), "{told}");
    }
    let template = "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: t}\n";
    assert!(left_out(&injected(&format!("{template}{TEMPLATE}\n"), ""))[0].contains("`template.spec.containers`"));
    let nameless = format!("spec: {{{TEMPLATE}}}\n");
    assert!(left_out(&injected(&nameless, ""))[0].starts_with("(no kind)/: "));
    let both = object("argoproj.io/v1alpha1", "Rollout", &format!("workloadRef: null, {TEMPLATE}"));
    assert_eq!(injected(&both, "").objects, ["Rollout/shop"]);
}

#[test]
fn what_runs_no_pods_passes_without_a_word() {
    let schema = "versions: [{schema: {properties: {containers: {type: array}}, example: {containers: [{name: a}]}}}]";
    for (api_version, kind, spec) in [
        ("v1", "Service", "ports: [{name: http, port: 80}]"),
        ("v1", "Namespace", ""),
        ("v1", "Secret", ""),
        ("rbac.authorization.k8s.io/v1", "Role", ""),
        ("networking.k8s.io/v1", "Ingress", "rules: []"),
        ("networking.k8s.io/v1", "NetworkPolicy", "podSelector: {}"),
        ("policy/v1", "PodDisruptionBudget", "minAvailable: 1"),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "metrics: [{containerResource: {container: app, name: cpu}}]"),
        ("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", "resourcePolicy: {containerPolicies: [{containerName: a}]}"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", schema),
        ("kyverno.io/v1", "ClusterPolicy", "rules: [{validate: {pattern: {spec: {containers: [{name: \"*\"}]}}}}]"),
        ("apps/v1", "ControllerRevision", TEMPLATE),
        ("example.org/v1", "AllowList", "items: [a]"),
    ] {
        let other = object(api_version, kind, spec);
        let done = injected(&other, "");
        assert_eq!(done, Injected { text: other, objects: Vec::new(), remarks: Vec::new() }, "{kind}");
    }
}

#[test]
fn lists_are_entered() {
    let items: String = POD.lines().map(|line| format!("  {line}\n")).collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n-{}", &items[1..]);
    let done = injected(&list, "--policies-config-map shared");
    let kinds: Vec<_> = objects(&done.text).iter().map(|item| item.str_at("kind").to_owned()).collect();
    assert_eq!(kinds, ["ConfigMap", "Pod"]);
    assert!(done.text.contains("name: shared"), "{}", done.text);
    let empty = "apiVersion: v1\nkind: List\nitems: []\n";
    assert_eq!(injected(empty, "").text, empty);
    let odd = "apiVersion: v1\nkind: AllowList\nitems: [a, {b: c}]\n";
    assert_eq!(injected(odd, ""), Injected { text: odd.to_owned(), objects: Vec::new(), remarks: Vec::new() });
}

#[test]
fn a_list_of_one_type_gives_its_items_their_type() {
    let item = format!("{{metadata: {{name: shop}}, spec: {{{TEMPLATE}}}}}");
    let list = |api_version: &str, kind: &str| format!("apiVersion: {api_version}\nkind: {kind}\nitems: [{item}]\n");
    let done = injected(&list("apps/v1", "DeploymentList"), "");
    assert_eq!(done.objects, ["Deployment/shop"]);
    // No ConfigMap can be among its items.
    let documents: Vec<_> = done.text.split("---\n").map(|part| read::document(part).unwrap().unwrap()).collect();
    let kinds: Vec<_> = documents.iter().map(|document| document.str_at("kind")).collect();
    assert_eq!((kinds, documents[2].items("items").count()), (vec!["ConfigMap", "ConfigMap", "DeploymentList"], 1));
    let unknown = injected(&list("apps.kruise.io/v1alpha1", "CloneSetList"), "");
    assert!(left_out(&unknown)[0].starts_with("CloneSet/shop: left without the sidecar: "), "{unknown:?}");
    // A list in a list, and one whose items say themselves what they are.
    let nested = format!(
        "apiVersion: v1\nkind: List\nitems: [{{apiVersion: apps/v1, kind: DeploymentList, items: [{item}]}}]\n"
    );
    assert_eq!(injected(&nested, "").objects, ["Deployment/shop"]);
    let own = list("v1", "PodList").replace("[{metadata", "[{apiVersion: apps/v1, kind: ReplicaSet, metadata");
    assert_eq!(injected(&own, "").objects, ["ReplicaSet/shop"]);
}

#[test]
fn what_another_object_makes_is_left_to_that() {
    let owned = |kind: &str, api_version: &str, name: &str| {
        let owner = format!("{{apiVersion: {api_version}, kind: {kind}, name: {name}, controller: true}}");
        POD.replace("  name: shop\n", &format!("  name: shop-1\n  ownerReferences: [{owner}]\n"))
    };
    let pod = owned("ReplicaSet", "apps/v1", "shop");
    let alone = injected(&pod, "");
    assert_eq!((&alone.text, alone.objects.len()), (&pod, 0));
    assert!(left_out(&alone)[0].starts_with("Pod/shop-1: ") && left_out(&alone)[0].contains("ReplicaSet/shop"));
    let both = injected(&format!("{pod}---\n{}", object("apps/v1", "ReplicaSet", TEMPLATE)), "");
    assert_eq!((&both.objects, left_out(&both).len()), (&vec!["ReplicaSet/shop".to_owned()], 0));
    assert!(notes(&both)[0].contains("in the manifest too"), "{:?}", notes(&both));
    let marked = pod.replace("  name: shop-1\n", "  name: shop-1\n  annotations: {inferneo.io/injected: \"0\"}\n");
    assert!(notes(&injected(&marked, ""))[0].ends_with("it has the sidecar already"));
    // What an operator makes is as good as anything, as far as is known here.
    assert_eq!(injected(&owned("Shop", "example.org/v1", "shop"), "").objects, ["Pod/shop-1"]);
}
