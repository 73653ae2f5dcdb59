//! `inferneo inject`: the filter as it is called, on files and on stdin. What it adds is compared with the
//! library chart's sidecar in `tests/helm`.

use crate::harness::{folder, program};
use std::fs;
use std::io::Write;
use std::process::Stdio;

const MANIFEST: &str = "\
apiVersion: v1
kind: Service # stays as it is
metadata:   {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  template:
    spec:
      containers:
      - name: app
        image: shop:1
        env:
        - {name: DEBUG, value: \"yes\"}
";

/// Exit code, stdout and stderr of `inferneo inject` with a text on stdin.
fn inject(flags: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut command = program();
    command.arg("inject").args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Where the file is another the program may be gone before it is all written.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

#[test]
fn a_manifest_on_stdin_and_in_a_file_gets_the_sidecar_once() {
    let (code, once, err) = inject(&["-f", "-", "--models-claim", "models"], MANIFEST);
    assert_eq!((code, &*err), (Some(0), ""));
    let (service, _) = MANIFEST.split_once("---").unwrap();
    assert!(once.starts_with(service), "{once}");
    for line in [
        "  name: shop-inferneo-config",
        "  name: shop-inferneo-policies",
        "          value: \"yes\"",
        "      - name: inferneo",
        "        image: inferneo:0.1.0",
        "        restartPolicy: Always",
        "          claimName: models",
        "        inferneo.io/injected: \"0.1.0\"",
    ] {
        assert!(once.lines().any(|each| each == line), "{line:?} is not in:\n{once}");
    }
    let dir = folder();
    let file = dir.path().join("shop.yaml");
    fs::write(&file, &once).unwrap();
    let flags = ["-f", file.to_str().unwrap(), "--models-claim", "models"];
    assert_eq!(inject(&flags, ""), (Some(0), once, String::new()));
}

/// The manifest with a line in the pod's `spec`.
fn in_pod(line: &str) -> String {
    MANIFEST.replace("      containers:\n", &format!("      {line}\n      containers:\n"))
}

#[test]
fn ports_on_the_node_are_a_warning_that_names_the_object() {
    let (code, out, err) = inject(&["-f", "-"], &in_pod("hostNetwork: true"));
    assert!(code == Some(0) && out.contains("name: inferneo\n"), "{out}");
    assert!(err.starts_with("inferneo inject: warning: Deployment/shop: with hostNetwork"), "{err}");
    assert!(err.contains("9090") && err.lines().count() == 1, "{err}");
}

/// An object of another kind that has a pod template.
const CLONE_SET: &str = "\
apiVersion: apps.kruise.io/v1alpha1
kind: CloneSet
metadata: {name: api}
spec: {template: {spec: {containers: [{name: app, image: api:1}]}}}
";

#[test]
fn an_object_that_is_left_out_is_a_warning_and_refused_where_asked() {
    let manifest = format!("{MANIFEST}---\n{CLONE_SET}");
    let (code, out, err) = inject(&["-f", "-"], &manifest);
    assert!(code == Some(0) && out.ends_with(&format!("---\n{CLONE_SET}")), "{out}");
    let told = "inferneo inject: warning: CloneSet/api: left without the sidecar: ";
    assert!(err.starts_with(told) && err.lines().count() == 1, "{err}");
    let (code, out, err) = inject(&["-f", "-", "--strict"], &manifest);
    assert_eq!((code, &*out), (Some(2), ""), "{err}");
    assert!(err.starts_with(told) && err.lines().nth(1).is_some_and(|line| line.contains("--strict")), "{err}");
    // Neither what has no pods nor a note is in the way.
    let raised = in_pod("terminationGracePeriodSeconds: 30");
    let (code, out, err) = inject(&["-f", "-", "--strict"], &raised);
    assert!(code == Some(0) && out.contains("terminationGracePeriodSeconds: 60\n"), "{out}");
    assert!(err.starts_with("inferneo inject: note: Deployment/shop: terminationGrace"), "{err}");
}

#[test]
fn a_rollout_beside_a_deployment_gets_config_maps_of_its_own() {
    let (_, deployment) = MANIFEST.split_once("---\n").unwrap();
    let rollout = deployment.replace("apps/v1", "argoproj.io/v1alpha1").replace("kind: Deployment", "kind: Rollout");
    let (code, out, err) = inject(&["-f", "-"], &format!("{deployment}---\n{rollout}"));
    assert_eq!((code, out.matches("- name: inferneo\n").count()), (Some(0), 2), "{err}");
    assert!(err.starts_with("inferneo inject: note: Rollout/shop: ") && err.lines().count() == 1, "{err}");
    assert!(inject(&["-f", "-", "--plain", "--strict"], &rollout).2.is_empty());
    for name in ["shop-inferneo-config", "shop-inferneo-rollout-config"] {
        // As a ConfigMap, and as what the pod mounts.
        assert_eq!(out.matches(&format!("name: {name}\n")).count(), 2, "{out}");
    }
}

#[test]
fn a_port_of_udp_is_not_the_sidecar_s() {
    let with = |protocol: &str| {
        let ports = format!("        ports: [{{containerPort: 9090, protocol: {protocol}}}]\n        env:\n");
        MANIFEST.replace("        env:\n", &ports)
    };
    let (code, out, err) = inject(&["-f", "-"], &with("UDP"));
    assert!(code == Some(0) && out.contains("protocol: UDP\n"), "{err}");
    assert_eq!(inject(&["-f", "-"], &with("TCP")).0, Some(2));
}

#[test]
fn what_has_no_pods_passes_through_with_a_word() {
    let (code, out, err) = inject(&["--filename=-"], "kind: Service\napiVersion: v1\n");
    assert_eq!((code, &*out), (Some(0), "kind: Service\napiVersion: v1\n"));
    assert!(err.contains("nothing to inject into"), "{err}");
}

#[test]
fn a_fault_is_exit_2_with_its_place_and_nothing_on_stdout() {
    for (flags, stdin, word) in [
        (&["-f", "-"][..], "a: 1\n---\nb: [1\nc: 2\n", "stdin:4:2: "),
        (&["-f", "-"], &MANIFEST.replace("name: app", "name: inferneo"), "stdin:4:1: Deployment/shop: "),
        (&["-f", "-"], &in_pod("os: {name: windows}"), "stdin:4:1: Deployment/shop: the pod runs on Windows"),
        (&["-f", "no/such/file.yaml"], "", "no/such/file.yaml: "),
        (&["-f", "-", "--data-port", "9090"], MANIFEST, "--data-port and --admin-port are both 9090"),
        (&["-f", "-", "--gpu", "1"], MANIFEST, "--gpu"),
        (&["-f", "-", "--name", "Shop"], MANIFEST, "--name"),
        (&[], MANIFEST, "--filename"),
    ] {
        let (code, out, err) = inject(flags, stdin);
        assert_eq!((code, &*out), (Some(2), ""), "{err}");
        assert!(err.contains(word), "{word:?} is not in:\n{err}");
    }
}

#[test]
fn flags_have_environment_forms() {
    let mut command = program();
    command.env("INFERNEO_INJECT_NAME", "").env("INFERNEO_INJECT_POLICIES_CONFIG_MAP", "");
    command.env("INFERNEO_INJECT_IMAGE", "reg/inferneo:7").env("INFERNEO_INJECT_MODELS_CLAIM", "models");
    let dir = folder();
    let file = dir.path().join("shop.yaml");
    fs::write(&file, MANIFEST).unwrap();
    let output = command.args(["inject", "-f", file.to_str().unwrap()]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("image: reg/inferneo:7\n") && out.contains("claimName: models\n"), "{out}");
    assert!(out.contains("name: shop-inferneo-policies\n"), "an empty value is none:\n{out}");
}
