//! `inferneo policy schema`: the format of policy files, as editors read it.
//!
//! Decides how a key is put in JSON Schema, in draft 7: what editors of TOML understand. What keys
//! there are and what they may hold comes from `policy`. What a schema cannot say (two keys that must
//! go together) is left to `policy check`.

use crate::document::{BYTE_UNITS, DURATION_UNITS, LONGEST_DURATION, MOST_BYTES};
use crate::policy::{KEYS, Key, Kind, LONGEST_NAME, Strategy, TABLES};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The schema as a file.
pub(super) fn text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Value {
    let mut properties = keys_of("");
    for (table, about) in TABLES {
        properties.insert(table.to_owned(), object(about, keys_of(table)));
    }
    let mut schema = object("One policy of inferneo; every key is optional.", properties);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("inferneo policy");
    schema
}

fn object(about: &str, properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "description": about, "properties": properties, "additionalProperties": false })
}

fn keys_of(table: &str) -> Map<String, Value> {
    KEYS.iter().filter(|key| key.table == table).map(|key| (key.name.to_owned(), property(key))).collect()
}

fn property(key: &Key) -> Value {
    let mut property = values(&key.kind);
    let mut about = format!("{}{}", key.about, form(&key.kind));
    if key.by_strategy {
        let defaults = Strategy::ALL
            .map(|strategy| format!("{} ({})", key.default(strategy).unwrap_or_default(), strategy.name()));
        about.push_str(&format!(" Default: {}.", defaults.join(", ")));
    } else if let Some(default) = key.default(Strategy::Adaptive) {
        // Numbers, plain strings and lists of numbers are written alike in TOML and JSON.
        property["default"] = serde_json::from_str(&default).unwrap_or_default();
    }
    property["description"] = json!(about);
    if key.name == "strategy" {
        property["x-taplo"] = json!({ "docs": { "enumValues": Strategy::ALL.map(Strategy::about) } });
    }
    property
}

/// How a value is written, where its pattern is not for people.
fn form(kind: &Kind) -> &'static str {
    match kind {
        Kind::Duration(_) => " A whole number with ns, us, ms, s, m or h, up to 24h.",
        Kind::DurationOrNone(_) => " A whole number with ns, us, ms, s, m or h, from 1us to 24h, or \"none\".",
        Kind::RateOrNone(_) => " A whole number with /s, or \"none\".",
        Kind::BytesOrAuto => {
            " A number of bytes, or a whole number with B, kB, MB, GB, KiB, MiB, GiB or TiB, up to 1TiB, or \"auto\"."
        }
        _ => "",
    }
}

/// What a key may hold.
fn values(kind: &Kind) -> Value {
    match kind {
        Kind::Boolean(supported) => json!({ "type": "boolean", "enum": supported }),
        Kind::Integer(range) => integer(range),
        Kind::IntegerOrNone(range) => json!({ "anyOf": [integer(range), { "const": "none" }] }),
        Kind::Number(range) => json!({ "type": "number", "minimum": range.start(), "maximum": range.end() }),
        Kind::RateOrNone(range) => {
            let pattern = quantities(&[("/s", 1)], u64::from(*range.start()), u64::from(*range.end()));
            json!({ "anyOf": [{ "type": "string", "pattern": pattern }, { "const": "none" }] })
        }
        Kind::Integers(range) => json!({ "type": "array", "items": integer(range), "uniqueItems": true }),
        Kind::Duration(least) => duration(*least),
        Kind::DurationOrNone(least) => json!({ "anyOf": [duration(*least), { "const": "none" }] }),
        Kind::BytesOrAuto => {
            let pattern = quantities(&BYTE_UNITS, 1, MOST_BYTES);
            let number = json!({ "type": "integer", "minimum": 1, "maximum": MOST_BYTES });
            json!({ "anyOf": [{ "type": "string", "pattern": pattern }, number, { "const": "auto" }] })
        }
        Kind::Choice(names) => json!({ "type": "string", "enum": names }),
        Kind::Names => {
            let name = format!("^[^\\u0000-\\u001f\\u007f-\\u009f]{{1,{LONGEST_NAME}}}$");
            json!({ "type": "array", "items": { "type": "string", "pattern": name }, "minItems": 1 })
        }
        Kind::File(ending) => {
            let letter = "/\\\\\\u0000-\\u001f\\u007f-\\u009f";
            let (longest, ending) = (LONGEST_NAME - 1 - ending.len(), ending.replace('.', "\\."));
            json!({ "type": "string", "pattern": format!("^[^.{letter}][^{letter}]{{0,{longest}}}{ending}$") })
        }
    }
}

fn integer(range: &RangeInclusive<u32>) -> Value {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

fn duration(least: Duration) -> Value {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let pattern = quantities(&DURATION_UNITS, nanoseconds(least), nanoseconds(LONGEST_DURATION));
    json!({ "type": "string", "pattern": pattern })
}

/// A pattern of the numbers with a unit that amount to `least` up to `most`, and to zero if that is
/// the least. `least` is zero or a power of ten.
fn quantities(units: &[(&str, u64)], least: u64, most: u64) -> String {
    let zero = if least == 0 { "|0+" } else { "" };
    let quantity = |(unit, factor): &(&str, u64)| {
        let shortest = least.div_ceil(*factor).max(1).to_string().len();
        format!("(0*({}){zero}) *{unit}", numbers(shortest, most / factor))
    };
    format!("^({})$", units.iter().map(quantity).collect::<Vec<_>>().join("|"))
}

/// A pattern of the numbers of at least `shortest` digits up to `most`, without leading zeros.
fn numbers(shortest: usize, most: u64) -> String {
    let most = most.to_string();
    let mut choices = vec![most.clone()];
    if most.len() > shortest {
        choices.push(format!("[1-9]{}", digits(shortest - 1, most.len() - 2)));
    }
    for (place, digit) in most.char_indices() {
        // The first digit that is less than that of `most`; whatever follows is free.
        let lowest = if place == 0 { '1' } else { '0' };
        let rest = most.len() - place - 1;
        match u8::try_from(digit).map_or(digit, |digit| char::from(digit - 1)) {
            less if less > lowest => choices.push(format!("{}[{lowest}-{less}]{}", &most[..place], digits(rest, rest))),
            less if less == lowest => choices.push(format!("{}{lowest}{}", &most[..place], digits(rest, rest))),
            _ => {}
        }
    }
    choices.join("|")
}

fn digits(least: usize, most: usize) -> String {
    match (least, most) {
        (_, 0) => String::new(),
        (1, 1) => "[0-9]".to_owned(),
        (least, most) if least == most => format!("[0-9]{{{most}}}"),
        (least, most) => format!("[0-9]{{{least},{most}}}"),
    }
}

#[cfg(test)]
mod tests;
