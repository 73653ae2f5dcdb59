//! Keys files that change while they are watched.

use super::*;
use crate::clock;
use crate::reload::watch;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;
use tokio::time::sleep;

/// `printf %s KEY | sha256sum` of two keys, and for whom each stands.
const KEYS: [(&str, &str, &str); 2] = [
    ("alpha", "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8", "acme"),
    ("beta", "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753", "bulk"),
];

/// A file of these keys.
fn text(keys: &[&str]) -> String {
    let listed = KEYS.iter().filter(|(key, ..)| keys.contains(key));
    listed.map(|(_, sha256, tenant)| format!("[[key]]\nsha256 = '{sha256}'\ntenant = '{tenant}'\n")).collect()
}

/// A keys file that is followed, and every set of tenants that was told of.
struct World {
    dir: TempDir,
    live: Arc<LiveKeys>,
    metrics: Arc<Metrics>,
    told: Arc<Mutex<Vec<Tenants>>>,
}

impl World {
    fn new(keys: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("keys.toml"), text(keys)).unwrap();
        Self::over(dir)
    }

    fn over(dir: TempDir) -> Self {
        let (metrics, told) = (Arc::new(Metrics::new().unwrap()), Arc::new(Mutex::new(Vec::new())));
        let teller = Arc::clone(&told);
        let live = LiveKeys::open(&dir.path().join("keys.toml"), Arc::clone(&metrics)).unwrap();
        let live = live.telling(move |tenants| teller.lock().unwrap().push(tenants));
        Self { dir, live: Arc::new(live), metrics, told }
    }

    fn watched(self) -> Self {
        drop(tokio::spawn(watch(Arc::clone(&self.live))));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The keys that are known now.
    fn known(&self) -> Vec<&'static str> {
        let known = KEYS.iter().filter(|(key, ..)| self.live.keys().tenant(key.as_bytes()).is_some());
        known.map(|(key, ..)| *key).collect()
    }

    /// How often the file was taken up, and refused; and whether it is good now.
    fn reloads(&self) -> [u64; 3] {
        let text = String::from_utf8(self.metrics.text().unwrap()).unwrap();
        ["reloads_total{outcome=\"ok\"}", "reloads_total{outcome=\"failed\"}", "last_reload_ok"].map(|name| {
            let name = format!("inferneo_keys_{name} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
        })
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = clock::now();
        while !condition(self) {
            let waited = clock::now().since(start);
            assert!(waited < Duration::from_secs(30), "no {what}: {:?}, {:?}", self.known(), self.reloads());
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[test]
fn a_change_is_told_before_it_holds_and_a_fault_changes_nothing() {
    let world = World::new(&["alpha"]);
    assert_eq!((world.known(), world.reloads()), (vec!["alpha"], [0, 0, 1]));
    let edits = [
        (text(&["alpha", "beta"]), vec!["alpha", "beta"], [1, 0, 1]),
        ("[[key]]\nsha256 = 'short'".into(), vec!["alpha", "beta"], [1, 1, 0]),
        (text(&["beta"]), vec!["beta"], [2, 1, 1]),
        (String::new(), vec![], [3, 1, 1]),
    ];
    for (text, known, reloads) in edits {
        fs::write(world.path("keys.toml"), &text).unwrap();
        for _ in 0..2 {
            assert!(world.live.refresh(Duration::ZERO));
        }
        assert_eq!((world.known(), world.reloads()), (known, reloads), "{text}");
    }
    let told: Vec<String> = world.told.lock().unwrap().iter().map(|tenants| format!("{tenants:?}")).collect();
    assert_eq!(told, [r#"{"acme"}"#, r#"{"acme", "bulk"}"#, r#"{"bulk"}"#, "{}"]);
}

#[test]
fn a_file_that_is_bad_at_the_start_is_told_without_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.toml");
    let open = || LiveKeys::open(&file, Arc::new(Metrics::new().unwrap())).map(drop).unwrap_err()[0].to_string();
    assert!(open().contains("keys.toml: the keys cannot be read: No such file"), "{}", open());
    fs::write(&file, b"# sk-secret \xff").unwrap();
    assert!(open().contains("keys.toml:1:13: this byte is not UTF-8") && !open().contains("sk-secret"), "{}", open());
    fs::write(&file, "[[key]]\nsha256 = 'sk-secret'\ntenant = 'acme'\n").unwrap();
    assert!(open().contains("keys.toml:2:10: expected a SHA-256") && !open().contains("sk-secret"), "{}", open());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(open().contains("the keys cannot be read: it is not a file"), "{}", open());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_renames_and_a_file_that_goes_and_comes_back_are_followed() {
    let world = World::new(&["alpha"]).watched();
    fs::write(world.path("keys.toml"), text(&["beta"])).unwrap();
    world.until("write", |world| world.known() == ["beta"]).await;
    fs::write(world.path("draft"), text(&["alpha", "beta"])).unwrap();
    fs::rename(world.path("draft"), world.path("keys.toml")).unwrap();
    world.until("rename", |world| world.known() == ["alpha", "beta"]).await;
    fs::remove_file(world.path("keys.toml")).unwrap();
    world.until("fault", |world| world.reloads()[2] == 0).await;
    assert_eq!(world.known(), ["alpha", "beta"], "the last good ones stay");
    fs::write(world.path("keys.toml"), text(&["alpha"])).unwrap();
    world.until("return", |world| world.known() == ["alpha"]).await;
    assert_eq!(world.reloads(), [3, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_secret_is_followed_through_its_swaps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    // As the kubelet does it: a new folder, and one link that is replaced by a rename.
    let mount = |version: &str, keys: &[&str]| {
        fs::create_dir(path.join(version)).unwrap();
        fs::write(path.join(version).join("keys.toml"), text(keys)).unwrap();
        symlink(version, path.join("..data_tmp")).unwrap();
        fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    };
    mount("..1", &["alpha"]);
    symlink("..data/keys.toml", path.join("keys.toml")).unwrap();
    let world = World::over(dir).watched();
    for (old, new, keys) in [("..1", "..2", &["alpha", "beta"][..]), ("..2", "..3", &["beta"]), ("..3", "..4", &[])] {
        mount(new, keys);
        fs::remove_dir_all(path.join(old)).unwrap();
        world.until(new, |world| world.known() == keys).await;
    }
    assert_eq!(world.reloads(), [3, 0, 1]);
}
