//! Policies with scripts: which is found, what is told of a wrong one, and what counts as a change.

use super::{faults, source};
use crate::policy::{Override, PolicySet, Source, Strategy, Version, compile, compile_script, diff};

const CUSTOM: &str = "strategy = \"custom\"\n[custom]\nscript = \"mine.rhai\"";

fn folder(script: &str) -> Vec<Source> {
    vec![source("d/a.toml", CUSTOM), source("d/mine.rhai", script)]
}

fn set(script: &str) -> PolicySet {
    compile(&folder(script), &[], 1).unwrap()
}

#[test]
fn a_script_is_found_beside_its_policy_and_nowhere_else() {
    let set = set("segment.rows");
    assert_eq!(set.policies().len(), 2, "the script is no policy");
    assert_eq!(set.policies()[0].script.as_ref().map(|script| script.name()), Some("mine.rhai"));
    let elsewhere = faults(&[("d/a.toml", CUSTOM), ("mine.rhai", "1"), ("d/other.rhai", "1"), ("d/third.rhai", "1")]);
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].starts_with("d/a.toml:3:10: there is no `mine.rhai` beside this file"), "{elsewhere:?}");
    assert!(elsewhere[0].ends_with("= there: other.rhai, third.rhai"), "{elsewhere:?}");
    assert!(faults(&[("a.toml", CUSTOM)])[0].ends_with("= no script is there"));
}

#[test]
fn a_name_is_no_path() {
    for name in ["../x.rhai", "a/b.rhai", ".x.rhai", "x.toml", "x", "", "a\\\\b.rhai"] {
        let shown = faults(&[("a.toml", &format!("[custom]\nscript = \"{name}\""))]);
        assert!(shown[0].contains("expected the name of a script beside this file"), "{name}: {shown:?}");
    }
}

#[test]
fn custom_needs_a_script_and_others_may_have_one() {
    let shown = faults(&[("a.toml", "schema = 1\nstrategy = \"custom\"")]);
    assert!(shown[0].starts_with("a.toml:2:12: custom needs a script\n"), "{shown:?}");
    assert!(shown[0].contains("= in [custom]: script ="), "{shown:?}");
    let set = compile(&[source("a.toml", "[custom]\nscript = \"s.rhai\""), source("s.rhai", "1")], &[], 1).unwrap();
    assert!(set.policies()[0].script.is_some());
    assert_eq!(faults(&[("a.toml", "[custom]\nscript = \"s.rhai\""), ("s.rhai", "let")]).len(), 1);
    assert_eq!(compile(&[source("a.toml", ""), source("s.rhai", "let")], &[], 1).unwrap().policies().len(), 2);
}

#[test]
fn a_fault_in_a_script_is_told_once_at_its_place() {
    let script = "let wide = segment.rows;\n\twide + segment.size\n";
    let other = format!("{CUSTOM}\n[match]\nmodels = [\"m\"]");
    let shown = faults(&[("d/a.toml", CUSTOM), ("d/b.toml", &other), ("d/mine.rhai", script)]);
    assert_eq!(shown.len(), 1, "{shown:#?}");
    let lines: Vec<&str> = shown[0].lines().collect();
    assert!(lines[0].starts_with("d/mine.rhai:2:17: ") && lines[0].contains("size"), "{lines:#?}");
    assert_eq!(lines[1..3], ["  2 |     wide + segment.size", "    |                    ^"]);
    assert!(lines[3].starts_with("    = `segment` has rows, "), "{lines:#?}");
    assert_eq!(compile_script(&source("d/mine.rhai", script)).unwrap_err().to_string(), shown[0]);
    for (text, place) in [("", "mine.rhai:1:1"), ("é +", "mine.rhai:1:"), ("1 +\r\n", "mine.rhai:")] {
        let result = compile_script(&source("mine.rhai", text));
        assert!(
            result.as_ref().map_or_else(|fault| fault.to_string().starts_with(place), |_| text.is_empty()),
            "{result:?}"
        );
    }
}

#[test]
fn another_text_is_a_change_and_comments_of_the_policy_are_none() {
    let (old, new) = (set("1"), set("2"));
    assert_ne!(old.policies()[0].hash(), new.policies()[0].hash());
    assert_eq!(diff(&old, &new).to_string(), "a: custom.script has another text");
    assert!(diff(&old, &set("1")).is_empty());
    let renamed = [source("d/a.toml", &CUSTOM.replace("mine", "new")), source("d/new.rhai", "2")];
    let told = diff(&old, &compile(&renamed, &[], 2).unwrap()).to_string();
    assert_eq!(told, "a: custom.script \"mine.rhai\" → \"new.rhai\"");
}

#[test]
fn an_override_makes_a_file_custom_that_has_a_script_and_ends_with_its_text() {
    let policy = "[custom]\nscript = \"mine.rhai\"";
    let sources = |script: &str| vec![source("a.toml", policy), source("mine.rhai", script)];
    let script = compile(&sources("1"), &[], 1).unwrap().policies()[0].script.clone();
    let files = [("a.toml".to_owned(), Version { text: policy.to_owned(), script })].into();
    let over = Override { model: None, strategy: Strategy::Custom, files, builtin: false };
    let strategy =
        |script: &str| compile(&sources(script), std::slice::from_ref(&over), 1).unwrap().policies()[0].strategy;
    assert_eq!([strategy("1"), strategy("2")], [Strategy::Custom, Strategy::Adaptive]);
}

#[test]
fn an_override_cannot_make_custom_what_has_no_script() {
    let sources = [source("a.toml", "strategy = \"coalescing\"")];
    let version = Version { text: sources[0].text.clone(), script: None };
    let over = |builtin| {
        let files = [("a.toml".to_owned(), version.clone())].into();
        Override { model: None, strategy: Strategy::Custom, files, builtin }
    };
    let told = |builtin| {
        let faults = compile(&sources, &[over(builtin)], 1).unwrap_err();
        faults.iter().map(|fault| fault.to_string().lines().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let file = "a.toml:1:12: custom needs a script (an override makes the strategy custom)";
    assert_eq!(told(false), [file]);
    assert_eq!(told(true), [file, "the built-in policy: custom needs a script, and this policy has none"]);
}
