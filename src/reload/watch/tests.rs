//! Folders that change while they are watched, in all the ways that people, editors and mounted volumes do it.

use super::super::Live;
use super::super::tests::World;
use super::*;
use crate::clock;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// Longest wait for a change to be seen, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// A world that is watched from here on, for as long as the test runs.
fn watched(world: World) -> World {
    drop(tokio::spawn(watch(Arc::clone(&world.live))));
    world
}

async fn until(world: &World, what: &str, condition: impl Fn(&World) -> bool) {
    let start = clock::now();
    while !condition(world) {
        assert!(clock::now().since(start) < PATIENCE, "no {what}: {:?}, {:?}", world.shown(), world.error());
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the policies are these, by file name and strategy.
async fn live(world: &World, expected: &[(&str, &str)]) {
    let shown = |world: &World| {
        let files = world.shown().1;
        files.len() == expected.len() && files.iter().zip(expected).all(|((a, b), (c, d))| a == c && b == d)
    };
    until(world, &format!("{expected:?}"), shown).await;
}

/// Waits for a fault whose text holds `words`.
async fn refused(world: &World, words: &str) {
    until(world, words, |world| world.error().contains(words)).await;
}

const COALESCING: &str = "strategy = 'coalescing'";
const FIXED: &str = "strategy = 'fixed_size'";
const ADAPTIVE: &str = "strategy = 'adaptive'";

#[tokio::test(flavor = "multi_thread")]
async fn writes_renames_and_deletes_are_followed() {
    let world = watched(World::new(&[("a.toml", "")]));
    world.write("a.toml", COALESCING);
    live(&world, &[("a.toml", "coalescing")]).await;
    // An editor writes beside the file and renames over it.
    world.write(".a.toml.swp", FIXED);
    fs::rename(world.path(".a.toml.swp"), world.path("a.toml")).unwrap();
    live(&world, &[("a.toml", "fixed_size")]).await;
    // Another moves the old one away first.
    fs::rename(world.path("a.toml"), world.path("a.toml~")).unwrap();
    world.write("a.toml", ADAPTIVE);
    live(&world, &[("a.toml", "adaptive")]).await;
    fs::remove_file(world.path("a.toml")).unwrap();
    live(&world, &[]).await;
    world.write("a.toml", COALESCING);
    live(&world, &[("a.toml", "coalescing")]).await;
    assert_eq!((world.shown().0, world.reloads(), world.error()), (6, [5, 0], String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_create_in_one_go_is_one_change() {
    let world = watched(World::new(&[("a.toml", "")]));
    world.write("a.toml", FIXED);
    live(&world, &[("a.toml", "fixed_size")]).await;
    fs::remove_file(world.path("a.toml")).unwrap();
    world.write("a.toml", COALESCING);
    live(&world, &[("a.toml", "coalescing")]).await;
    assert_eq!(world.shown().0, 3, "the folder without the file was never live");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_at_once_go_live_at_once() {
    let names: Vec<String> = (0..50).map(|i| format!("p{i:02}.toml")).collect();
    let world = watched(World::new(&[]));
    for round in [COALESCING, FIXED] {
        for (i, name) in names.iter().enumerate() {
            world.write(name, &format!("{round}\n[match]\ntenants = ['t{i}']"));
        }
        let strategy = round.split('\'').nth(1).unwrap();
        let all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), strategy)).collect();
        live(&world, &all).await;
    }
    // One swap a round; a machine that stops between two writes for longer than the silence makes two of it.
    assert!(world.shown().0 <= 5, "{} swaps for two rounds", world.shown().0 - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_shown_with_their_place_and_end() {
    let world = watched(World::new(&[("a.toml", COALESCING)]));
    world.write("a.toml", "[batch]\nmax_batch_size = 0");
    refused(&world, "a.toml:2:18: ").await;
    fs::write(world.path("a.toml"), b"# \xfe").unwrap();
    refused(&world, "a.toml:1:3: this byte is not UTF-8").await;
    assert_eq!((world.shown().0, world.reloads()), (1, [0, 2]));
    world.write("a.toml", COALESCING);
    until(&world, "generation 2", |world| world.shown().0 == 2).await;
    assert_eq!((world.error(), world.reloads()), (String::new(), [1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_changes_nothing() {
    let world = watched(World::new(&[("a.toml", "")]));
    for name in [".b.toml", "b.toml~", "b.txt", "b.rhai", "toml"] {
        world.write(name, "nonsense");
    }
    fs::create_dir(world.path("..hidden")).unwrap();
    world.write("z.toml", "match.models = ['z']");
    live(&world, &[("a.toml", "adaptive"), ("z.toml", "adaptive")]).await;
    assert_eq!((world.shown().0, world.reloads()), (2, [1, 0]));
}

/// Swaps a mounted `ConfigMap` to these files, as the kubelet does it, and removes the version before.
fn config_map(mount: &Path, version: &str, files: &[(&str, &str)]) {
    let folder = mount.join(version);
    fs::create_dir(&folder).unwrap();
    files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    let old = fs::read_link(mount.join("..data")).ok();
    symlink(version, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for (name, _) in files {
        // The links of files stay, only new ones are made.
        drop(symlink(format!("..data/{name}"), mount.join(name)));
    }
    for gone in fs::read_dir(mount).unwrap().flatten().filter(|entry| !entry.path().exists()) {
        fs::remove_file(gone.path()).unwrap();
    }
    if let Some(old) = old {
        fs::remove_dir_all(mount.join(old)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_is_followed_through_its_swaps() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("policies");
    fs::create_dir(&mount).unwrap();
    let acme = "match.tenants = ['acme']";
    config_map(&mount, "..2026_1", &[("a.toml", ""), ("b.toml", acme)]);
    let world = watched(World::over(dir));
    config_map(&mount, "..2026_2", &[("a.toml", COALESCING), ("b.toml", acme)]);
    live(&world, &[("a.toml", "coalescing"), ("b.toml", "adaptive")]).await;
    config_map(&mount, "..2026_3", &[("a.toml", FIXED), ("c.toml", acme)]);
    live(&world, &[("a.toml", "fixed_size"), ("c.toml", "adaptive")]).await;
    config_map(&mount, "..2026_4", &[("a.toml", "["), ("c.toml", acme)]);
    refused(&world, "a.toml:1:").await;
    config_map(&mount, "..2026_5", &[("a.toml", COALESCING)]);
    live(&world, &[("a.toml", "coalescing")]).await;
    assert_eq!((world.shown().0, world.reloads()), (4, [3, 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_folder_below_the_data_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let version = |name: &str, text: &str| {
        fs::create_dir_all(dir.path().join(name).join("set")).unwrap();
        fs::write(dir.path().join(name).join("set/a.toml"), text).unwrap();
        symlink(name, dir.path().join("..next")).unwrap();
        fs::rename(dir.path().join("..next"), dir.path().join("..data")).unwrap();
    };
    version("..1", "");
    symlink("..data/set", dir.path().join("policies")).unwrap();
    let path = dir.path().to_owned();
    let world = World::new(&[]);
    let live_one = Live::open(Some(&path.join("policies")), Arc::clone(&world.metrics)).unwrap();
    let world = watched(World { live: Arc::new(live_one), ..world });
    version("..2", COALESCING);
    fs::remove_dir_all(path.join("..1")).unwrap();
    live(&world, &[("a.toml", "coalescing")]).await;
    version("..3", FIXED);
    live(&world, &[("a.toml", "fixed_size")]).await;
    // And edits in the folder it leads to now.
    fs::write(path.join("..3/set/a.toml"), ADAPTIVE).unwrap();
    live(&world, &[("a.toml", "adaptive")]).await;
}

/// A folder `policies` that is a link to `v1`, beside `v2`; each with a file.
fn linked() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("v1", ADAPTIVE), ("v2", COALESCING)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("a.toml"), text).unwrap();
    }
    symlink("v1", dir.path().join("policies")).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_a_link_is_followed_to_where_it_leads() {
    let world = watched(World::over(linked()));
    let at = |name: &str| world.dir.path().join(name);
    symlink("v2", at("next")).unwrap();
    fs::rename(at("next"), at("policies")).unwrap();
    live(&world, &[("a.toml", "coalescing")]).await;
    fs::write(at("v2/a.toml"), FIXED).unwrap();
    live(&world, &[("a.toml", "fixed_size")]).await;
    fs::write(at("v1/a.toml"), "nonsense").unwrap();
    // The folder it led to is removed and made again.
    fs::remove_dir_all(at("v2")).unwrap();
    refused(&world, "cannot be read").await;
    fs::create_dir(at("v2")).unwrap();
    fs::write(at("v2/a.toml"), COALESCING).unwrap();
    live(&world, &[("a.toml", "coalescing")]).await;
    assert_eq!(world.reloads(), [3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_a_link_is_followed_to_where_it_leads() {
    let world = World::new(&[]);
    let shared = world.dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("a.toml"), ADAPTIVE).unwrap();
    let world = watched(world);
    symlink("../shared/a.toml", world.path("a.toml")).unwrap();
    live(&world, &[("a.toml", "adaptive")]).await;
    fs::write(shared.join("a.toml"), COALESCING).unwrap();
    live(&world, &[("a.toml", "coalescing")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_and_comes_back_is_found_again() {
    let world = watched(World::new(&[("a.toml", COALESCING)]));
    for text in [ADAPTIVE, FIXED] {
        let before = world.shown();
        fs::remove_dir_all(world.path("")).unwrap();
        refused(&world, "policies: the policies cannot be read: ").await;
        assert_eq!(world.shown(), before, "the last good ones stay");
        fs::create_dir(world.path("")).unwrap();
        world.write("a.toml", text);
        live(&world, &[("a.toml", text.split('\'').nth(1).unwrap())]).await;
    }
    // A file takes its place, then another folder.
    fs::remove_dir_all(world.path("")).unwrap();
    fs::write(world.dir.path().join("policies"), "no folder").unwrap();
    refused(&world, "Not a directory").await;
    fs::remove_file(world.dir.path().join("policies")).unwrap();
    fs::create_dir(world.path("")).unwrap();
    world.write("a.toml", ADAPTIVE);
    live(&world, &[("a.toml", "adaptive")]).await;
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b.toml"), COALESCING).unwrap();
    fs::rename(world.path(""), world.dir.path().join("old")).unwrap();
    fs::rename(&other, world.path("")).unwrap();
    live(&world, &[("b.toml", "coalescing")]).await;
    world.write("b.toml", FIXED);
    live(&world, &[("b.toml", "fixed_size")]).await;
    assert_eq!(world.error(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_edits_a_second_are_taken_in_a_few_gulps() {
    let world = watched(World::new(&[("a.toml", "")]));
    let path = world.path("a.toml");
    let edits = tokio::task::spawn_blocking(move || {
        let start = clock::now();
        let mut edits = 0u32;
        while clock::now().since(start) < Duration::from_secs(2) {
            fs::write(&path, format!("batch.max_batch_size = {}", 1 + edits % 1000)).unwrap();
            edits += 1;
            std::thread::sleep(Duration::from_micros(900));
        }
        fs::write(&path, "strategy = 'fixed_size'\nbatch.max_batch_size = 77").unwrap();
        edits
    });
    let edits = edits.await.unwrap();
    live(&world, &[("a.toml", "fixed_size")]).await;
    let [ok, failed] = world.reloads();
    assert!(edits > 100, "{edits} edits are no storm");
    // A gulp takes a quarter of a second and two readings; the last is after the storm.
    assert!(ok <= 11, "{ok} compilations of {edits} edits");
    assert_eq!(failed, 0);
    assert_eq!(world.live.status().policies.policies()[0].batch.max_batch_size, 77);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notices_the_folder_is_looked_at() {
    let world = World::new(&[("a.toml", "")]);
    let notices = Notices::blind(&world.path(""));
    let following = Arc::clone(&world.live);
    drop(tokio::spawn(async move { follow(following, notices, &Notify::new()).await }));
    world.write("a.toml", COALESCING);
    live(&world, &[("a.toml", "coalescing")]).await;
    world.write("a.toml", "nonsense");
    refused(&world, "a.toml:1:").await;
    fs::remove_file(world.path("a.toml")).unwrap();
    world.write("b.toml", FIXED);
    live(&world, &[("b.toml", "fixed_size")]).await;
    assert_eq!(world.error(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_moved_away_with_its_parent_is_found_again() {
    // With its parent absent there is nothing to watch.
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("policies");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.toml"), "").unwrap();
    let world = World::over(dir);
    fs::rename(world.dir.path(), world.dir.path().with_extension("away")).unwrap();
    let world = watched(world);
    refused(&world, "cannot be read").await;
    fs::rename(world.dir.path().with_extension("away"), world.dir.path()).unwrap();
    until(&world, "generation 2", |world| world.shown().0 == 2).await;
    assert_eq!(world.error(), "");
}
