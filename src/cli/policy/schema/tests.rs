//! The committed schema is the generated one, and accepts what the parser accepts.

use super::*;
use crate::policy::{Source, compile};
use proptest::prelude::{prop_assert_eq, proptest};
use std::collections::BTreeSet;

/// Whether a value is valid, as far as this schema goes.
fn valid(schema: &Value, value: &Value) -> bool {
    let Some(rules) = schema.as_object() else { panic!("no schema: {schema}") };
    rules.iter().all(|(rule, wanted)| match &**rule {
        "type" => match wanted.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("{other}"),
        },
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| wanted.get(key).is_none_or(|property| valid(property, value)))
        }),
        "additionalProperties" => {
            assert_eq!(wanted, false);
            value.as_object().is_none_or(|object| object.keys().all(|key| rules["properties"].get(key).is_some()))
        }
        "anyOf" => wanted.as_array().unwrap().iter().any(|schema| valid(schema, value)),
        "enum" => wanted.as_array().unwrap().contains(value),
        "const" => wanted == value,
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
        "pattern" => {
            let pattern = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "items" => value.as_array().is_none_or(|list| list.iter().all(|element| valid(wanted, element))),
        "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().unwrap()),
        "uniqueItems" => {
            let texts = |list: &Vec<Value>| list.iter().map(Value::to_string).collect::<BTreeSet<_>>().len();
            value.as_array().is_none_or(|list| texts(list) == list.len())
        }
        "$schema" | "title" | "description" | "default" | "x-taplo" => true,
        other => panic!("this test does not know {other}"),
    })
}

fn schema_accepts(text: &str) -> bool {
    toml::from_str::<Value>(text).is_ok_and(|value| valid(&schema(), &value))
}

fn parser_accepts(text: &str) -> bool {
    let mut sources = vec![Source { name: "p.toml".into(), text: text.into() }];
    // Whatever script it names is there: a schema knows no files.
    let table = toml::from_str::<toml::Table>(text).unwrap_or_default();
    let script = table.get("custom").and_then(|custom| custom.get("script")).and_then(toml::Value::as_str);
    sources.extend(
        script.filter(|name| name.ends_with(".rhai")).map(|name| Source { name: name.into(), text: "1".into() }),
    );
    compile(&sources, &[], 1).is_ok()
}

/// A policy that sets one key.
fn setting(key: &Key, value: &str) -> String {
    let (table, name) = (key.table, key.name);
    match (table, name) {
        ("", "strategy") => format!("{name} = {value}\n[custom]\nscript = \"a.rhai\""),
        ("", _) => format!("{name} = {value}"),
        // Sizes may not exceed it.
        (_, "preferred_batch_sizes") => format!("[batch]\nmax_batch_size = 65536\n{name} = {value}"),
        _ => format!("[{table}]\n{name} = {value}"),
    }
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.schema.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(committed, text(), "write it anew: inferneo policy schema > docs/policy.schema.json");
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let schema = schema();
    for table in TABLES.map(|(table, _)| table).into_iter().chain([""]) {
        let text = if table.is_empty() { "zzzzzzzz = 1".to_owned() } else { format!("[{table}]\nzzzzzzzz = 1") };
        assert!(!schema_accepts(&text), "[{table}]");
        let faults = compile(&[Source { name: "p.toml".into(), text }], &[], 1).unwrap_err();
        let help = faults[0].help.clone().unwrap();
        let parsed: BTreeSet<&str> = help.strip_prefix("known here: ").unwrap().split(", ").collect();
        let object = if table.is_empty() { &schema } else { &schema["properties"][table] };
        let described: BTreeSet<&str> = object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(parsed, described, "[{table}]");
    }
}

/// Values at the bounds of a kind and just beyond them.
fn samples(kind: &Kind) -> Vec<String> {
    let around = |range: &RangeInclusive<u32>| {
        let (least, most) = (i64::from(*range.start()), i64::from(*range.end()));
        [least - 1, least, most, most + 1, -least, 0].map(|number| number.to_string())
    };
    let durations = |least: Duration| {
        let least =
            [least.as_nanos().saturating_sub(1), least.as_nanos(), least.as_nanos() + 1].map(|n| format!("\"{n}ns\""));
        let most = DURATION_UNITS.map(|(unit, factor)| {
            let most = LONGEST_DURATION.as_nanos() as u64 / factor;
            [0, 1, most - 1, most, most + 1].map(|number| format!("\"{number}{unit}\""))
        });
        [least.to_vec(), most.concat(), vec!["\"00 ms\"".to_owned(), "\"007  s\"".to_owned(), "\"5 ms \"".to_owned()]]
            .concat()
    };
    match kind {
        Kind::Boolean(_) | Kind::Choice(_) => Vec::new(),
        Kind::Integer(range) | Kind::IntegerOrNone(range) => around(range).to_vec(),
        Kind::Number(range) => [range.start() / 2.0, *range.start(), 1.5, *range.end(), range.end() + 1.0, -1.0, 0.0]
            .map(|number| format!("{number:?}"))
            .to_vec(),
        Kind::RateOrNone(range) => {
            let rates = around(range).map(|number| format!("\"{number}/s\""));
            let odd = ["\"007/s\"", "\"7 /s\"", "\"7/m\"", "\"/s\"", "\"7\""].map(str::to_owned);
            [rates.to_vec(), odd.to_vec()].concat()
        }
        Kind::Integers(range) => {
            let numbers = around(range);
            let lists = numbers.iter().map(|number| format!("[{number}]"));
            lists.chain(["[]", "[1, 2]", "[2, 2]", "[\"2\"]"].map(str::to_owned)).collect()
        }
        Kind::Duration(least) | Kind::DurationOrNone(least) => durations(*least),
        Kind::BytesOrAuto => {
            let units = BYTE_UNITS.map(|(unit, factor)| {
                let most = MOST_BYTES / factor;
                [0, 1, most - 1, most, most + 1].map(|number| format!("\"{number}{unit}\""))
            });
            let numbers = [0, 1, MOST_BYTES, MOST_BYTES + 1].map(|number| number.to_string());
            let words = ["\"auto\"", "\"none\""].map(str::to_owned);
            [units.concat(), numbers.to_vec(), words.to_vec()].concat()
        }
        Kind::File(_) => file_names(),
        Kind::Names => {
            let of_length = |length: usize| format!("[\"{}\"]", "n".repeat(length));
            let some =
                ["[]", "[\"a\", \"b-*?\"]", "[\"a\\tb\"]", "[\"a\\u0085\"]", "[1]", "[\"é\"]"].map(str::to_owned);
            [some.to_vec(), [0, 1, LONGEST_NAME, LONGEST_NAME + 1].map(of_length).to_vec()].concat()
        }
    }
}

/// Names of files, and what is none.
fn file_names() -> Vec<String> {
    let names = ["a.rhai", "a b.é.rhai", ".rhai", "a/b.rhai", ".a.rhai", "a.rhai.bak", "a\\\\b.rhai", "a\\tb.rhai"];
    let long = [LONGEST_NAME, LONGEST_NAME + 1].map(|most| format!("{}.rhai", "n".repeat(most - 5)));
    names.map(str::to_owned).into_iter().chain(long).map(|name| format!("\"{name}\"")).collect()
}

#[test]
fn schema_and_parser_accept_the_same_values() {
    let common = [
        "true",
        "false",
        "1",
        "\"\"",
        "\"none\"",
        "\"custom\"",
        "\"adaptive\"",
        "\"fixed_size\"",
        "\"reject\"",
        "\"serve\"",
        "\"5\"",
        "\"ms\"",
        "\"5 ms\"",
        "\"1d\"",
        "\"1KB\"",
        "[]",
        "[[1]]",
        "{}",
        "\"5ms\\n\"",
        "\"-1s\"",
    ];
    let (mut accepted, mut refused) = (0, 0);
    for key in &KEYS {
        for value in samples(&key.kind).into_iter().chain(common.map(str::to_owned)) {
            let text = setting(key, &value);
            let is_accepted = parser_accepts(&text);
            assert_eq!(schema_accepts(&text), is_accepted, "{text}");
            *(if is_accepted { &mut accepted } else { &mut refused }) += 1;
        }
        if let Some(default) = key.default(Strategy::Adaptive) {
            assert!(parser_accepts(&setting(key, &default)), "{default}");
        }
    }
    assert!(accepted > 50 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn the_shipped_policies_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    for source in crate::reload::read_folder(&folder).unwrap().iter().filter(|source| !source.is_script()) {
        assert!(schema_accepts(&source.text), "{}", source.name);
    }
}

proptest! {
    #[test]
    fn quantities_are_accepted_alike(number in "[0-9]{1,3}|[0-9]{10,15}|8640[01]0{0,9}", unit in "ns|us|µs|ms|s|m|h|d", gap in " {0,2}") {
        for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Duration(_) | Kind::DurationOrNone(_))) {
            let text = setting(key, &format!("\"{number}{gap}{unit}\""));
            prop_assert_eq!(schema_accepts(&text), parser_accepts(&text), "{}", text);
        }
    }

    #[test]
    fn the_pattern_of_numbers_is_exact(most in 1..100_000u64, shortest in 1..4usize, offset in 0..200u64) {
        let pattern = regex::Regex::new(&format!("^({})$", numbers(shortest, most))).unwrap();
        for number in [offset, most.saturating_sub(offset), most + offset, offset * 97] {
            let wanted = number <= most && number > 0 && number.to_string().len() >= shortest;
            // A bound of fewer digits than the shortest is itself listed; no bound of ours is.
            if most.to_string().len() >= shortest {
                prop_assert_eq!(pattern.is_match(&number.to_string()), wanted, "{} in {}", number, pattern);
            }
        }
    }
}
