//! What the ConfigMaps of an object are called.
//!
//! Decides names that no two objects share. A Deployment's instance is `NAME-inferneo`, another kind's
//! `NAME-inferneo-KIND`; a name that has dots or is too long ends in a hash of the kind and the whole name. The last
//! word tells the three forms apart, and what stands before it is the name. Namespaces play no part: a ConfigMap
//! goes into that of its object.

use super::sidecar::NAME;
use sha2::{Digest, Sha256};

/// The longest label of DNS. A ConfigMap's name may be longer, but not everything that copies it.
const LONGEST: usize = 63;
/// The longest name that has room for `-policies` behind it.
pub(super) const LONGEST_INSTANCE: usize = LONGEST - "-policies".len();
/// The longest name of most objects.
pub(super) const LONGEST_OBJECT: usize = 253;
/// Hexadecimal digits of a hash.
const DIGITS: usize = 10;

/// Names the ConfigMaps of the object `name`.
///
/// # Errors
/// Where no object can have that name.
pub(super) fn instance(kind: &str, name: &str) -> Result<String, String> {
    check(name, LONGEST_OBJECT)
        .map_err(|fault| format!("metadata.name {name:?} is no name: {fault}; --name names its ConfigMaps"))?;
    let whole = match kind {
        "Deployment" => format!("{name}-{NAME}"),
        kind => format!("{name}-{NAME}-{}", kind.to_ascii_lowercase()),
    };
    if whole.len() <= LONGEST_INSTANCE && !name.contains('.') {
        return Ok(whole);
    }
    let hash: String = Sha256::digest(format!("{kind}/{name}")).iter().map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST_INSTANCE - NAME.len() - DIGITS - 2;
    let start: String = name.replace('.', "-").chars().take(room).collect();
    Ok(format!("{}-{NAME}-{}", start.trim_end_matches('-'), &hash[..DIGITS]))
}

/// Checks that an object can have this name, of at most `longest` characters.
///
/// # Errors
/// What is allowed.
pub(super) fn check(name: &str, longest: usize) -> Result<(), String> {
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_inner)
    };
    match name.len() <= longest && name.split('.').all(is_label) {
        true => Ok(()),
        false => Err(format!(
            "at most {longest} lower-case letters, digits, `-` and `.` are allowed, a letter or a digit at both ends \
             and around each `.`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn short_names_are_read_at_a_glance() {
        assert_eq!(instance("Deployment", "shop").unwrap(), "shop-inferneo");
        assert_eq!(instance("StatefulSet", "shop").unwrap(), "shop-inferneo-statefulset");
        assert_eq!(instance("Job", "7").unwrap(), "7-inferneo-job");
    }

    #[test]
    fn no_two_objects_share_a_name() {
        let long = "shop-production-eu-west-1-recommendations-service";
        let mut names = vec!["shop".to_owned(), long.to_owned(), "a".repeat(253), format!("{}b", "a".repeat(252))];
        names.extend(["shop-inferneo", "shop-inferneo-statefulset", "inferneo", "a.b", "a-b"].map(String::from));
        names.extend(["frontend", "backend"].map(|end| format!("{long}-{end}")));
        // Cut anywhere, also behind a `-`.
        names.extend((1..60).map(|length| format!("{}-{}", "x".repeat(length), "y".repeat(60))));
        names.extend((1..60).map(|length| "z".repeat(length)));
        let given: Vec<String> = names.iter().map(|name| instance("Deployment", name).unwrap()).collect();
        names.extend(given);
        names.sort();
        names.dedup();
        let kinds = ["Deployment", "StatefulSet", "Pod", "ReplicationController", "DeploymentConfig"];
        let mut seen = HashSet::new();
        for (kind, name) in kinds.iter().flat_map(|kind| names.iter().map(move |name| (kind, name))) {
            let given = instance(kind, name).unwrap();
            assert!(!given.contains('.'), "{given}");
            check(&given, LONGEST_INSTANCE).unwrap();
            assert!(seen.insert(given.clone()), "{kind}/{name}: {given}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "-a", "a-", "a..b", "a.-b", "A", "a_b", "${APP}", "é", &"a".repeat(254)] {
            assert!(check(name, LONGEST_OBJECT).is_err(), "{name}");
            let fault = instance("Deployment", name).unwrap_err();
            assert!(fault.contains(&format!("{name:?}")) && fault.contains("--name"), "{fault}");
        }
    }
}
