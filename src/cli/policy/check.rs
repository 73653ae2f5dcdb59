//! `inferneo policy check`: says what is wrong with policy files before a server reads them.

use super::{Said, told};
use crate::document::Diagnostic;
use crate::policy;
use crate::reload::{self, ReadError};
use std::path::{Path, PathBuf};

/// Checks each file alone and each folder as a whole set, and reports every fault and a summary.
/// Exit code: 0 good, 1 faults, 2 a path that cannot be read.
pub(super) fn run(paths: &[PathBuf]) -> Said {
    let mut report = String::new();
    let (mut files, mut faults, mut unreadable) = (0, 0, 0);
    for path in paths {
        match checked(path) {
            Ok((0, _)) => report.push_str(&format!("{}: no *.toml in this folder\n", path.display())),
            Ok((count, Ok(()))) => files += count,
            Ok((count, Err(found))) => {
                files += count;
                faults += found.len();
                report.push_str(&told(&found));
            }
            Err(ReadError::NotText(found)) => {
                files += found.len();
                faults += found.len();
                report.push_str(&told(&found));
            }
            Err(error @ ReadError::Unreadable { .. }) => {
                unreadable += 1;
                report.push_str(&format!("{error}\n"));
            }
        }
    }
    report.push_str(&summary(files, faults, unreadable));
    let code = match (faults, unreadable) {
        (0, 0) => 0,
        (_, 0) => 1,
        _ => 2,
    };
    Said { report, code, ..Said::default() }
}

/// How many policies a path holds, and their faults; a script may be asked about by its own name.
fn checked(path: &Path) -> Result<(usize, Result<(), Vec<Diagnostic>>), ReadError> {
    let sources = if path.is_dir() { reload::read_folder(path) } else { reload::read_policy(path) }?;
    if let Some(script) = sources.first().filter(|first| first.is_script() && !path.is_dir()) {
        return Ok((1, policy::compile_script(script).map(drop).map_err(|fault| vec![*fault])));
    }
    let policies = sources.iter().filter(|source| !source.is_script()).count();
    Ok((policies, policy::compile(&sources, &[], 1).map(drop)))
}

fn summary(files: usize, faults: usize, unreadable: usize) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut line = format!("{} checked: ", plural(files, "policy file"));
    match faults {
        0 if unreadable == 0 => line.push_str("all good"),
        faults => line.push_str(&plural(faults, "fault")),
    }
    if unreadable > 0 {
        line.push_str(&format!(", {} not readable", plural(unreadable, "path")));
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(paths: &[&Path]) -> (u8, String) {
        let said = super::run(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>());
        (said.code, said.report)
    }

    #[test]
    fn the_shipped_folder_and_each_of_its_files_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        assert_eq!(said(&[&folder]), (0, "6 policy files checked: all good\n".to_owned()));
        assert_eq!(said(&[&folder.join("adaptive.toml")]), (0, "1 policy file checked: all good\n".to_owned()));
    }

    #[test]
    fn faults_are_told_with_path_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::write(&a, "stratgy = \"adaptive\"\n").unwrap();
        std::fs::write(&b, "[batch]\nmax_batch_size = 0\n").unwrap();
        let (code, report) = said(&[folder.path()]);
        assert_eq!(code, 1);
        assert!(report.contains(&format!("{}:1:1: unknown key `stratgy`", a.display())), "{report}");
        assert!(report.contains("  = did you mean `strategy`?\n"), "{report}");
        assert!(report.contains(&format!("{}:2:18: expected an integer from 1", b.display())), "{report}");
        assert!(report.ends_with("2 policy files checked: 2 faults\n"), "{report}");
    }

    #[test]
    fn files_are_checked_alone_and_a_folder_as_a_set() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::write(&a, "").unwrap();
        std::fs::write(&b, "").unwrap();
        assert_eq!(said(&[&a, &b]).0, 0);
        assert_eq!(said(&[folder.path()]).0, 1);
    }

    #[test]
    fn a_path_that_cannot_be_read_is_bad_usage() {
        let (code, report) = said(&[Path::new("absent.toml")]);
        assert_eq!(code, 2);
        assert!(report.starts_with("cannot read absent.toml: "), "{report}");
        assert!(report.ends_with("0 policy files checked: 0 faults, 1 path not readable\n"), "{report}");
    }

    #[test]
    fn an_empty_folder_is_told_and_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (code, report) = said(&[folder.path()]);
        assert_eq!(code, 0);
        assert!(report.contains("no *.toml in this folder"), "{report}");
    }
}
