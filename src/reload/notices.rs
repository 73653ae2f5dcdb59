//! The operating system's notices that a policy folder, or another file, may have changed.
//!
//! Decides which folders are watched for it and which notices count. Does not know what changed: any
//! notice is a reason to look.

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// Most folders watched for one policy folder, however its links are laid.
const MOST_FOLDERS: usize = 32;
/// Most entries that are followed to find them, and the most steps of a path to one.
const MOST_ENTRIES: usize = 1024;
const DEEPEST: usize = 64;

/// Watches a policy folder or another file, and whatever decides where its path leads to.
#[derive(Debug)]
pub(super) struct Notices {
    folder: PathBuf,
    concern: Arc<ArcSwap<Concern>>,
    /// `None` where the system gives no notices.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    warned: bool,
}

/// What a notice must name to count.
#[derive(Debug, Default)]
struct Concern {
    /// It counts, and everything in it, whatever its name.
    folder: PathBuf,
    /// Elsewhere only these do: the folder's own name, and the names of links on the way.
    names: BTreeSet<OsString>,
}

impl Notices {
    /// Prepares to watch `folder`, which may be a file; `wake` is told of each change. Nothing is watched before
    /// [`renew`](Self::renew).
    pub(super) fn new(folder: &Path, wake: Arc<Notify>) -> Self {
        // Notices come with the path that was asked for, and a folder's parent is to be found.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let concern = Arc::new(ArcSwap::from_pointee(Concern::default()));
        let filter = Arc::clone(&concern);
        let heard = move |notice: notify::Result<Event>| {
            if filter.load().covers(&notice) {
                wake.notify_one();
            }
        };
        let mut notices = Self { folder, concern, watcher: None, watched: BTreeSet::new(), warned: false };
        match notify::recommended_watcher(heard) {
            Ok(watcher) => notices.watcher = Some(watcher),
            Err(error) => notices.warn(&error.to_string()),
        }
        notices
    }

    /// Watches the folder as its path leads now; answers whether every change will be noticed. Blocks.
    ///
    /// A watch stays with the folder it was made for when that is moved, removed or no longer linked
    /// to, so all are made anew. What happens meanwhile is not noticed: look at the folder after this.
    pub(super) fn renew(&mut self) -> bool {
        let (entries, all_found) = way(&self.folder);
        let mut folders: BTreeSet<PathBuf> = entries.iter().filter_map(|e| e.parent().map(Path::to_owned)).collect();
        folders.remove(&self.folder);
        let names = entries.iter().filter_map(|entry| entry.file_name().map(ToOwned::to_owned)).collect();
        self.concern.store(Arc::new(Concern { folder: self.folder.clone(), names }));
        let Some(watcher) = &mut self.watcher else { return false };
        for folder in std::mem::take(&mut self.watched) {
            // Its folder may be gone, and the watch with it.
            drop(watcher.unwatch(&folder));
        }
        // The folder itself comes last: where another path leads to it too, the notices are under its own.
        let mut missed = None;
        for folder in folders.iter().take(MOST_FOLDERS).chain([&self.folder]) {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder.clone())),
                Err(error) if !is_absent(&error) => missed = Some(error.to_string()),
                Err(_) => {}
            }
        }
        if !all_found || folders.len() > MOST_FOLDERS {
            missed = Some(format!("links lead through more than {MOST_FOLDERS} folders, or too deep"));
        }
        if let Some(why) = &missed {
            self.warn(why);
        }
        // The folder itself may be absent: its parent, which is one of the others, tells when it comes.
        missed.is_none() && folders.is_subset(&self.watched)
    }

    fn warn(&mut self, why: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(folder = %self.folder.display(), "changes are looked for instead of noticed: {why}");
        }
    }
}

impl Concern {
    fn covers(&self, notice: &notify::Result<Event>) -> bool {
        let Ok(event) = notice else { return true };
        let named = |path: &PathBuf| {
            path.starts_with(&self.folder) || path.file_name().is_some_and(|name| self.names.contains(name))
        };
        event.need_rescan() || is_change(event.kind) && event.paths.iter().any(named)
    }
}

/// Reading a folder opens it and its files: only what writes is a change.
fn is_change(kind: EventKind) -> bool {
    !kind.is_access() || kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The entries that decide what is read: the folder's own, those of its policies, and every link on
/// the way to them with what it leads to; and whether these are all.
fn way(folder: &Path) -> (BTreeSet<PathBuf>, bool) {
    let mut ahead: Vec<PathBuf> = vec![folder.to_owned()];
    if let Ok(inside) = fs::read_dir(folder) {
        let linked = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let belongs = |entry: &fs::DirEntry| super::read::belongs(&entry.file_name());
        ahead.extend(inside.flatten().filter(|entry| linked(entry) && belongs(entry)).map(|entry| entry.path()));
    }
    let (mut found, mut all) = (BTreeSet::new(), true);
    while let Some(path) = ahead.pop() {
        // Links may lead in circles, and deeper with every turn.
        if path.ancestors().count() > DEEPEST || found.len() > MOST_ENTRIES {
            all = false;
            continue;
        }
        if !found.insert(path.clone()) {
            continue;
        }
        for step in path.ancestors() {
            let (Ok(target), Ok(rest)) = (fs::read_link(step), path.strip_prefix(step)) else { continue };
            let beside = step.parent().unwrap_or(step);
            // `join` with nothing would add a slash.
            let target = beside.join(target);
            ahead.push(if rest.as_os_str().is_empty() { target } else { target.join(rest) });
            ahead.push(step.to_owned());
        }
    }
    (found, all)
}

#[cfg(test)]
mod tests;
