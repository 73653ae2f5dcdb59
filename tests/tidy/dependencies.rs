//! Licences and sources of every dependency, against deny.toml.

use super::assert_none;
use std::path::Path;
use std::process::Command;

fn read_toml(name: &str) -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The strings of an array in deny.toml.
fn allowed(section: &str, key: &str) -> Vec<String> {
    let list = read_toml("deny.toml")[section][key].as_array().unwrap().clone();
    list.iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

#[test]
fn licences_are_allowed() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--all-features", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let allow = allowed("licenses", "allow");
    let packages: Vec<(&str, &str)> =
        tree.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('\t')).collect();
    assert!(packages.len() > 30, "{tree}");
    let mut faults: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !permits(licence, &allow))
        .map(|(package, licence)| format!("{package}: {licence:?}"))
        .collect();
    faults.sort();
    faults.dedup();
    assert_none("every licence is in deny.toml's [licenses] allow", &faults);
}

#[test]
fn sources_are_allowed() {
    let allow: Vec<_> = allowed("sources", "allow-registry").iter().map(|url| format!("registry+{url}")).collect();
    let lock = read_toml("Cargo.lock");
    let mut faults = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        match package.get("source").map(|source| source.as_str().unwrap().to_owned()) {
            None if name == "inferneo" => {}
            Some(source) if allow.contains(&source) => {}
            other => faults.push(format!("{name} comes from {other:?}")),
        }
    }
    assert_none("every package comes from deny.toml's [sources] allow-registry", &faults);
}

#[test]
fn banned_packages_are_absent() {
    let bans = read_toml("deny.toml")["bans"]["deny"].as_array().unwrap().clone();
    let lock = read_toml("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    let present = bans.iter().filter(|ban| packages.iter().any(|package| package["name"] == ban["crate"]));
    assert_none("no package of deny.toml's [bans]", &present.map(ToString::to_string).collect::<Vec<_>>());
}

/// Whether an SPDX expression can be met with allowed licences alone. `/` is an old way to write
/// OR; a `WITH` exception only adds rights, and so does the `+` of "or any later version".
fn permits(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = any(&mut rest, allow);
    met && rest.is_empty()
}

fn any(rest: &mut &[&str], allow: &[String]) -> bool {
    let mut met = all(rest, allow);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= all(rest, allow);
    }
    met
}

fn all(rest: &mut &[&str], allow: &[String]) -> bool {
    let mut met = one(rest, allow);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= one(rest, allow);
    }
    met
}

fn one(rest: &mut &[&str], allow: &[String]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = any(rest, allow);
            *rest = rest.strip_prefix(&[")"]).unwrap_or_default();
            met
        }
        [licence, "WITH", _, tail @ ..] | [licence, tail @ ..] => {
            *rest = tail;
            allow.iter().any(|allowed| *allowed == licence.trim_end_matches('+'))
        }
        [] => false,
    }
}

#[test]
fn licence_expressions() {
    let allow = ["MIT".to_owned(), "Apache-2.0".to_owned(), "Unicode-3.0".to_owned()];
    for good in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "MIT+", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(permits(good, &allow), "{good}");
    }
    assert!(permits("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &allow));
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND GPL-3.0", "MIT MIT"] {
        assert!(!permits(bad, &allow), "{bad}");
    }
}
