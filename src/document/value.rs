//! How single values are spelled, and how a wrong one is described.

use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// Longest duration that is accepted.
pub const LONGEST_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Most bytes that are accepted.
pub const MOST_BYTES: u64 = 1 << 40;
/// Longest part of a value that is quoted, in characters.
const QUOTED: usize = 40;

/// Units of a duration, in nanoseconds.
pub const DURATION_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of a size, in bytes.
pub const BYTE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// The known name that `written` was most likely meant to be.
pub fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let written = plain(&written.chars().take(2 * QUOTED).collect::<String>());
    let distance = |name: &'n str| (strsim::damerau_levenshtein(&written, &plain(name)), name);
    let (distance, name) = names.map(distance).min()?;
    // A third of the letters may differ; more is another word.
    (distance <= (name.len() / 3).max(1)).then_some(name)
}

/// A name in backticks, safe to print.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("`{}`", clip(name))
}

/// Says what a value is.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{}\"", clip(text)),
        DeValue::Integer(number) => clip(&number.to_string()),
        DeValue::Float(number) => clip(&number.to_string()),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Describes the whole numbers in `range`.
pub(super) fn integers(range: &RangeInclusive<u64>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("an integer from {} to {}", range.start(), range.end())
    }
}

/// Describes the durations that [`duration`] accepts.
pub(super) fn durations(least: Duration) -> String {
    if least.is_zero() { "a duration up to 24h".to_owned() } else { format!("a duration from {least:?} to 24h") }
}

/// Describes a choice of names.
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

pub(super) fn integer(value: &DeValue<'_>, range: &RangeInclusive<u64>) -> Option<u64> {
    let written = value.as_integer()?;
    let number = i128::from_str_radix(written.as_str(), written.radix()).ok()?;
    u64::try_from(number).ok().filter(|number| range.contains(number))
}

pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(written) => i64::from_str_radix(written.as_str(), written.radix()).ok()? as f64,
        DeValue::Float(written) => written.as_str().parse().ok()?,
        _ => return None,
    };
    Some(number).filter(|number| number.is_finite())
}

/// Reads a whole number with its unit, from `ns` to `h`, as a duration from `least` to a day.
#[must_use]
pub fn duration(text: &str, least: Duration) -> Option<Duration> {
    let nanoseconds = quantity(text, &DURATION_UNITS)?;
    Some(Duration::from_nanos(nanoseconds)).filter(|duration| (least..=LONGEST_DURATION).contains(duration))
}

pub(super) fn bytes(value: &DeValue<'_>) -> Option<u64> {
    let range = 1..=MOST_BYTES;
    match value {
        DeValue::String(text) => quantity(text, &BYTE_UNITS).filter(|bytes| range.contains(bytes)),
        value => integer(value, &range),
    }
}

/// Reads a size as [`bytes`] does, from text alone: with a unit or as a number.
#[must_use]
pub fn bytes_of_text(text: &str) -> Option<u64> {
    let bytes = text.parse().ok().or_else(|| quantity(text, &BYTE_UNITS));
    bytes.filter(|bytes| (1..=MOST_BYTES).contains(bytes))
}

/// Reads a whole number with its unit, spaces between them allowed.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start_matches(' ');
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a duration as [`duration`] reads it, with the largest unit that leaves a whole number.
#[must_use]
pub fn duration_as_text(duration: Duration) -> String {
    match u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX) {
        0 => "0s".to_owned(),
        nanoseconds => spell(nanoseconds, &DURATION_UNITS),
    }
}

/// Writes a size of at least one byte, with the largest unit that leaves a whole number.
#[must_use]
pub fn bytes_as_text(bytes: u64) -> String {
    spell(bytes, &BYTE_UNITS)
}

/// Of units of one size, the first is taken.
fn spell(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().filter(|(_, factor)| number.is_multiple_of(*factor));
    whole
        .max_by_key(|(_, factor)| *factor)
        .map_or_else(String::new, |(unit, factor)| format!("{}{unit}", number / factor))
}

/// Cuts long text and escapes what would not print.
fn clip(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED).is_some() {
        shown.push('…');
    }
    shown
}
