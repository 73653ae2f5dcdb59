//! The sidecar put into a pod template.
//!
//! Decides what stands in its way, and what of an earlier injection goes. What the pod says besides stays.

use super::node::{Node, map, plain, text};
use super::sidecar::{
    CHECKSUM, DEFAULT_GRACE, GRACE, LEAST_GRACE, MARK, NAME, Sidecar, VERSION, VOLUMES, gpu_toleration,
};
use super::write;

/// Injects into `pod`, which has `metadata` and `spec`; `instance` names the ConfigMaps. Injecting twice is
/// injecting once. Returns what it changed besides.
///
/// # Errors
/// A sentence that says what stands in the way.
pub(super) fn inject(pod: &mut Node, sidecar: &Sidecar, instance: &str) -> Result<Option<String>, String> {
    if is_marked(pod) {
        remove(pod.entry("spec")?)?;
    }
    let annotations = pod.entry("metadata")?.entry("annotations")?;
    *annotations.entry(CHECKSUM)? = text(sidecar.checksum());
    *annotations.entry(MARK)? = text(VERSION);
    let spec = pod.entry("spec")?;
    look_for_room(spec, sidecar)?;
    let list = if sidecar.plain { "containers" } else { "initContainers" };
    spec.list(list)?.push(sidecar.container());
    spec.list("volumes")?.extend(sidecar.volumes(instance));
    let note = grant_time(spec)?;
    if let Node::Map(entries) = spec {
        // Of an earlier injection, where this one needs none.
        entries.retain(|(key, value)| key.as_str() != Some("initContainers") || *value != Node::List(Vec::new()));
    }
    schedule(spec, sidecar)?;
    Ok(note)
}

/// The ConfigMap that an earlier injection mounted as `volume`.
pub(super) fn mounted<'p>(pod: &'p Node, volume: &str) -> Option<&'p str> {
    let spec = pod.get("spec").filter(|_| is_marked(pod))?;
    let volume = spec.items("volumes").find(|each| each.str_at("name") == volume)?;
    volume.get("configMap")?.get("name")?.as_str()
}

/// Whether it bears the mark of an injection, or is a ConfigMap that came with one.
pub(super) fn is_marked(object: &Node) -> bool {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.is_some_and(|annotations| annotations.get(MARK).is_some())
}

/// What is worth knowing of the pod, though nothing stands in the way.
pub(super) fn warning(pod: &Node, sidecar: &Sidecar) -> Option<String> {
    let host_network = pod.get("spec")?.get("hostNetwork")?;
    host_network.is_true().then(|| {
        format!(
            "with hostNetwork the sidecar's ports are the node's: {}, with metrics and no login, is open to whoever \
             reaches it, and {} to its loopback. Other programs may have them: --admin-port and --data-port take others",
            sidecar.admin_port, sidecar.data_port
        )
    })
}

/// Takes an earlier sidecar out. A list keeps its place, also when nothing is left in it.
fn remove(spec: &mut Node) -> Result<(), String> {
    for (key, names) in [("initContainers", &[NAME][..]), ("containers", &[NAME]), ("volumes", &VOLUMES)] {
        if spec.get(key).is_some() {
            spec.list(key)?.retain(|item| !names.contains(&item.str_at("name")));
        }
    }
    Ok(())
}

/// Fails where the pod has no room for the sidecar: its operating system, its name, its volumes, or its ports.
fn look_for_room(spec: &Node, sidecar: &Sidecar) -> Result<(), String> {
    if spec.items("containers").next().is_none() {
        return Err("the pod has no containers".to_owned());
    }
    let selected = spec.get("nodeSelector").map_or("", |selector| selector.str_at("kubernetes.io/os"));
    for (place, system) in [("os.name", spec.get("os").map_or("", |os| os.str_at("name"))), ("nodeSelector", selected)]
    {
        if system == "windows" {
            return Err(format!("the pod runs on Windows ({place}), and the sidecar on Linux alone"));
        }
    }
    for container in spec.items("initContainers").chain(spec.items("containers")) {
        let name = container.str_at("name");
        if name == NAME {
            return Err(format!("the pod already has a container named {NAME} that this command did not add"));
        }
        // The same number of UDP or SCTP is another port.
        let is_other =
            |port: &&Node| ["UDP", "SCTP"].iter().any(|other| port.str_at("protocol").eq_ignore_ascii_case(other));
        let of_tcp = container.items("ports").filter(|port| !is_other(port));
        for port in of_tcp.map(|port| port.str_at("containerPort")) {
            if [sidecar.data_port, sidecar.admin_port].iter().any(|own| port == own.to_string()) {
                let mend = "--data-port and --admin-port take others";
                return Err(format!("the container {name} uses port {port}, and so does the sidecar; {mend}"));
            }
        }
    }
    if let Some(volume) = spec.items("volumes").find(|volume| VOLUMES.contains(&volume.str_at("name"))) {
        return Err(format!(
            "the pod already has a volume named {} that this command did not add",
            volume.str_at("name")
        ));
    }
    Ok(())
}

/// Gives the pod the time to drain, where it does not say how much it has. What an API server fills in counts as
/// not said: which of the two it was is not known from the manifest.
fn grant_time(spec: &mut Node) -> Result<Option<String>, String> {
    const KEY: &str = "terminationGracePeriodSeconds";
    let seconds = spec.str_at(KEY).parse::<u32>();
    let note = match seconds {
        Ok(DEFAULT_GRACE) => Some(format!(
            "{KEY} of the pod is raised from {DEFAULT_GRACE}, which is what an API server fills in, to {GRACE}, so that \
             the sidecar can drain"
        )),
        Ok(seconds) if seconds < LEAST_GRACE => {
            return Err(format!(
                "{KEY} of the pod ({seconds}) is too short for the sidecar to drain: at least {LEAST_GRACE}"
            ));
        }
        _ => None,
    };
    if note.is_some() || spec.get(KEY).is_none_or(Node::is_null) {
        *spec.entry(KEY)? = plain(GRACE);
    }
    Ok(note)
}

/// What a GPU asks of the whole pod.
fn schedule(spec: &mut Node, sidecar: &Sidecar) -> Result<(), String> {
    let Some(gpu) = &sidecar.gpu else { return Ok(()) };
    let tolerations = spec.list("tolerations")?;
    let wanted = gpu_toleration();
    // By what is written: of two equal scalars one may be in quotes.
    if !tolerations.iter().any(|toleration| write::document(toleration) == write::document(&wanted)) {
        tolerations.push(wanted);
    }
    if let Some(class) = gpu.runtime_class.as_ref().filter(|_| spec.str_at("runtimeClassName").is_empty()) {
        *spec.entry("runtimeClassName")? = text(class);
    }
    Ok(())
}

/// The ConfigMap `name` with these data, with `namespace` where the pod has one.
pub(super) fn config_map(name: String, namespace: Option<&Node>, data: Node) -> Node {
    let labels = [("app.kubernetes.io/name", text(NAME)), ("app.kubernetes.io/managed-by", text("inferneo-inject"))];
    let mut metadata =
        map([("name", text(name)), ("labels", map(labels)), ("annotations", map([(MARK, text(VERSION))]))]);
    if let (Node::Map(entries), Some(namespace)) = (&mut metadata, namespace) {
        entries.insert(1, (text("namespace"), namespace.clone()));
    }
    map([("apiVersion", text("v1")), ("kind", text("ConfigMap")), ("metadata", metadata), ("data", data)])
}
