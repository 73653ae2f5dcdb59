//! `inferneo policy check`: says what is wrong with policy files before a server reads them.

use crate::document::Diagnostic;
use crate::policy::{self, Source};
use crate::reload::{self, ReadError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks each file alone and each folder as a whole set, and prints every fault and a summary on
/// stderr. Exit code: 0 good, 1 faults, 2 a path that cannot be read.
#[must_use]
pub(super) fn check(paths: &[PathBuf]) -> ExitCode {
    let mut report = String::new();
    let code = check_all(paths, &mut report);
    // Nobody is left to tell when stderr is closed; the exit code still says it.
    drop(io::stderr().lock().write_all(report.as_bytes()));
    ExitCode::from(code)
}

fn check_all(paths: &[PathBuf], report: &mut String) -> u8 {
    let (mut files, mut faults, mut unreadable) = (0, 0, 0);
    for path in paths {
        match read(path).map(|sources| (sources.len(), policy::compile(&sources, &[], 1))) {
            Ok((0, _)) => report.push_str(&format!("{}: no *.toml in this folder\n", path.display())),
            Ok((count, Ok(_))) => files += count,
            Ok((count, Err(found))) => {
                files += count;
                faults += show(&found, report);
            }
            Err(ReadError::NotText(found)) => {
                files += found.len();
                faults += show(&found, report);
            }
            Err(error @ ReadError::Unreadable { .. }) => {
                unreadable += 1;
                report.push_str(&format!("{error}\n"));
            }
        }
    }
    report.push_str(&summary(files, faults, unreadable));
    match (faults, unreadable) {
        (0, 0) => 0,
        (_, 0) => 1,
        _ => 2,
    }
}

fn read(path: &Path) -> Result<Vec<Source>, ReadError> {
    if path.is_dir() { reload::read_folder(path) } else { Ok(vec![reload::read_file(path)?]) }
}

fn show(faults: &[Diagnostic], report: &mut String) -> usize {
    for fault in faults {
        report.push_str(&format!("{fault}\n\n"));
    }
    faults.len()
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

    fn run(paths: &[&Path]) -> (u8, String) {
        let mut report = String::new();
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        (check_all(&paths, &mut report), report)
    }

    #[test]
    fn the_shipped_folder_and_each_of_its_files_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        assert_eq!(run(&[&folder]), (0, "5 policy files checked: all good\n".to_owned()));
        assert_eq!(run(&[&folder.join("adaptive.toml")]), (0, "1 policy file checked: all good\n".to_owned()));
    }

    #[test]
    fn faults_are_told_with_path_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::write(&a, "stratgy = \"adaptive\"\n").unwrap();
        std::fs::write(&b, "[batch]\nmax_batch_size = 0\n").unwrap();
        let (code, report) = run(&[folder.path()]);
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
        assert_eq!(run(&[&a, &b]).0, 0);
        assert_eq!(run(&[folder.path()]).0, 1);
    }

    #[test]
    fn a_path_that_cannot_be_read_is_bad_usage() {
        let (code, report) = run(&[Path::new("absent.toml")]);
        assert_eq!(code, 2);
        assert!(report.starts_with("cannot read absent.toml: "), "{report}");
        assert!(report.ends_with("0 policy files checked: 0 faults, 1 path not readable\n"), "{report}");
    }

    #[test]
    fn an_empty_folder_is_told_and_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (code, report) = run(&[folder.path()]);
        assert_eq!(code, 0);
        assert!(report.contains("no *.toml in this folder"), "{report}");
    }
}
