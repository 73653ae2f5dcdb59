//! API keys: which tenant a key stands for.
//!
//! Decides what a keys file may say, and whose a key is. Knows keys by their SHA-256 alone: the file gives
//! nobody a key, and how long a look-up takes tells nothing of one, because keys that are alike have digests that
//! are not. Does not know where the file lies nor when it changes: that is `reload`.

use crate::document::{Diagnostic, Document, Table};
use crate::types::is_name;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// Bytes of a SHA-256.
const DIGEST: usize = 32;

/// The names of tenants, in order.
pub type Tenants = Arc<BTreeSet<Arc<str>>>;

/// The keys of one file.
pub struct KeySet {
    tenants: HashMap<[u8; DIGEST], Arc<str>>,
    names: Tenants,
}

impl KeySet {
    /// Reads the text of a keys file: a `[[key]]` for each, with the `sha256` of the key and its `tenant`.
    ///
    /// # Errors
    /// All faults. None of them repeats what is written: it may be a key, put where its digest belongs.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let document = Document::parse(file, text).unquoted();
        let mut tenants = HashMap::new();
        for mut table in document.root().tables("key") {
            let Some((digest, tenant)) = entry(&mut table) else { continue };
            match tenants.entry(digest) {
                Entry::Vacant(free) => drop(free.insert(tenant)),
                Entry::Occupied(_) => {
                    table.fault("sha256", "this key is listed twice", Some("each key once, for one tenant".into()));
                }
            }
        }
        let names = Arc::new(tenants.values().cloned().collect());
        document.finish(Self { tenants, names })
    }

    /// The tenant that a key stands for, if it is known.
    #[must_use]
    pub fn tenant(&self, key: &[u8]) -> Option<&Arc<str>> {
        self.tenants.get(<[u8; DIGEST]>::from(Sha256::digest(key)).as_slice())
    }

    /// The tenants that keys stand for.
    #[must_use]
    pub fn tenants(&self) -> &Tenants {
        &self.names
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.len()).field("tenants", &self.names).finish()
    }
}

/// One `[[key]]`.
fn entry(table: &mut Table<'_>) -> Option<([u8; DIGEST], Arc<str>)> {
    for (key, allowed) in [("sha256", "the SHA-256 of an API key"), ("tenant", "whom the key stands for")] {
        if !table.has(key) {
            table.missing(key, allowed);
        }
    }
    let digest = table.parsed("sha256", "a SHA-256: 64 hexadecimal digits", digest);
    let named = |text: &str| (!text.is_empty() && is_name(text)).then(|| text.into());
    let tenant = table.parsed("tenant", "1 to 128 visible ASCII characters", named);
    digest.zip(tenant)
}

fn digest(text: &str) -> Option<[u8; DIGEST]> {
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    bytes?.try_into().ok()
}

/// The keys that hold now; who asks never waits.
#[derive(Debug)]
pub struct Keys(ArcSwap<KeySet>);

impl Keys {
    /// Keys that hold until others are put in their place.
    #[must_use]
    pub fn new(set: KeySet) -> Self {
        Self(ArcSwap::from_pointee(set))
    }

    /// The tenant that a key stands for now, if it is known.
    #[must_use]
    pub fn tenant(&self, key: &[u8]) -> Option<Arc<str>> {
        self.0.load().tenant(key).cloned()
    }

    /// What holds now.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.0.load_full()
    }

    /// Puts other keys in place of all of these.
    pub fn replace(&self, set: KeySet) {
        self.0.store(Arc::new(set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `printf %s KEY | sha256sum` says of `alpha`, `beta`.
    const ALPHA: &str = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8";
    const BETA: &str = "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753";

    fn faults(text: &str) -> Vec<String> {
        KeySet::read("keys.toml", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn key(sha256: &str, tenant: &str) -> String {
        format!("[[key]]\nsha256 = \"{sha256}\"\ntenant = \"{tenant}\"\n")
    }

    #[test]
    fn keys_are_known_by_their_digest() {
        let text = [key(ALPHA, "acme"), key(&BETA.to_uppercase(), "acme")].concat();
        let keys = Keys::new(KeySet::read("keys.toml", &text).unwrap());
        for known in ["alpha", "beta"] {
            assert_eq!(keys.tenant(known.as_bytes()).as_deref(), Some("acme"));
        }
        for unknown in ["", "alph", "alpha ", "Alpha", ALPHA] {
            assert_eq!(keys.tenant(unknown.as_bytes()), None, "{unknown:?}");
        }
        assert_eq!(keys.current().tenants().iter().map(|name| &**name).collect::<Vec<_>>(), ["acme"]);
        keys.replace(KeySet::read("keys.toml", "").unwrap());
        assert!(keys.tenant(b"alpha").is_none() && keys.current().is_empty());
    }

    #[test]
    fn every_fault_has_a_place_and_repeats_nothing_of_the_file() {
        let twice = [key(ALPHA, "acme"), key(ALPHA, "other")].concat();
        assert_eq!(faults(&twice), ["keys.toml:5:10: this key is listed twice\n  = each key once, for one tenant"]);
        let missing = faults("[[key]]\nsha256 = \"sk-secret\"\n");
        assert!(missing[0].starts_with("keys.toml:1:1: the key `tenant` is missing"), "{missing:?}");
        assert_eq!(missing[1], "keys.toml:2:10: expected a SHA-256: 64 hexadecimal digits");
        for (text, place) in [
            (key("sk-secret", "acme"), "keys.toml:2:10: "),
            (key(&format!("+{}", &ALPHA[1..]), "acme"), "keys.toml:2:10: "),
            (key(&ALPHA[1..], "sk-secret"), "keys.toml:2:10: "),
            (key(&format!("{ALPHA}é"), "acme"), "keys.toml:2:10: "),
            (key(ALPHA, "two words sk-secret"), "keys.toml:3:10: "),
            (key(ALPHA, ""), "keys.toml:3:10: "),
            ("sk-secret = \"acme\"".into(), "keys.toml:1:1: unknown key at the top level"),
            ("[[key]]\nsha256 = sk-secret\n".into(), "keys.toml:2:"),
            ("[\"sk-secret\"".into(), "keys.toml:1:"),
            ("key = \"sk-secret\"".into(), "keys.toml:1:7: expected tables written as [[key]]"),
            ("key = [\"sk-secret\"]".into(), "keys.toml:1:8: expected tables written as [[key]]"),
        ] {
            let told = faults(&text).join("\n");
            assert!(told.contains(place) && !told.contains("sk-secret"), "{text}\n{told}");
        }
    }
}
