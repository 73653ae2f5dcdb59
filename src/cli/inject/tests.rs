//! Manifests in, manifests out.

mod config_maps;
mod kinds;
mod server;

use super::manifest::{Injected, Remark, inject};
use super::node::Node;
use super::sidecar::Sidecar;
use super::{read, write};
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: super::Args,
}

fn sidecar(flags: &str) -> Sidecar {
    let command = format!("inject -f - {flags}");
    super::sidecar(Cli::try_parse_from(command.split_whitespace()).unwrap().args).unwrap()
}

/// Injects with flags; the result must not change when that is done again.
fn injected(text: &str, flags: &str) -> Injected {
    let sidecar = sidecar(flags);
    let once = inject(text, "m.yaml", &sidecar, None).unwrap();
    let twice = inject(&once.text, "m.yaml", &sidecar, None).unwrap();
    assert_eq!((&once.text, &once.objects), (&twice.text, &twice.objects), "injecting twice");
    assert_eq!((warnings(&once), left_out(&once)), (warnings(&twice), left_out(&twice)), "injecting twice");
    once
}

/// What the pods may suffer from.
fn warnings(done: &Injected) -> Vec<&str> {
    done.remarks.iter().filter_map(|each| if let Remark::Warning(text) = each { Some(&**text) } else { None }).collect()
}

/// Why pods have no sidecar.
fn left_out(done: &Injected) -> Vec<&str> {
    done.remarks.iter().filter_map(|each| if let Remark::LeftOut(text) = each { Some(&**text) } else { None }).collect()
}

/// What was changed besides.
fn notes(done: &Injected) -> Vec<&str> {
    done.remarks.iter().filter_map(|each| if let Remark::Note(text) = each { Some(&**text) } else { None }).collect()
}

/// The objects of a text, those of its lists too.
fn objects(text: &str) -> Vec<Node> {
    let mut found = Vec::new();
    for document in text.split("\n---\n").filter_map(|part| read::document(part).unwrap()) {
        let items: Vec<Node> = document.items("items").cloned().collect();
        found.extend(if items.is_empty() { vec![document] } else { items });
    }
    found
}

fn refused(text: &str, flags: &str) -> String {
    inject(text, "m.yaml", &sidecar(flags), None).unwrap_err()
}

fn round_trip(text: &str) -> String {
    let node = read::document(text).unwrap().unwrap();
    let written = write::document(&node);
    let again = read::document(&written).unwrap().unwrap();
    assert_eq!(write::document(&again), written, "written twice");
    written
}

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shop\nspec:\n  containers:\n  - name: app\n    image: shop:1\n";

#[test]
fn scalars_mean_what_they_meant_in_every_version_of_yaml() {
    for word in
        ["yes", "No", "on", "off", "y", "1e3", "0x1F", "0644", "0o17", "1_000", "12:30:45", "2001-01-01", "~", "null"]
    {
        assert_eq!(round_trip(&format!("a: {word}\n")), format!("a: {word}\n"));
        assert_eq!(round_trip(&format!("a: \"{word}\"\n")), format!("a: \"{word}\"\n"));
        assert_eq!(round_trip(&format!("a: '{word}'\n")), format!("a: \"{word}\"\n"));
    }
    assert_eq!(round_trip("b: 'safe/text-1.x:2'\na: \"t\"\n"), "b: safe/text-1.x:2\na: t\n");
    assert_eq!(round_trip("a: !!str 1\nb: !!int \"2\"\n"), "a: \"1\"\nb: 2\n");
}

#[test]
fn structure_and_text_survive() {
    assert_eq!(round_trip("{b: [1, [2, {c: d}], []], a: {}}"), "b:\n- 1\n- - 2\n  - c: d\n- []\na: {}\n");
    let script = "run: |\n  set -e\n\n    deep # no comment\n  --- no end\nkeep: |+\n  a\n\nclip: >-\n  one\n  two\n";
    let written = round_trip(script);
    assert!(
        written.starts_with("run: |\n  set -e\n\n    deep # no comment\n  --- no end\nkeep: |+\n  a\n\n"),
        "{written}"
    );
    assert!(written.ends_with("clip: \"one two\"\n"), "{written}");
    assert_eq!(round_trip("a: \"\\u0007 \\u2028\\t\\\"\\\\é\"\n"), "a: \"\\U00000007 \\U00002028\\t\\\"\\\\é\"\n");
    assert_eq!(round_trip("a: \" x\\n\"\n? \"k\\nl\"\n: 1\n"), "a: \" x\\n\"\n\"k\\nl\": 1\n");
    assert_eq!(
        round_trip("a: &x {k: 1}\nb: *x\nc: {<<: [*x, {k: 2, l: 3}], m: 4}\n"),
        "a:\n  k: 1\nb:\n  k: 1\nc:\n  m: 4\n  k: 1\n  l: 3\n"
    );
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    for (text, place, word) in [
        ("a: [1\nb: 2\n", "m.yaml:2:2: ", "':'"),
        ("a: 1\n---\nb: 1\nc: {}\nb: 2\n", "m.yaml:5:1: ", "`b` stands twice"),
        ("a: *nobody\n", "m.yaml:1:4: ", "anchor"),
        ("a:\n\tb: 1\n", "m.yaml:2:", "tab"),
        ("a: !Ref x\n", "m.yaml:1:", "`Ref` is not understood"),
        ("? [a]\n: 1\n", "m.yaml:1:", "not a scalar"),
        ("<<: 1\n", "m.yaml:1:5: ", "takes a map"),
        ("a: 1\n...\nb: 2\n", "m.yaml:3:", ""),
    ] {
        let fault = refused(text, "");
        assert!(fault.starts_with(place) && fault.contains(word), "{text:?}: {fault}");
    }
    assert!(refused(&"[".repeat(1000), "").contains("recursion limit"));
    assert!(refused(&format!("{}{}", "[".repeat(150), "]".repeat(150)), "").contains("nested deeper"));
    let bomb: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    assert!(refused(&format!("a0: &a0 1\n{bomb}"), "").contains("too large"));
}

#[test]
fn what_would_take_for_ever_or_all_memory_is_refused_or_read_at_once() {
    let text = |n: usize| "x".repeat(n);
    let copies = format!("a: &a {}\nb: [{}]\n", text(1 << 20), "*a, ".repeat(1000));
    assert!(refused(&copies, "").contains("m.yaml:2:") && refused(&copies, "").contains("too large"));
    let deep = |n: usize| format!("a{n}: &a{n} {}*a{}{}\n", "[".repeat(50), n - 1, "]".repeat(50));
    let chain: String = (1..40).map(deep).collect();
    let fault = refused(&format!("a0: &a0 1\n{chain}"), "");
    assert!(fault.starts_with("m.yaml:4:") && fault.contains("nested deeper than 128, aliases"), "{fault}");
    // As many keys as a cluster would not take either; and a definition of a large resource is nothing special.
    let keys: String = (0..20_000).map(|n| format!("k{n}: 1\n")).collect();
    assert_eq!(injected(&keys, "").text, keys);
    let merges = format!("a: &a\n{}b: {{<<: [{}]}}\n", keys.replace('k', "  k"), "*a, ".repeat(5));
    assert_eq!(injected(&merges, "").text, merges);
    let nested = (0..60).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect::<String>();
    let leaves: String = (0..20_000).map(|n| format!("{}l{n}: x\n", " ".repeat(60))).collect();
    assert_eq!(injected(&format!("{nested}{leaves}"), "").objects, [""; 0]);
}

#[test]
fn other_documents_stay_letter_for_letter() {
    let service = "# A service\nkind:   Service  # ours\napiVersion: v1\nspec: {x: yes}\n";
    let text = format!("{service}--- # two\n# Source: pod.yaml\n{POD}---\n\n---\n{service}");
    let done = injected(&text, "");
    assert!(done.text.starts_with(&format!("{service}---\napiVersion: v1\nkind: ConfigMap\n")), "{}", done.text);
    assert!(done.text.ends_with(&format!("---\n\n---\n{service}")), "{}", done.text);
    assert!(done.text.contains("---\n# Source: pod.yaml\napiVersion: v1\nkind: Pod\n"), "{}", done.text);
    assert_eq!(injected("", "").text, "");
}

#[test]
fn flags_say_what_is_injected() {
    let native = injected(POD, "").text;
    assert!(
        native.contains("  initContainers:\n  - name: inferneo\n") && native.contains("restartPolicy: Always"),
        "{native}"
    );
    assert!(
        native.contains("name: shop-inferneo-pod-config\n") && native.contains("inferneo.io/injected: \"0.1.0\""),
        "{native}"
    );
    let plain = injected(POD, "--plain --upstream http://127.0.0.1:3000 --image r/i@sha256:0 --admin-port 9191").text;
    assert!(!plain.contains("initContainers") && !plain.contains("restartPolicy"), "{plain}");
    for word in
        ["image: r/i@sha256:0", "upstream = \"http://127.0.0.1:3000\"", "admin_listen = \"0.0.0.0:9191\"", "port: 9191"]
    {
        assert!(plain.contains(word), "{word}: {plain}");
    }
    assert!(!plain.contains("[[model]]"), "{plain}");
    let gpu = injected(
        POD,
        "--gpu nvidia.com/mig-1g.10gb=2 --runtime-class nvidia --models-image r/m:1 --model a=/models/a,/models/b",
    )
    .text;
    for word in [
        "nvidia.com/mig-1g.10gb: 2",
        "-cuda",
        "runtimeClassName: nvidia",
        "reference: r/m:1",
        "device = \"cuda\"",
        "key: nvidia.com/gpu",
    ] {
        assert!(gpu.contains(word), "{word}: {gpu}");
    }
    assert!(gpu.contains("name = \"a\"\n") && gpu.contains("name = \"b\"\n    path = \"/models/b\""), "{gpu}");
    for bad in [
        "--gpu nvidia.com/gpu",
        "--gpu x=0",
        "--upstream ftp://x",
        "--requests cpu",
        "--models-claim a --models-image b",
        "--runtime-class r",
    ] {
        let command = format!("inject -f - {bad}");
        assert!(Cli::try_parse_from(command.split_whitespace()).is_err(), "{bad}");
    }
}

#[test]
fn names_are_names() {
    let taken = |flags: &str| Cli::try_parse_from(format!("inject -f - {flags}").split_whitespace()).is_ok();
    let long = |length: usize| format!("--name {}", "n".repeat(length));
    assert!(taken(&long(54)) && taken("--name shop.eu-1") && taken("--policies-config-map a-b"));
    for bad in [&*long(55), "--name Shop", "--name -", "--name a..b", "--policies-config-map a_b"] {
        assert!(!taken(bad), "{bad}");
    }
}

#[test]
fn other_flags_replace_what_an_earlier_injection_added() {
    let first = injected(POD, "--models-claim old").text;
    let second = inject(&first, "m.yaml", &sidecar("--plain --model n=/models/n"), None).unwrap().text;
    assert_eq!(second, injected(POD, "--plain --model n=/models/n").text);
}

#[test]
fn a_checksum_of_the_pod_s_own_stays() {
    let annotated = POD.replace("spec:\n", "  annotations: {checksum/config: theirs}\nspec:\n");
    let done = injected(&annotated, "").text;
    let sum = format!("    inferneo.io/config-checksum: {}\n", sidecar("").checksum());
    assert!(done.contains("    checksum/config: theirs\n") && done.matches("checksum/config").count() == 1, "{done}");
    assert!(done.matches("/config-checksum").count() == 1 && done.replace('"', "").contains(&sum), "{done}");
}

#[test]
fn ports_on_the_node_are_worth_a_warning() {
    for (value, warned) in [("true", true), ("yes", true), ("false", false), ("~", false), ("\"true\"", false)] {
        let done = injected(&format!("{POD}  hostNetwork: {value}\n"), "--admin-port 9191");
        let warnings = warnings(&done);
        assert_eq!(warnings.len(), usize::from(warned), "{value}: {warnings:?}");
        let words = ["Pod/shop: ", "hostNetwork", "9191", "8080"];
        assert!(warnings.iter().all(|each| words.iter().all(|word| each.contains(word))), "{warnings:?}");
    }
    assert!(injected(POD, "--policies-config-map p").remarks.is_empty());
    assert!(injected(&format!("{POD}  os: {{name: linux}}\n"), "").remarks.is_empty());
}

#[test]
fn a_pod_without_room_is_refused() {
    for (line, flags, word) in [
        ("  - name: inferneo\n", "", "already has a container named inferneo"),
        ("  volumes: [{name: inferneo-tmp}]\n", "", "already has a volume named inferneo-tmp"),
        ("    ports: [{containerPort: 8080}]\n", "", "app uses port 8080"),
        ("    ports: [{containerPort: 9000}]\n", "--admin-port 9000", "app uses port 9000"),
        ("  terminationGracePeriodSeconds: 10\n", "", "(10) is too short for the sidecar to drain: at least 40"),
        ("  initContainers: 7\n", "", "`initContainers` is not a list"),
        ("  os: {name: windows}\n", "", "runs on Windows (os.name)"),
        ("  nodeSelector: {kubernetes.io/os: windows}\n", "", "runs on Windows (nodeSelector)"),
        ("    ports: [{containerPort: 9090, protocol: UDP}, {containerPort: 9090, protocol: TCP}]\n", "", "port 9090"),
    ] {
        let fault = refused(&format!("{POD}{line}"), flags);
        assert!(fault.starts_with("m.yaml:1:1: Pod/shop: ") && fault.contains(word), "{fault}");
    }
    let job =
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [{name: a}]}}}\n";
    assert!(refused(job, "--plain").contains("never complete"));
    assert!(refused(&POD.replace("name: shop", "generateName: shop-"), "").contains("--name"));
    assert!(refused("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n", "").contains("no containers"));
    let kept = injected(&format!("{POD}  terminationGracePeriodSeconds: 90\n"), "").text;
    assert!(kept.contains("Seconds: 90") && !kept.contains("Seconds: 60"), "{kept}");
}

#[test]
fn a_port_of_another_protocol_is_another_port() {
    for protocol in ["UDP", "SCTP"] {
        let ports = format!(
            "    ports: [{{containerPort: 9090, protocol: {protocol}}}, {{containerPort: 8080, protocol: {protocol}}}]\n"
        );
        let done = injected(&format!("{POD}{ports}"), "");
        assert_eq!(done.objects, ["Pod/shop"]);
        assert!(done.text.contains(&format!("protocol: {protocol}\n")), "{}", done.text);
        // And on the ports that others have.
        assert_eq!(injected(&format!("{POD}{ports}"), "--data-port 9090 --admin-port 8080").objects, ["Pod/shop"]);
    }
}
