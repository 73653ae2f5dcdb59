//! Which notices count, and which folders are watched.

use super::*;
use notify::event::{CreateKind, Flag, MetadataKind, ModifyKind, RenameMode};
use std::os::unix::fs::symlink;

impl Notices {
    /// Those of a system that gives none.
    pub(in super::super) fn blind(folder: &Path) -> Self {
        Self { watcher: None, ..Self::new(folder, Arc::default()) }
    }
}

fn concern() -> Concern {
    Concern { folder: "/etc/app/policies".into(), names: ["policies".into(), "..data".into()].into() }
}

fn event(kind: EventKind, path: &str) -> notify::Result<Event> {
    Ok(Event::new(kind).add_path(path.into()))
}

#[test]
fn changes_of_the_folder_and_of_what_leads_to_it_count() {
    let write = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let metadata = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    for (kind, path) in [
        (EventKind::Create(CreateKind::File), "/etc/app/policies/a.toml"),
        (write, "/etc/app/policies/a.toml"),
        (metadata, "/etc/app/policies"),
        (renamed, "/etc/app/policies/..data"),
        (renamed, "/etc/app/policies"),
        (renamed, "/etc/app/..data"),
    ] {
        assert!(concern().covers(&event(kind, path)), "{kind:?} {path}");
    }
    assert!(concern().covers(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
    assert!(concern().covers(&Err(notify::Error::generic("lost"))));
}

#[test]
fn reading_and_what_happens_beside_the_folder_do_not() {
    let create = EventKind::Create(CreateKind::File);
    for (kind, path) in [
        (EventKind::Access(AccessKind::Open(AccessMode::Any)), "/etc/app/policies/a.toml"),
        (EventKind::Access(AccessKind::Close(AccessMode::Read)), "/etc/app/policies"),
        (create, "/etc/app/log"),
        (create, "/etc/app/policies2"),
        (create, "/etc/app"),
    ] {
        assert!(!concern().covers(&event(kind, path)), "{kind:?} {path}");
    }
}

#[test]
fn the_way_leads_through_every_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("v1/set")).unwrap();
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("shared/b.toml"), "").unwrap();
    fs::write(at("v1/set/a.toml"), "").unwrap();
    symlink("../../shared/b.toml", at("v1/set/b.toml")).unwrap();
    symlink("v1", at("..data")).unwrap();
    symlink("..data/set", at("policies")).unwrap();
    let (way, all) = way(&at("policies"));
    assert!(all);
    for expected in ["policies", "..data", "..data/set", "v1/set", "policies/b.toml", "policies/../../shared/b.toml"] {
        assert!(way.contains(&at(expected)), "{expected} is not in {way:#?}");
    }
    assert!(!way.contains(&at("policies/a.toml")), "a plain file is seen in its folder: {way:#?}");
}

#[test]
fn links_that_lead_in_circles_end() {
    let dir = tempfile::tempdir().unwrap();
    symlink("b", dir.path().join("a")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    symlink("c/c", dir.path().join("c")).unwrap();
    assert!(way(&dir.path().join("a")).0.len() >= 2);
    let (found, all) = way(&dir.path().join("c"));
    assert!(found.len() <= DEEPEST && !all);
}

#[test]
fn a_folder_that_is_absent_is_awaited_in_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut notices = Notices::new(&dir.path().join("policies"), Arc::default());
    assert!(notices.renew(), "its parent is there");
    let mut notices = Notices::new(&dir.path().join("no/policies"), Arc::default());
    assert!(!notices.renew(), "nobody would notice");
    fs::create_dir_all(dir.path().join("no/policies")).unwrap();
    assert!(notices.renew());
}

#[test]
fn links_to_folders_that_cannot_all_be_watched_are_not_relied_on() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("policies");
    fs::create_dir(&folder).unwrap();
    let link = |i: usize| {
        let target = dir.path().join(format!("shared{i}"));
        fs::create_dir(&target).unwrap();
        fs::write(target.join("a.toml"), "").unwrap();
        symlink(target.join("a.toml"), folder.join(format!("{i}.toml"))).unwrap();
    };
    let mut notices = Notices::new(&folder, Arc::default());
    (0..4).for_each(link);
    assert!(notices.renew());
    (4..MOST_FOLDERS + 1).for_each(link);
    assert!(!notices.renew(), "some of the folders are left out");
    (4..MOST_FOLDERS + 1).for_each(|i| fs::remove_file(folder.join(format!("{i}.toml"))).unwrap());
    assert!(notices.renew());
    fs::remove_dir_all(dir.path().join("shared0")).unwrap();
    assert!(!notices.renew(), "nobody tells when the folder comes back");
}
