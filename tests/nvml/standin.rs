//! Builds the stand-in for NVML (standin.c), and sets its scenes.
//!
//! Decides nothing. For tests of whatever loads NVML: they get a library of their own each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A GPU in order, as `{gpu}` of its scene; each line a key.
const GPU: &str = "name NVIDIA L4\nmemory 4294967296 536870912 25769803776\nutilization 64 12\npower 58200\nlimit 72000\n\
                   temperature 61\nclock.sm 2040\nclock.memory 6251\nreasons 4\necc 3 0\nretired 2 1\nmig 0\n";

/// A library of its own, and the scene it plays.
#[derive(Debug)]
pub(crate) struct Standin {
    dir: TempDir,
    lines: Vec<(String, String)>,
}

impl Standin {
    /// One with so many like GPUs, `GPU-0`, `GPU-1`, ….
    pub(crate) fn with_gpus(gpus: u32) -> Self {
        Self::build(gpus, &[])
    }

    /// The same of an old driver, whose library lacks functions.
    pub(crate) fn old() -> Self {
        Self::build(1, &["-DOLD"])
    }

    fn build(gpus: u32, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/standin.c");
        let library = dir.path().join("libnvidia-ml.so.1");
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(library).args(flags).arg(source);
        let built = cc.arg("-ldl").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let mut standin = Self { dir, lines: Vec::new() };
        standin.set(&[("driver", "580.95.05"), ("cuda", "13000")]);
        for gpu in 0..gpus {
            let line = |line: &str| line.split_once(' ').map(|(key, value)| (format!("{gpu}.{key}"), value.to_owned()));
            standin.lines.extend(GPU.lines().filter_map(line));
            standin.set(&[(&format!("{gpu}.uuid"), &format!("GPU-{gpu}"))]);
        }
        standin
    }

    /// The library.
    pub(crate) fn library(&self) -> PathBuf {
        self.dir.path().join("libnvidia-ml.so.1")
    }

    /// Changes the scene, whole: an empty value takes a key away.
    pub(crate) fn set(&mut self, changes: &[(&str, &str)]) {
        for (key, value) in changes {
            self.lines.retain(|(known, _)| known != key);
            if !value.is_empty() {
                self.lines.push(((*key).to_owned(), (*value).to_owned()));
            }
        }
        let scene: String = self.lines.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        let draft = self.dir.path().join("draft");
        fs::write(&draft, scene).unwrap();
        fs::rename(draft, self.dir.path().join("libnvidia-ml.so.1.scene")).unwrap();
    }
}
