//! Settings by variables of the environment.

use crate::harness::program;

#[test]
fn an_empty_value_counts_as_absent() {
    let help = String::from_utf8(program().args(["serve", "--help"]).output().unwrap().stdout).unwrap();
    let named = help.split_whitespace().filter(|word| word.starts_with("INFERNEO_"));
    let named = named.filter_map(|word| word.split('=').next());
    let empty: Vec<(&str, &str)> = named.chain(["ORT_DYLIB_PATH"]).map(|name| (name, "")).collect();
    assert!(empty.len() > 10 && empty.contains(&("INFERNEO_POLICIES", "")), "{help}");
    let served = program().arg("serve").envs(empty.clone()).output().unwrap();
    let said = String::from_utf8(served.stderr).unwrap();
    assert_eq!(served.status.code(), Some(2), "{said}");
    assert!(said.contains("there is nothing to serve"), "{said}");
    let doctor = program().arg("doctor").envs(empty).output().unwrap();
    assert_ne!(doctor.status.code(), Some(2), "{}", String::from_utf8_lossy(&doctor.stderr));
}
