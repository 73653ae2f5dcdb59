//! A table of a document, read key by key.

use super::{Document, Span, value};
use std::ops::RangeInclusive;
use std::time::Duration;
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

    /// Refuses a value that the specification has and this version does not; `supported` are those it has.
    pub fn not_yet_supported_value(&mut self, key: &str, supported: &[&str]) {
        self.know(key);
        let Some(found) = self.entries.and_then(|entries| entries.get(key)) else {
            return;
        };
        let message = format!("`{key}` as {} is not yet supported", value::describe(found.get_ref()));
        self.document.fault(found.span(), message, Some(format!("supported: {}", supported.join(", "))));
    }

    /// A whole number in `range`.
    pub fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.value(key, &value::integers(&range), |found| value::integer(found, &range))
    }

    /// A whole number in `range`, as 32 bits.
    pub fn u32(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.integer(key, range).and_then(|number| u32::try_from(number).ok())
    }

    /// A whole number in `range`, or `"none"`, which is `Some(None)`.
    pub fn u32_or_none(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<Option<u32>> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.value(key, &format!("{} or \"none\"", value::integers(&range)), |found| match found.as_str() {
            Some("none") => Some(None),
            _ => value::integer(found, &range).and_then(|number| u32::try_from(number).ok()).map(Some),
        })
    }

    /// A finite number, with or without a fraction.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        self.value(key, "a number", value::number)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.value(key, "true or false", DeValue::as_bool)
    }

    /// A string that is not empty.
    pub fn string(&mut self, key: &str) -> Option<String> {
        self.parsed(key, "a string that is not empty", |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    /// A string that `parse` understands; `expected` describes those.
    pub fn parsed<T>(&mut self, key: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.value(key, expected, |found| found.as_str().and_then(parse))
    }

    /// One of these names.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let find = |found: &DeValue<'_>| {
            let name = found.as_str()?;
            choices.iter().find(|(choice, _)| *choice == name).map(|(_, value)| *value)
        };
        let names: Vec<&'static str> = choices.iter().map(|(name, _)| *name).collect();
        self.take(key, &value::one_of(&names), find, |found| value::nearest(found.as_str()?, names.iter().copied()))
    }

    /// A duration of at least `least`, written like `"5ms"`.
    pub fn duration(&mut self, key: &str, least: Duration) -> Option<Duration> {
        let expected = format!("{} such as \"5ms\" or \"2s\"", value::durations(least));
        self.parsed(key, &expected, |text| value::duration(text, least))
    }

    /// A duration of at least `least`, or `"none"`, which is `Some(None)`.
    pub fn duration_or_none(&mut self, key: &str, least: Duration) -> Option<Option<Duration>> {
        let expected = format!("{} such as \"5ms\" or \"2s\", or \"none\"", value::durations(least));
        self.parsed(key, &expected, |text| match text {
            "none" => Some(None),
            text => value::duration(text, least).map(Some),
        })
    }

    /// A number of bytes, written like `"64MiB"` or as a whole number, of at least one.
    pub fn bytes(&mut self, key: &str) -> Option<u64> {
        self.value(key, "a size from 1 byte to 1TiB such as \"64MiB\", or a number of bytes", value::bytes)
    }

    /// A list whose elements `parse` understands; `expected` describes the list.
    pub fn list<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        let elements = self.value(key, expected, |found| found.as_array())?;
        let read = elements.iter().map(|element| {
            let value = parse(element.get_ref());
            if value.is_none() {
                self.mismatch(element, expected, None);
            }
            Some(Located { value: value?, at: element.span() })
        });
        // All are read before the first fault counts, so that each is told.
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// A list of strings that `accept` accepts; `expected` describes the list.
    pub fn strings(
        &mut self,
        key: &str,
        expected: &str,
        accept: impl Fn(&str) -> bool,
    ) -> Option<Vec<Located<String>>> {
        self.list(key, expected, |found| found.as_str().filter(|text| accept(text)).map(str::to_owned))
    }

    /// A list of whole numbers in `range`.
    pub fn integers(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<Vec<Located<u32>>> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let expected = format!("a list of whole numbers, each {}", value::integers(&range));
        self.list(key, &expected, |found| value::integer(found, &range).and_then(|number| u32::try_from(number).ok()))
    }

    /// A table inside this one; an empty one where it is absent.
    pub fn table(&mut self, key: &str) -> Table<'d> {
        let inner = self.value(key, "a table", |found| found.as_table());
        Table::new(self.document, &self.qualified(key), self.at(key), inner)
    }

    /// The tables of a list written as `[[key]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'d>> {
        let name = self.qualified(key);
        let expected = format!("tables written as [[{name}]]");
        let Some(elements) = self.value(key, &expected, |found| found.as_array()) else {
            return Vec::new();
        };
        let read = elements.iter().filter_map(|element| {
            let inner = element.get_ref().as_table();
            if inner.is_none() {
                self.mismatch(element, &expected, None);
            }
            let mut table = Table::new(self.document, &name, element.span(), Some(inner?));
            table.is_element = true;
            Some(table)
        });
        read.collect()
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
        let message = format!("expected {expected}, found {}", value::describe(found.get_ref()));
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
