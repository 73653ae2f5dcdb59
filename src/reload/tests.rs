//! Swaps without a watch: what goes live, what stays, what is told.

use super::*;
use crate::metrics::Metrics;
use crate::policy::PolicySet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

mod overrides;

/// A folder of policies, what is live of it, and every set that was told of.
pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) live: Arc<Live>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) told: Arc<Mutex<Vec<Arc<PolicySet>>>>,
}

impl World {
    /// Makes the folder `policies` with these files, read once.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("policies");
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        Self::over(dir)
    }

    /// Reads the folder `policies` of `dir`.
    pub(super) fn over(dir: TempDir) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |policies| told.lock().unwrap().push(policies)
        };
        let live = Live::open(Some(&dir.path().join("policies")), Arc::clone(&metrics)).unwrap().telling(tell);
        Self { dir, live: Arc::new(live), metrics, told }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("policies").join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The name and strategy of every file, and the generation.
    pub(super) fn shown(&self) -> (u64, Vec<(String, &'static str)>) {
        let status = self.live.status();
        (status.generation, status.files.iter().map(|f| (f.name.clone(), f.strategy.name())).collect())
    }

    /// The error shown, empty where there is none.
    pub(super) fn error(&self) -> String {
        self.live.status().last_error.as_ref().map_or_else(String::new, |error| error.text.clone())
    }

    /// How often the folder was taken up, and refused.
    pub(super) fn reloads(&self) -> [u64; 2] {
        let text = String::from_utf8(self.metrics.text().unwrap()).unwrap();
        ["ok", "failed"].map(|outcome| {
            let name = format!("inferneo_policy_reloads_total{{outcome=\"{outcome}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
        })
    }

    fn refresh(&self) {
        assert!(self.live.refresh(Duration::ZERO), "nobody writes");
    }
}

fn files(expected: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    expected.iter().map(|(name, strategy)| ((*name).to_owned(), *strategy)).collect()
}

#[test]
fn without_a_folder_the_built_in_policy_is_live() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let live = Live::open(None, metrics).unwrap();
    let status = live.status();
    assert_eq!((status.generation, status.files.len(), status.policies.policies().len()), (1, 0, 1));
    assert!(live.refresh(Duration::ZERO));
}

#[test]
fn a_folder_that_is_bad_at_the_start_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Live::open(Some(dir.path()), Arc::new(Metrics::new().unwrap())).map(drop).unwrap_err();
    fs::write(dir.path().join("a.toml"), "x = 1").unwrap();
    assert!(open()[0].to_string().contains("a.toml:1:1: unknown key"));
    fs::write(dir.path().join("a.toml"), b"\xff").unwrap();
    assert!(open()[0].to_string().contains("a.toml:1:1: this byte is not UTF-8"));
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(open()[0].to_string().contains("the policies cannot be read: "));
}

#[test]
fn a_change_is_told_counted_and_shown_and_no_change_is_not() {
    let world = World::new(&[("a.toml", "match.models = ['m']"), ("b.toml", "")]);
    let first = world.live.status();
    assert_eq!(world.reloads(), [0, 0]);
    world.refresh();
    assert_eq!((world.live.status().generation, world.reloads()), (1, [0, 0]));
    world.write("b.toml", "strategy = 'coalescing'");
    world.refresh();
    assert_eq!(world.shown(), (2, files(&[("a.toml", "adaptive"), ("b.toml", "coalescing")])));
    assert_eq!(world.reloads(), [1, 0]);
    let told: Vec<u64> = world.told.lock().unwrap().iter().map(|set| set.generation).collect();
    assert_eq!(told, [2]);
    let status = world.live.status();
    assert_eq!(status.files[0], first.files[0], "a.toml has not changed");
    assert!(status.files[1].loaded_at > first.files[1].loaded_at);
    assert_ne!(status.files[1].hash, first.files[1].hash);
    let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    assert!(text.contains("inferneo_policy_generation 2"));
    let info = format!("policy_info{{hash=\"{}\",policy=\"b\",strategy=\"coalescing\"}} 1", status.files[1].hash);
    assert!(text.contains(&info), "{info} is not in\n{text}");
    assert!(!text.contains("policy=\"default\""), "no request falls under the built-in policy:\n{text}");
}

#[test]
fn a_fault_changes_nothing_and_is_counted_once() {
    let world = World::new(&[("a.toml", "")]);
    let loaded_at = world.live.status().files[0].loaded_at;
    world.write("a.toml", "\n[batch]\nmax_batch_siz = 1");
    for _ in 0..3 {
        world.refresh();
    }
    let status = world.live.status();
    assert_eq!((status.generation, status.files.len(), world.reloads()), (1, 1, [0, 1]));
    assert!(world.error().contains("a.toml:3:1: unknown key `max_batch_siz`"), "{}", world.error());
    assert!(world.error().contains("did you mean `max_batch_size`?"), "{}", world.error());
    let at = status.last_error.clone().unwrap().at;
    world.write("a.toml", "\n[batch]\nmax_batch_siz = 2");
    world.refresh();
    assert_eq!(world.reloads(), [0, 2]);
    assert!(world.live.status().last_error.clone().unwrap().at > at);
    world.write("a.toml", "");
    world.refresh();
    assert_eq!((world.shown().0, world.error(), world.reloads()), (2, String::new(), [1, 2]));
    assert_eq!(world.live.status().files[0].loaded_at, loaded_at, "this content has been live all along");
}

#[test]
fn a_folder_that_cannot_be_read_or_is_not_text_keeps_the_last_good() {
    let world = World::new(&[("a.toml", "strategy = 'coalescing'")]);
    fs::write(world.path("b.toml"), b"x\n\xff").unwrap();
    world.refresh();
    assert!(world.error().contains("b.toml:2:1: this byte is not UTF-8"), "{}", world.error());
    fs::remove_dir_all(world.path("")).unwrap();
    world.refresh();
    assert!(world.error().contains("policies: the policies cannot be read: "), "{}", world.error());
    assert_eq!((world.shown(), world.reloads()), ((1, files(&[("a.toml", "coalescing")])), [0, 2]));
}
