//! Folders as people, editors and mounted volumes leave them.

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let sources = read_folder(folder).unwrap();
    sources.iter().map(|source| source.name.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_folder_is_read_in_the_order_of_names_without_hidden_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.toml", "a.toml", ".draft.toml", "notes.txt", "c.toml~", "script.rhai"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    assert_eq!(names(folder.path()), ["a.toml", "b.toml", "script.rhai"]);
    let first = &read_folder(folder.path()).unwrap()[0];
    assert_eq!((first.name.clone(), &*first.text), (folder.path().join("a.toml").display().to_string(), "a.toml"));
}

#[cfg(unix)]
#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("..2026_01_01");
    fs::create_dir(&version).unwrap();
    fs::write(version.join("p.toml"), "").unwrap();
    symlink("..2026_01_01", folder.path().join("..data")).unwrap();
    symlink("..data/p.toml", folder.path().join("p.toml")).unwrap();
    assert_eq!(names(folder.path()), ["p.toml"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read_folder(&folder.path().join("absent")).unwrap_err().to_string().contains("/absent: "));
    fs::create_dir(folder.path().join("x.toml")).unwrap();
    let shown = read_folder(folder.path()).unwrap_err().to_string();
    assert!(shown.ends_with("x.toml: it is not a file"), "{shown}");
}

#[test]
fn every_file_that_is_not_text_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), b"\xff").unwrap();
    fs::write(folder.path().join("b.toml"), b"x = 1\n\xff").unwrap();
    let Err(ReadError::NotText(faults)) = read_folder(folder.path()) else { panic!("it was read") };
    assert_eq!(faults.len(), 2);
    assert!(faults[1].to_string().contains("b.toml:2:1: this byte is not UTF-8"), "{}", faults[1]);
}
