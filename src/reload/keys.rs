//! The keys that hold, and the one place where they are swapped.
//!
//! Decides what becomes of a change of the keys file: all of its keys hold, or it is refused and the last good
//! ones stay. A file without a key is good: nobody is let in.

use super::live::{brief, head};
use super::read;
use super::watch::Watched;
use crate::document::{self, Diagnostic};
use crate::keys::{KeySet, Keys, Tenants};
use crate::metrics::{Metrics, NamedBy};
use crate::types::locked;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The text of a keys file, or why it cannot be read.
type Content = Result<String, Vec<Diagnostic>>;

/// The keys of a file that is followed.
pub struct LiveKeys {
    file: PathBuf,
    metrics: Arc<Metrics>,
    tell: Box<dyn Fn(Tenants) + Send + Sync>,
    keys: Arc<Keys>,
    /// What the file held when it was last read, good or refused: it is not taken up twice.
    seen: Mutex<Content>,
}

impl LiveKeys {
    /// Reads a keys file. Blocks.
    ///
    /// # Errors
    /// What keeps it from being read, or all faults in it.
    pub fn open(file: &Path, metrics: Arc<Metrics>) -> Result<Self, Vec<Diagnostic>> {
        let text = content(file)?;
        let set = KeySet::read(&file.display().to_string(), &text)?;
        let (keys, tenants) = (set.len(), set.tenants().len());
        tracing::info!(file = %file.display(), keys, tenants, "API keys read: requests need one");
        metrics.keys_read();
        metrics.set_tenants(NamedBy::Keys, set.tenants().iter().cloned());
        let (file, keys) = (file.to_owned(), Arc::new(Keys::new(set)));
        Ok(Self { file, metrics, tell: Box::new(drop), keys, seen: Mutex::new(Ok(text)) })
    }

    /// Sets who is told of the tenants that keys stand for: now, and before each change.
    #[must_use]
    pub fn telling(self, tell: impl Fn(Tenants) + Send + Sync + 'static) -> Self {
        tell(Arc::clone(self.keys.current().tenants()));
        Self { tell: Box::new(tell), ..self }
    }

    /// The keys that hold, now and after every change.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    fn replace(&self, set: KeySet) {
        let (keys, tenants) = (set.len(), set.tenants().len());
        tracing::info!(keys, tenants, "API keys replaced");
        (self.tell)(Arc::clone(set.tenants()));
        self.metrics.set_tenants(NamedBy::Keys, set.tenants().iter().cloned());
        self.keys.replace(set);
        self.metrics.keys_reloaded(true);
    }

    fn refuse(&self, faults: &[Diagnostic]) {
        tracing::error!("API keys refused, the last good ones stay: {}", brief(faults, head));
        self.metrics.keys_reloaded(false);
    }
}

impl Watched for LiveKeys {
    fn path(&self) -> Option<&Path> {
        Some(&self.file)
    }

    fn refresh(&self, gap: Duration) -> bool {
        let mut seen = locked(&self.seen);
        let Some(content) = read::settled(|| content(&self.file), gap, |content| *seen == *content) else {
            return false;
        };
        if *seen != content {
            let read = content.as_ref().map_err(Clone::clone);
            match read.and_then(|text| KeySet::read(&self.file.display().to_string(), text)) {
                Ok(set) => self.replace(set),
                Err(faults) => self.refuse(&faults),
            }
            *seen = content;
        }
        true
    }
}

fn content(file: &Path) -> Content {
    let name = file.display().to_string();
    let unreadable = |error| vec![Diagnostic::whole(&name, format!("the keys cannot be read: {error}"), None)];
    let bytes = read::read_bytes(file).map_err(unreadable)?;
    document::decode(&name, bytes).map_err(|mut faults| {
        faults.iter_mut().for_each(Diagnostic::hide_line);
        faults
    })
}

impl fmt::Debug for LiveKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKeys").field("file", &self.file).field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
