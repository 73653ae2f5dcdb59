//! Which objects run pods, and where their pod templates are.
//!
//! Decides what is injected, what is left alone without a word because it runs no pods, and what may run pods and is
//! left alone all the same, with the reason.

use super::node::Node;

/// What an object is: its own words, or those of the typed list that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) api_version: String,
    pub(super) kind: String,
}

/// The pods of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pods {
    /// It runs none.
    None,
    /// Their template, or the pod itself, is at this path.
    Template(&'static [&'static str]),
    /// It is a list of other objects.
    List,
    /// Another object makes it, of this kind and name, and what is injected into that comes here.
    Owned(String, String),
    /// It may run pods, and this is why they get no sidecar.
    LeftOut(String),
}

/// Parts of an object that say nothing of what it runs.
const ASIDE: [&str; 2] = ["metadata", "status"];

/// API groups whose objects hold patterns, schemas or figures of pods, and run none.
const ABOUT_PODS: [&str; 6] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "constraints.gatekeeper.sh",
    "kyverno.io",
    "metrics.k8s.io",
    "policies.kyverno.io",
];

impl Type {
    /// The type of `object`, which may stand in the list `list`: an API server leaves the types of the items of a
    /// typed list to the list.
    pub(super) fn of(object: &Node, list: Option<&Type>) -> Self {
        let own = |key: &str| object.get(key).filter(|value| !value.is_null()).and_then(Node::as_str);
        let list = list.filter(|list| list.kind != "List");
        let item = list.and_then(|list| list.kind.strip_suffix("List"));
        Self {
            api_version: own("apiVersion").or(list.map(|list| &*list.api_version)).unwrap_or_default().to_owned(),
            kind: own("kind").or(item).unwrap_or_default().to_owned(),
        }
    }

    /// The API group; empty for the core.
    fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is a ConfigMap.
    pub(super) fn is_config_map(&self) -> bool {
        (self.group(), &*self.kind) == ("", "ConfigMap")
    }

    /// Where an object of this type has its pod template.
    fn template(&self) -> Option<&'static [&'static str]> {
        match (self.group(), &*self.kind) {
            ("", "Pod") => Some(&[]),
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "ReplicationController")
            | ("argoproj.io", "Rollout")
            // Before OpenShift had groups it was in the core.
            | ("" | "apps.openshift.io", "DeploymentConfig") => Some(&["spec", "template"]),
            ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
            _ => None,
        }
    }
}

impl Type {
    /// The pod template of `object`, which is of this type, or the pod itself.
    pub(super) fn pod<'o>(&self, object: &'o Node) -> Option<&'o Node> {
        self.template()?.iter().try_fold(object, |node, key| node.get(key))
    }

    /// What to know of the sidecar, a `native` one or one more container, in the pods of such an object.
    pub(super) fn note(&self, native: bool) -> Option<String> {
        match self.kind.as_str() {
            "ReplicaSet" | "ReplicationController" => {
                Some("the pods that it runs already stay as they are: the sidecar comes with new ones".to_owned())
            }
            "Rollout" | "DeploymentConfig" if native => Some(format!(
                "the sidecar is a native one, an init container with restartPolicy and probes, which older controllers of \
                 a {} do not take; --plain adds one more container instead",
                self.kind
            )),
            _ => None,
        }
    }
}

/// Finds the pods of an object of type `of`.
pub(super) fn pods(object: &Node, of: &Type) -> Pods {
    if of.kind.ends_with("List") && matches!(object.get("items"), Some(Node::List(_))) {
        return Pods::List;
    }
    if let Some(path) = of.template() {
        return owner(object).or_else(|| reference(object, of)).unwrap_or(Pods::Template(path));
    }
    let runs_none = ABOUT_PODS.contains(&of.group()) || (of.group(), &*of.kind) == ("apps", "ControllerRevision");
    if runs_none {
        return Pods::None;
    }
    if (of.group(), &*of.kind) == ("serving.kserve.io", "InferenceService") {
        return Pods::LeftOut("KServe makes its pods, from its runtimes; inferneo can be one of them".to_owned());
    }
    let Node::Map(entries) = object else { return Pods::None };
    let parts = entries.iter().filter_map(|(key, value)| Some((key.as_str()?, value)));
    let found = parts.filter(|(key, _)| !ASIDE.contains(key)).find_map(|(key, value)| containers(value, key));
    found.map_or(Pods::None, |place| Pods::LeftOut(unknown(of, &place)))
}

/// Why an object with containers at `place` has none to inject into.
fn unknown(of: &Type, place: &str) -> String {
    let version = if of.api_version.is_empty() { "without apiVersion" } else { &of.api_version };
    format!("{} ({version}) is not a kind known here, though it has containers at `{place}`", of.kind)
}

/// The object that makes this one, where it is of a kind that is injected itself.
fn owner(object: &Node) -> Option<Pods> {
    let owner = object
        .get("metadata")?
        .items("ownerReferences")
        .find(|each| each.get("controller").is_some_and(Node::is_true) && Type::of(each, None).template().is_some())?;
    Some(Pods::Owned(owner.str_at("kind").to_owned(), owner.str_at("name").to_owned()))
}

/// Why a Rollout that borrows its pod template has none to inject into.
fn reference(object: &Node, of: &Type) -> Option<Pods> {
    let spec = object.get("spec").filter(|_| of.kind == "Rollout")?;
    let borrowed = spec.get("workloadRef").filter(|value| !value.is_null())?;
    if spec.get("template").is_some_and(|template| !template.is_null()) {
        return None;
    }
    let (kind, name) = (borrowed.str_at("kind"), borrowed.str_at("name"));
    Some(Pods::LeftOut(format!(
        "it has no pod template: its pods are those of {kind}/{name} (spec.workloadRef), so inject into that"
    )))
}

/// Where in `node`, which is at `place`, are containers of a pod.
fn containers(node: &Node, place: &str) -> Option<String> {
    let is_container = |node: &Node| !node.str_at("image").is_empty();
    let is_named = |node: &Node| is_container(node) || !node.str_at("name").is_empty();
    match node {
        Node::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| containers(item, &format!("{place}[{index}]")))
        }
        Node::Map(entries) => entries.iter().find_map(|(key, value)| {
            let key = key.as_str().unwrap_or_default();
            let found = match (key, value) {
                ("containers", Node::List(items)) => items.iter().any(is_named),
                ("initContainers" | "steps", Node::List(items)) => items.iter().any(is_container),
                ("container" | "script", value) => is_container(value),
                _ => false,
            };
            let below = format!("{place}.{key}");
            if found { Some(below) } else { containers(value, &below) }
        }),
        Node::Plain(_) | Node::Text(_) => None,
    }
}
