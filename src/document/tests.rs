//! How faults are shown, how values are spelled, and that no text is a crash.

use super::*;
use std::time::Duration;

fn faults(text: &str, read: impl FnOnce(&mut Table<'_>)) -> Vec<String> {
    let document = Document::parse("f.toml", text);
    read(&mut document.root());
    document.finish(()).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_fault_shows_its_line_and_what_is_allowed() {
    let shown = faults("[batch]\nmax_batch_size = \"abc\" # rows\n", |root| {
        assert_eq!(root.table("batch").u32("max_batch_size", 1..=65_536), None);
    });
    let expected = "f.toml:2:18: expected an integer from 1 to 65536, found the string \"abc\"\n  \
                    2 | max_batch_size = \"abc\" # rows\n    |                  ^^^^^";
    assert_eq!(shown, [expected]);
}

#[test]
fn an_unknown_key_suggests_the_nearest_known_one() {
    let shown = faults("[batch]\nmax-batch-sice = 3\nother = 1\n", |root| {
        root.table("batch").u32("max_batch_size", 1..=9);
    });
    assert!(shown[0].starts_with("f.toml:2:1: unknown key `max-batch-sice` in [batch]"), "{shown:?}");
    assert!(shown[0].ends_with("= did you mean `max_batch_size`?"), "{shown:?}");
    assert!(shown[1].contains("known here: max_batch_size"), "{shown:?}");
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_its_own() {
    let shown = faults("rows = 1\n[[m]]\nb = 2\n", |root| {
        root.table("batch").u32("rows", 1..=9);
        root.boolean("b");
        drop(root.tables("m"));
    });
    assert!(shown[0].contains("unknown key `rows` at the top level"), "{shown:?}");
    assert!(shown[0].ends_with("= it belongs in [batch]"), "{shown:?}");
    assert!(shown[1].contains("unknown key `b` in [[m]]"), "{shown:?}");
    assert!(shown[1].ends_with("= it belongs at the top level"), "{shown:?}");
}

#[test]
fn a_wrong_name_suggests_the_nearest_one() {
    let shown = faults("s = \"adaptve\"", |root| {
        root.choice("s", &[("adaptive", 1), ("fixed_size", 2)]);
    });
    assert!(shown[0].contains("expected \"adaptive\" or \"fixed_size\", found the string \"adaptve\""), "{shown:?}");
    assert!(shown[0].ends_with("did you mean \"adaptive\"?"), "{shown:?}");
}

#[test]
fn every_fault_is_told_in_the_order_of_the_text() {
    let shown = faults("b = 1\nb = 2\nc = [1, \"x\", 0]\na = 2024-01-01\nd = {\ne = 1.5\n", |root| {
        root.boolean("a");
        root.boolean("b");
        root.integers("c", 1..=5);
        root.u32("e", 1..=2);
    });
    let places: Vec<&str> = shown.iter().map(|s| s.split(": ").next().unwrap()).collect();
    assert_eq!(places[..5], ["f.toml:1:5", "f.toml:2:1", "f.toml:3:9", "f.toml:3:14", "f.toml:4:5"], "{shown:#?}");
    assert!(shown[1].contains("duplicate key"), "{shown:?}");
}

#[test]
fn an_unclosed_array_is_told_once() {
    let shown = faults("a = [1, 0\n[b]\nc = 1\n# comment\nd = \"x\"\n", |root| {
        root.integers("a", 1..=5);
        root.table("b");
    });
    assert_eq!(shown.len(), 2, "{shown:#?}");
    assert!(shown[0].starts_with("f.toml:1:9: expected a list"), "{shown:#?}");
    assert!(shown[1].starts_with("f.toml:2:1: missing comma"), "{shown:#?}");
}

#[test]
fn columns_count_characters_and_skip_the_byte_order_mark() {
    let shown = faults("\u{feff}\"kéy\" = 1\r\n\tz = 2\r\n", |_| ());
    assert!(shown[0].starts_with("f.toml:1:1: unknown key `kéy`"), "{shown:?}");
    assert!(shown[0].contains("\n  1 | \"kéy\" = 1\n    | ^^^^^\n"), "{shown:?}");
    assert!(shown[1].contains("f.toml:2:2: "), "{shown:?}");
    assert!(shown[1].contains("\n  2 |     z = 2\n    |     ^\n"), "{shown:?}");
}

#[test]
fn a_long_line_is_cut_around_the_fault() {
    let text = format!("a = [{}7, {}]", "1, ".repeat(200), "1, ".repeat(200));
    let shown = faults(&text, |root| {
        root.integers("a", 1..=5);
    });
    let lines: Vec<&str> = shown[0].lines().collect();
    assert!(lines[0].starts_with("f.toml:1:606: "), "{lines:?}");
    assert!(lines[1].chars().count() < 140, "{lines:?}");
    let at = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().nth(at), Some('7'));
}

#[test]
fn terminal_escapes_are_not_printed() {
    let shown = faults("a = \"\u{202e}\u{9b}31m\" # \u{202e}\nb = \"\\u001b[2J\"", |root| {
        root.boolean("a");
        root.boolean("b");
    });
    assert!(!shown.concat().contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown:?}");
}

#[test]
fn durations_have_units() {
    let read = |text: &str| {
        let text = format!("d = {text}");
        let document = Document::parse("f.toml", &text);
        let found = document.root().duration("d", Duration::ZERO);
        document.finish(found).ok().flatten()
    };
    assert_eq!(read("\"100us\""), Some(Duration::from_micros(100)));
    assert_eq!(read("\"100 µs\""), Some(Duration::from_micros(100)));
    assert_eq!(read("\"2s\""), Some(Duration::from_secs(2)));
    assert_eq!(read("\"1m\""), Some(Duration::from_secs(60)));
    assert_eq!(read("\"0s\""), Some(Duration::ZERO));
    for wrong in ["5", "\"5\"", "\"ms\"", "\"-1s\"", "\"1.5s\"", "\"25h\"", "\"99999999999999999999s\"", "\"none\""] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn sizes_have_units_or_are_bytes() {
    let read = |text: &str| {
        let text = format!("b = {text}");
        let document = Document::parse("f.toml", &text);
        let found = document.root().bytes("b");
        document.finish(found).ok().flatten()
    };
    assert_eq!(read("\"64MiB\""), Some(64 << 20));
    assert_eq!(read("\"64MB\""), Some(64_000_000));
    assert_eq!(read("1_024"), Some(1024));
    assert_eq!(read("0x10"), Some(16));
    for wrong in ["0", "-1", "\"64\"", "\"64M\"", "\"2TiB\"", "1.0", "\"99999999999999999999B\""] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn none_is_a_value() {
    let document = Document::parse("f.toml", "a = \"none\"\nb = \"1s\"\nc = \"none\"");
    let mut root = document.root();
    assert_eq!(root.duration_or_none("a", Duration::ZERO), Some(None));
    assert_eq!(root.duration_or_none("b", Duration::ZERO), Some(Some(Duration::from_secs(1))));
    assert_eq!(root.u32_or_none("c", 1..=5), Some(None));
    assert_eq!(root.u32_or_none("d", 1..=5), None);
}

#[test]
fn unsupported_and_missing_keys_are_told() {
    let shown = faults("x.y = 1\n[[m]]\nz = 1\n", |root| {
        root.not_yet_supported("x");
        root.not_yet_supported("w");
        for mut table in root.tables("m") {
            table.u32("z", 1..=1);
            table.missing("path", "a folder");
        }
    });
    assert!(shown[0].starts_with("f.toml:1:1: `[x]` is not yet supported"), "{shown:?}");
    assert!(shown[1].starts_with("f.toml:2:1: the key `path` is missing"), "{shown:?}");
    assert_eq!(shown.len(), 2);
}

#[test]
fn the_list_of_faults_is_bounded() {
    let text: String = (0..5000).map(|n| format!("key_{n} = 1\n")).collect();
    let shown = faults(&text, |_| ());
    assert_eq!(shown.len(), 101);
    assert_eq!(shown[100], "f.toml: 4900 more faults are not shown");
    assert!(faults(&"#".repeat(MAX_BYTES + 1), |_| ())[0].contains("at most 1048576 bytes"));
}

#[test]
fn deep_nesting_is_a_fault_and_not_a_crash() {
    for text in ["a.".repeat(200_000), format!("a = {}", "[".repeat(500_000)), "a={".repeat(300_000)] {
        assert!(!faults(&text, |_| ()).is_empty());
    }
}

#[test]
fn bytes_that_are_no_text_are_located() {
    let faults = decode("f.toml", b"a = 1\nb = \"\xff\"\n".to_vec()).unwrap_err();
    assert!(faults[0].to_string().starts_with("f.toml:2:6: this byte is not UTF-8"), "{faults:?}");
    assert_eq!(decode("f.toml", b"a".to_vec()).unwrap(), "a");
}

#[test]
fn durations_and_sizes_are_written_as_they_are_read() {
    for text in ["0s", "1ns", "1500us", "7ms", "90s", "1m", "24h"] {
        assert_eq!(duration_as_text(duration(text, Duration::ZERO).unwrap()), text);
    }
    assert_eq!(duration_as_text(Duration::from_millis(1000)), "1s");
    for (bytes, text) in
        [(1, "1B"), (1000, "1kB"), (1024, "1KiB"), (64 << 20, "64MiB"), (1_000_000, "1MB"), (1 << 40, "1TiB")]
    {
        assert_eq!(bytes_as_text(bytes), text);
        let read = Document::parse("f.toml", &format!("n = \"{text}\"")).root().bytes("n");
        assert_eq!(read, Some(bytes));
    }
}

#[test]
fn a_key_has_a_line() {
    let document = Document::parse("f.toml", "a = 1\nb.c = 2\n[d]\n\ne = [\n1]\n");
    let line = |table, key| document.line(table, key);
    assert_eq!([line("", "a"), line("b", "c"), line("d", "e")], [Some(1), Some(2), Some(5)]);
    assert_eq!([line("", "e"), line("a", "e"), line("x", "e")], [None; 3]);
}
