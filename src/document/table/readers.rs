//! The readers of a table: one for each kind of value.
//!
//! Decides which values a kind has and how it is described.

use super::{Located, Table};
use crate::document::value;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

impl<'d> Table<'d> {
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

    /// A number in `range`, with or without a fraction.
    pub fn number_in(&mut self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.value(key, &expected, |found| value::number(found).filter(|number| range.contains(number)))
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

    /// The same, or `"auto"`, which is `Some(None)`.
    pub fn bytes_or_auto(&mut self, key: &str) -> Option<Option<u64>> {
        let expected = "a size from 1 byte to 1TiB such as \"64MiB\", a number of bytes, or \"auto\"";
        self.value(key, expected, |found| match found.as_str() {
            Some("auto") => Some(None),
            _ => value::bytes(found).map(Some),
        })
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
}
