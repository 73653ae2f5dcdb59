//! A table of a document, read key by key.
//!
//! Decides what counts as read, and how a key or a value that is wrong is told.

mod readers;

use super::{Document, Span, value};
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Span,
}

/// A table being read. Each reader takes one key, and answers `None` where the key is absent or its
/// value is a fault, which is then recorded. When the table goes out of scope, the keys that no
/// reader took are recorded as unknown.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    name: String,
    /// Whether it is one of many, written as `[[name]]`.
    is_element: bool,
    at: Span,
    entries: Option<&'d DeTable<'d>>,
    known: Vec<String>,
}

impl<'d> Table<'d> {
    pub(super) fn new(document: &'d Document<'d>, name: &str, at: Span, entries: Option<&'d DeTable<'d>>) -> Self {
        Self { document, name: name.to_owned(), is_element: false, at, entries, known: Vec::new() }
    }

    /// Whether the key is written, rightly or wrongly.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Where the key's value stands, or its table where the key is absent.
    #[must_use]
    pub fn at(&self, key: &str) -> Span {
        self.entries.and_then(|entries| entries.get(key)).map_or_else(|| self.at.clone(), toml::Spanned::span)
    }

    /// Where the key itself stands, or its table where the key is absent.
    #[must_use]
    pub fn key_at(&self, key: &str) -> Span {
        let entry = self.entries.and_then(|entries| entries.get_key_value(key));
        entry.map_or_else(|| self.at.clone(), |(key, _)| key.span())
    }

    /// Where the key's value stands, in words: the file, the line, the column and the key.
    #[must_use]
    pub fn source(&self, key: &str) -> String {
        let key_here = if self.name.is_empty() { key.to_owned() } else { format!("[{}] {key}", self.name) };
        format!("{}: {key_here}", self.document.place_of(self.at(key)))
    }

    /// The key's value if it is a string. The key does not count as read.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&'d str> {
        self.entries.and_then(|entries| entries.get(key)).and_then(|found| found.get_ref().as_str())
    }

    /// Records a fault of this key's value.
    pub fn fault(&self, key: &str, message: impl Into<String>, help: Option<String>) {
        self.document.fault(self.at(key), message, help);
    }

    /// Records that a key which has no default is absent.
    pub fn missing(&self, key: &str, allowed: &str) {
        self.document.fault(self.at.clone(), format!("the key `{key}` is missing"), Some(format!("it is {allowed}")));
    }

    /// Refuses a key that the specification has and this version does not.
    pub fn not_yet_supported(&mut self, key: &str) {
        self.know(key);
        let Some((name, value)) = self.entries.and_then(|entries| entries.get_key_value(key)) else {
            return;
        };
        let name_of = self.qualified(key);
        let what = if value.get_ref().is_table() { format!("`[{name_of}]`") } else { format!("`{name_of}`") };
        let help = Some("remove it: a setting that does nothing is not accepted".to_owned());
        self.document.fault(name.span(), format!("{what} is not yet supported"), help);
    }

    fn value<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&'d DeValue<'d>) -> Option<T>) -> Option<T> {
        self.take(key, expected, read, |_| None)
    }

    fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
        hint: impl FnOnce(&'d DeValue<'d>) -> Option<&'static str>,
    ) -> Option<T> {
        self.know(key);
        let found = self.entries?.get(key)?;
        let value = read(found.get_ref());
        if value.is_none() {
            self.mismatch(found, expected, hint(found.get_ref()));
        }
        value
    }

    fn know(&mut self, key: &str) {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
    }

    fn mismatch(&self, found: &toml::Spanned<DeValue<'_>>, expected: &str, hint: Option<&str>) {
        let found_instead = match self.document.quotes {
            true => format!(", found {}", value::describe(found.get_ref())),
            false => String::new(),
        };
        let message = format!("expected {expected}{found_instead}");
        let help = hint.map(|name| format!("did you mean \"{name}\"?"));
        self.document.fault(found.span(), message, help);
    }

    fn qualified(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Where its keys stand, in words.
    fn place(&self) -> String {
        match (&*self.name, self.is_element) {
            ("", _) => "at the top level".to_owned(),
            (name, false) => format!("in [{name}]"),
            (name, true) => format!("in [[{name}]]"),
        }
    }

    fn help_for_unknown(&self, key: &str) -> String {
        match value::nearest(key, self.known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", self.known.join(", ")),
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let place = self.place();
        for key in self.entries.into_iter().flat_map(DeTable::keys) {
            if !self.known.iter().any(|known| known == key.get_ref()) {
                let help = self.help_for_unknown(key.get_ref());
                self.document.unknown_key(key.get_ref(), key.span(), &place, help);
            }
        }
        self.document.know(std::mem::take(&mut self.known), place);
    }
}
