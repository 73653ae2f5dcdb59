//! The sidecar: its container, volumes and configuration.
//!
//! The same as the library chart's `inferneo.sidecar`, with its default values; `tests/helm/test_inject.py`
//! holds the two equal. Knows nothing of the pod that it goes into.

use super::node::{Node, map, plain, text};
use crate::config::name_and_folder;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The sidecar's container.
pub(super) const NAME: &str = "inferneo";
/// The version that is injected, in pods and beside their ConfigMaps: what bears it is ours to replace.
pub(super) const MARK: &str = "inferneo.io/injected";
/// The configuration's checksum, in a pod whose own `checksum/config` is somebody else's.
pub(super) const CHECKSUM: &str = "inferneo.io/config-checksum";
/// This program's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Seconds that new requests are still accepted after SIGTERM, and that waiting ones may take after that.
const DRAIN: [u32; 2] = [5, 30];
/// Seconds that a pod is given to end.
pub(super) const GRACE: u32 = 60;
/// The least of them: the drain, and a last batch.
pub(super) const LEAST_GRACE: u32 = DRAIN[0] + DRAIN[1] + 5;
/// Seconds that an API server fills in where a manifest names none.
pub(super) const DEFAULT_GRACE: u32 = 30;
/// Looks at a sidecar that loads its models, one every two seconds.
const STARTUP_LOOKS: u32 = 300;
/// The sidecar's volumes, by what they hold.
pub(super) const CONFIG: &str = "inferneo-config";
pub(super) const POLICIES: &str = "inferneo-policies";
const TMP: &str = "inferneo-tmp";
const MODELS: &str = "inferneo-models";
/// All of them.
pub(super) const VOLUMES: [&str; 4] = [CONFIG, POLICIES, TMP, MODELS];

/// Where the models come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Models {
    /// They are in the image.
    Image,
    Claim(String),
    /// An image that holds nothing else.
    Volume(String),
    HostPath(String),
}

/// GPUs to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) resource: String,
    pub(super) count: u32,
    pub(super) runtime_class: Option<String>,
}

/// What is injected.
#[derive(Debug, Clone)]
pub(super) struct Sidecar {
    /// The image; this version's where none is named.
    pub(super) image: Option<String>,
    pub(super) pull_policy: String,
    /// `[NAME=]PATH`, the path one in the container.
    pub(super) models: Vec<String>,
    pub(super) source: Models,
    pub(super) upstream: Option<String>,
    pub(super) data_port: u16,
    pub(super) admin_port: u16,
    pub(super) gpu: Option<Gpu>,
    /// Names and quantities, in their order.
    pub(super) requests: Vec<(String, String)>,
    pub(super) limits: Vec<(String, String)>,
    /// A ConfigMap of policies that is there already.
    pub(super) policies: Option<String>,
    /// One more container instead of a native sidecar.
    pub(super) plain: bool,
}

impl Sidecar {
    /// The text of inferneo.toml: keys in alphabetical order, tables last.
    pub(super) fn config(&self) -> String {
        let mut keys = vec![
            ("admin_listen", format!("0.0.0.0:{}", self.admin_port)),
            ("device", self.gpu.as_ref().map_or("cpu", |_| "cuda").to_owned()),
            ("drain_delay", format!("{}s", DRAIN[0])),
            ("drain_timeout", format!("{}s", DRAIN[1])),
            ("listen", format!("127.0.0.1:{}", self.data_port)),
            ("log_format", "json".to_owned()),
            ("log_level", "info".to_owned()),
            ("policies", "/etc/inferneo/policies".to_owned()),
        ];
        keys.extend(self.upstream.iter().map(|url| ("upstream", url.clone())));
        let mut toml: Vec<String> = keys.into_iter().map(|(key, value)| assignment(key, &value)).collect();
        for model in &self.models {
            let (name, path) = name_and_folder(model);
            toml.extend([String::new(), "[[model]]".to_owned()]);
            toml.extend([assignment("name", name), assignment("path", path)]);
        }
        toml.join("\n")
    }

    /// What a change of turns the pods over: the configuration, and not the policies.
    pub(super) fn checksum(&self) -> String {
        Sha256::digest(self.config()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The container, in a form for the list it goes into.
    pub(super) fn container(&self) -> Node {
        let args = ["serve", "--config", "/etc/inferneo/config/inferneo.toml"];
        let mut entries = vec![
            ("name", text(NAME)),
            ("image", text(self.image())),
            ("imagePullPolicy", text(&self.pull_policy)),
            ("args", Node::List(args.map(text).into())),
        ];
        if self.gpu.is_some() {
            let driver = [("name", text("NVIDIA_DRIVER_CAPABILITIES")), ("value", text("compute,utility"))];
            entries.push(("env", Node::List(vec![map(driver)])));
        }
        let port =
            [("name", text("inferneo-admin")), ("containerPort", plain(self.admin_port)), ("protocol", text("TCP"))];
        entries.push(("ports", Node::List(vec![map(port)])));
        entries.extend([
            ("startupProbe", self.probe("/readyz", [2, 2, STARTUP_LOOKS])),
            ("readinessProbe", self.probe("/readyz", [5, 2, 2])),
            ("livenessProbe", self.probe("/livez", [10, 5, 3])),
            ("resources", self.resources()),
            ("securityContext", security()),
            ("volumeMounts", self.mounts()),
        ]);
        if !self.plain {
            entries.push(("restartPolicy", text("Always")));
        }
        Node::Map(entries.into_iter().map(|(key, value)| (text(key), value)).collect())
    }

    /// The volumes that the container mounts; `instance` names the ConfigMaps.
    pub(super) fn volumes(&self, instance: &str) -> Vec<Node> {
        let policies = self.policies.clone().unwrap_or_else(|| policies_name(instance));
        let volume = |name: &str, key: &str, source: Node| map([("name", text(name)), (key, source)]);
        let mut volumes = vec![
            volume(CONFIG, "configMap", map([("name", text(config_name(instance)))])),
            volume(POLICIES, "configMap", map([("name", text(policies))])),
            volume(TMP, "emptyDir", map([("sizeLimit", text("64Mi"))])),
        ];
        volumes.extend(match &self.source {
            Models::Image => None,
            Models::Claim(name) => Some(volume(MODELS, "persistentVolumeClaim", map([("claimName", text(name))]))),
            Models::Volume(image) => {
                let source = [("reference", text(image)), ("pullPolicy", text(&self.pull_policy))];
                Some(volume(MODELS, "image", map(source)))
            }
            Models::HostPath(path) => {
                Some(volume(MODELS, "hostPath", map([("path", text(path)), ("type", text("Directory"))])))
            }
        });
        volumes
    }

    fn image(&self) -> String {
        let variant = self.gpu.as_ref().map_or("", |_| "-cuda");
        self.image.clone().unwrap_or_else(|| format!("{NAME}:{VERSION}{variant}"))
    }

    /// The data plane is on loopback, out of the kubelet's reach, so the admin plane answers for it.
    fn probe(&self, path: &str, [period, timeout, failures]: [u32; 3]) -> Node {
        map([
            ("httpGet", map([("path", text(path)), ("port", plain(self.admin_port))])),
            ("periodSeconds", plain(period)),
            ("timeoutSeconds", plain(timeout)),
            ("failureThreshold", plain(failures)),
        ])
    }

    fn resources(&self) -> Node {
        let quantities =
            |list: &[(String, String)]| list.iter().map(|(name, value)| (text(name), text(value))).collect();
        let mut limits: Vec<_> = quantities(&self.limits);
        limits.extend(self.gpu.iter().map(|gpu| (text(&gpu.resource), plain(gpu.count))));
        map([("requests", Node::Map(quantities(&self.requests))), ("limits", Node::Map(limits))])
    }

    fn mounts(&self) -> Node {
        let mount =
            |name: &str, path: &str| map([("name", text(name)), ("mountPath", text(path)), ("readOnly", plain(true))]);
        let mut mounts = vec![
            mount(CONFIG, "/etc/inferneo/config"),
            mount(POLICIES, "/etc/inferneo/policies"),
            map([("name", text(TMP)), ("mountPath", text("/tmp"))]),
        ];
        if self.source != Models::Image {
            mounts.push(mount(MODELS, "/models"));
        }
        Node::List(mounts)
    }
}

/// The ConfigMap of inferneo.toml.
pub(super) fn config_name(instance: &str) -> String {
    format!("{instance}-config")
}

/// The ConfigMap of the policies.
pub(super) fn policies_name(instance: &str) -> String {
    format!("{instance}-policies")
}

/// GPU nodes usually turn away pods that do not tolerate this taint.
pub(super) fn gpu_toleration() -> Node {
    map([("key", text("nvidia.com/gpu")), ("operator", text("Exists")), ("effect", text("NoSchedule"))])
}

/// The restricted Pod Security Standard, whatever pod it is in.
fn security() -> Node {
    map([
        ("runAsNonRoot", plain(true)),
        ("runAsUser", plain(65532)),
        ("runAsGroup", plain(65532)),
        ("readOnlyRootFilesystem", plain(true)),
        ("allowPrivilegeEscalation", plain(false)),
        ("capabilities", map([("drop", Node::List(vec![text("ALL")]))])),
        ("seccompProfile", map([("type", text("RuntimeDefault"))])),
    ])
}

/// A string is the same in JSON and in TOML.
fn assignment(key: &str, value: &str) -> String {
    format!("{key} = {}", Value::from(value))
}
