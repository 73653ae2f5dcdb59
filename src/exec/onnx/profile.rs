//! Which execution provider runs which nodes of a graph, from the runtime's own record of one run.
//!
//! Decides where the record is kept meanwhile. Does not judge what it says.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Nodes of a graph by the execution provider that runs them.
pub type Nodes = BTreeMap<String, u64>;

/// Somewhere to write a record: a folder that goes with it.
#[derive(Debug)]
pub(super) struct Record {
    folder: PathBuf,
}

impl Record {
    /// Makes a place for a record: shared memory where the machine's temporary folder cannot be written to, as
    /// in a container whose root is read-only.
    pub(super) fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("inferneo-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let make = |parent: &Path| {
            let folder = parent.join(&name);
            fs::create_dir(&folder).map(|()| Self { folder })
        };
        make(&std::env::temp_dir()).or_else(|_| make(Path::new("/dev/shm")))
    }

    /// What the file's name is to begin with.
    pub(super) fn prefix(&self) -> PathBuf {
        self.folder.join("run")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(folder = %self.folder.display(), "a record of a run is left behind: {error}");
        }
    }
}

/// Counts the nodes of a record, in Chrome's trace format. Each counts once, however often it ran.
pub(super) fn count(file: &Path) -> std::io::Result<Nodes> {
    let events: Vec<Value> = serde_json::from_slice(&fs::read(file)?)?;
    let ran = |event: &Value| {
        let (name, of) = (event["name"].as_str()?, &event["args"]);
        let is_run = event["cat"] == "Node" && name.ends_with("_kernel_time");
        let provider = of["provider"].as_str().filter(|provider| is_run && !provider.is_empty())?;
        Some((provider.to_owned(), name.to_owned(), of["node_index"].to_string()))
    };
    let nodes: BTreeSet<(String, String, String)> = events.iter().filter_map(ran).collect();
    let mut counted = Nodes::new();
    for (provider, ..) in nodes {
        *counted.entry(provider).or_default() += 1;
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_that_ran_counts_once_for_its_provider() {
        let event = |cat: &str, name: &str, provider: &str, index: u32| {
            format!(r#"{{"cat":"{cat}","name":"{name}","args":{{"provider":"{provider}","node_index":"{index}"}}}}"#)
        };
        let events = [
            event("Session", "session_initialization", "", 0),
            event("Node", "a_kernel_time", "CUDAExecutionProvider", 1),
            event("Node", "a_fence_before", "CUDAExecutionProvider", 1),
            event("Node", "a_kernel_time", "CUDAExecutionProvider", 1),
            event("Node", "b_kernel_time", "CUDAExecutionProvider", 2),
            event("Node", "a_kernel_time", "CPUExecutionProvider", 3),
            event("Node", "c_kernel_time", "", 4),
        ];
        let record = Record::new().unwrap();
        let file = record.prefix();
        fs::write(&file, format!("[{}]", events.join(","))).unwrap();
        let counted = count(&file).unwrap();
        assert_eq!(counted, [("CPUExecutionProvider".into(), 1), ("CUDAExecutionProvider".into(), 2)].into());
        fs::write(&file, "[{").unwrap();
        assert!(count(&file).is_err());
        drop(record);
        assert!(!file.exists() && !file.parent().unwrap().exists(), "nothing is left behind");
    }
}
