//! Who may import whom: the table of ARCHITECTURE.md against every path in `src`.

use super::{File, assert_none, files};
use std::collections::{BTreeMap, BTreeSet};

/// What a pure room never names: a clock, a thread, a runtime, the outside world.
const IMPURE: [&str; 8] =
    ["tokio::", "ort::", "hyper::", "Instant::now", "SystemTime", "std::fs", "std::net", "std::thread"];

/// One row of the table.
#[derive(Debug)]
struct Room {
    name: String,
    pure: bool,
    may_import: BTreeSet<String>,
}

/// Reads the table under the heading of the columns `room`, `owns` and `may import`.
fn table() -> Vec<Room> {
    let files = files();
    let page = files.iter().find(|file| file.path == "ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let rows = page.text.lines().skip_while(|line| *line != "| room | owns | may import |").skip(2);
    let rows: Vec<Vec<&str>> =
        rows.take_while(|line| line.starts_with('|')).map(|line| line.trim_matches('|').split('|').collect()).collect();
    let mut rooms: Vec<Room> = Vec::new();
    // From the last row up, so that "everything" is what stands below.
    for row in rows.iter().rev() {
        let [name, owns, imports] = row[..] else { panic!("three columns: {row:?}") };
        let below: BTreeSet<_> = rooms.iter().map(|room| room.name.clone()).collect();
        let may_import = if imports.trim() == "everything below" { below.clone() } else { quoted(imports) };
        let names: Vec<_> = quoted(name).into_iter().collect();
        let [name] = &names[..] else { panic!("one room a row: {row:?}") };
        let upward: Vec<_> = may_import.difference(&below).cloned().collect();
        assert_none(&format!("{name} imports only what stands below it in the table"), &upward);
        rooms.push(Room { name: name.clone(), pure: owns.contains("**pure**"), may_import });
    }
    assert!(rooms.len() > 10, "the table of ARCHITECTURE.md was not found");
    rooms
}

/// The words in backticks, without `/` or `.rs` at their end.
fn quoted(cell: &str) -> BTreeSet<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(|word| word.trim_end_matches('/').trim_end_matches(".rs").to_owned()).collect()
}

/// The room a source file belongs to; `None` for `lib.rs`, which only lists them.
fn room_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let name = inner.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

/// Test code may reach further than the code it tests.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The code of a file: without comments and without its inline test module.
fn code(file: &File) -> String {
    let text = &file.text;
    let inline_tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..inline_tests].lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that a file names: `crate::room`, `crate::{room, …}`, `super::room` from the top of a
/// room, and in `main.rs` `inferneo::room`.
fn imports(path: &str, code: &str) -> BTreeSet<String> {
    let up_to_root = path.matches('/').count() - usize::from(path.ends_with("/mod.rs"));
    let supers = "super::".repeat(up_to_root);
    let roots = if path == "src/main.rs" { vec!["inferneo::"] } else { vec!["crate::", supers.as_str()] };
    let mut found = BTreeSet::new();
    for root in roots {
        for (start, _) in code.match_indices(root) {
            let inside_a_word = code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !inside_a_word {
                found.extend(heads(&code[start + root.len()..]));
            }
        }
    }
    found
}

/// The first names of what follows a `::`: one, or several in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![first_word(rest)] };
    let mut depth = 0;
    let end = group.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0
    });
    let mut depth = 0;
    let parts = group[..end.unwrap_or(group.len())].split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && c == ','
    });
    parts.map(|part| first_word(part.trim())).filter(|word| !word.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_follow_the_table() {
    let rooms: BTreeMap<_, _> = table().into_iter().map(|room| (room.name.clone(), room)).collect();
    let mut faults = Vec::new();
    for file in files().iter().filter(|file| file.is_rust() && !is_test(&file.path)) {
        let Some(name) = room_of(&file.path) else { continue };
        let Some(room) = rooms.get(name) else {
            faults.push(format!("{}: ARCHITECTURE.md has no row for `{name}`", file.path));
            continue;
        };
        let foreign = imports(&file.path, &code(file)).into_iter().filter(|import| import != name);
        let wrong = foreign.filter(|import| !room.may_import.contains(import));
        faults.extend(wrong.map(|import| format!("{}: `{name}` may not import `{import}`", file.path)));
    }
    assert_none("imports follow the table of ARCHITECTURE.md", &faults);
}

#[test]
fn the_table_names_no_room_that_is_gone() {
    let files = files();
    let standing: BTreeSet<_> = files.iter().filter_map(|file| room_of(&file.path)).collect();
    let gone: Vec<_> = table().into_iter().map(|room| room.name).filter(|name| !standing.contains(&**name)).collect();
    assert_none("every row of ARCHITECTURE.md's table is a room of src", &gone);
}

#[test]
fn pure_rooms_name_nothing_of_the_outside() {
    let pure: BTreeSet<_> = table().into_iter().filter(|room| room.pure).map(|room| room.name).collect();
    assert!(["document", "policy", "sched", "types"].iter().all(|name| pure.contains(*name)), "{pure:?}");
    let files = files();
    let inside = files.iter().filter(|file| file.is_rust() && !is_test(&file.path));
    let inside = inside.filter(|file| room_of(&file.path).is_some_and(|name| pure.contains(name)));
    let mut faults = Vec::new();
    for file in inside {
        let code = code(file);
        let named = IMPURE.iter().filter(|word| names(&code, word));
        faults.extend(named.map(|word| format!("{} names {word}", file.path)));
    }
    assert_none("a pure room knows no clock, thread, runtime or file", &faults);
}

/// Whether `code` holds `word` as a word of its own, not as the end of a longer one.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn the_reader_of_imports_finds_all_forms() {
    let found = |path, code| imports(path, code).into_iter().collect::<Vec<_>>();
    assert_eq!(found("src/a/b.rs", "use crate::types::{Time, Id};\nlet x = crate::clock::now();"), ["clock", "types"]);
    assert_eq!(found("src/a/b.rs", "use crate::{error::{Error, Reason}, types};"), ["error", "types"]);
    assert_eq!(found("src/a/b.rs", "use super::sibling; use super::super::exec::Job;"), ["exec"]);
    assert_eq!(found("src/a/mod.rs", "use super::exec::Job;"), ["exec"]);
    assert_eq!(found("src/main.rs", "inferneo::cli::main()"), ["cli"]);
    let file = File {
        path: String::new(),
        text: "// crate::a\nuse x;\n#[cfg(test)]\nmod tests {\nuse crate::b;\n}\n".to_owned(),
    };
    assert_eq!(code(&file).trim(), "use x;");
}
