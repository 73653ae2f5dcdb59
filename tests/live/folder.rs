//! A folder of policies, edited as people, editors and the kubelet do it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

/// What a policy is for: everything, or what the mounted file names.
const MOUNTED: &str = "mounted.toml";
const PLAIN: &str = "all.toml";
const STRATEGIES: [&str; 4] = ["adaptive", "coalescing", "latency_optimized", "throughput_optimized"];

/// How a file is brought to its new content.
#[derive(Debug, Clone, Copy)]
enum Way {
    Write,
    RenameOver,
    DeleteAndCreate,
    ConfigMap,
}

/// One edit, of all that there will be.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    number: usize,
    way: Way,
    chance: u64,
    broken: bool,
}

/// The same numbers each time (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// So many edits of each kind in a random order. A broken one comes before a good one of the same file,
/// which mends it.
pub(super) fn edits(plain: usize, swaps: usize, broken: usize) -> Vec<Edit> {
    let mut chance = Chance(7);
    let plain = (0..plain).map(|i| [Way::Write, Way::RenameOver, Way::DeleteAndCreate][i % 3]);
    let mut order: Vec<(Way, bool)> =
        plain.chain(std::iter::repeat_n(Way::ConfigMap, swaps)).enumerate().map(|(i, way)| (way, i < broken)).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, chance.below(last + 1));
        // Which good edits come after a broken one is left to chance as well.
        let other = chance.below(last + 1);
        (order[last].1, order[other].1) = (order[other].1, order[last].1);
    }
    let steps =
        order.into_iter().flat_map(|(way, after)| after.then_some((way, true)).into_iter().chain([(way, false)]));
    steps.enumerate().map(|(number, (way, broken))| Edit { number, way, chance: chance.next(), broken }).collect()
}

impl Edit {
    /// How long to wait before it.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(self.chance % 40)
    }

    /// Where and what its fault is, as it is to be told; `None` for a good edit.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { number, broken, .. } = self;
        broken.then(|| format!("{}:{}:1: unknown key `wrong_{number}`", self.file(), 2 + self.chance % 7))
    }

    fn file(&self) -> &'static str {
        if matches!(self.way, Way::ConfigMap) { MOUNTED } else { PLAIN }
    }

    fn text(&self) -> String {
        let Self { number, chance, .. } = self;
        if self.broken {
            let lines = "\n".repeat((1 + chance % 7) as usize);
            return format!("# edit {number}{lines}wrong_{number} = 1\n{}", rule(self.file()));
        }
        let strategy = STRATEGIES[(chance / 64 % 4) as usize];
        // Unlike the one before, whatever else is the same.
        let size = 4 + number % 61;
        format!(
            "strategy = '{strategy}'\nbatch.max_batch_size = {size}\nbatch.max_queue_delay = '2ms'\n{}",
            rule(self.file())
        )
    }
}

fn rule(file: &str) -> &'static str {
    if file == MOUNTED { "match.tenants = ['acme']\n" } else { "" }
}

/// The folder of a running program.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    version: usize,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, version: 0 }
    }

    /// Adds a file the way a `ConfigMap` is mounted.
    pub(super) fn mount(&mut self) {
        self.swap(rule(MOUNTED));
        symlink(format!("..data/{MOUNTED}"), self.path.join(MOUNTED)).unwrap();
    }

    pub(super) fn apply(&mut self, edit: &Edit) {
        let (path, text) = (self.path.join(edit.file()), edit.text());
        match edit.way {
            Way::Write => fs::write(path, text).unwrap(),
            Way::RenameOver => {
                let draft = self.path.join(".all.toml.draft");
                fs::write(&draft, text).unwrap();
                fs::rename(draft, path).unwrap();
            }
            Way::DeleteAndCreate => {
                fs::remove_file(&path).unwrap();
                fs::write(path, text).unwrap();
            }
            Way::ConfigMap => self.swap(&text),
        }
    }

    /// Makes a new version, turns the link to it, and removes the one before.
    fn swap(&mut self, text: &str) {
        self.version += 1;
        let name = format!("..2026_{}", self.version);
        let (version, next, data) = (self.path.join(&name), self.path.join("..data_tmp"), self.path.join("..data"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join(MOUNTED), text).unwrap();
        symlink(name, &next).unwrap();
        fs::rename(next, data).unwrap();
        if self.version > 1 {
            fs::remove_dir_all(self.path.join(format!("..2026_{}", self.version - 1))).unwrap();
        }
    }
}
