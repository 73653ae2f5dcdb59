//! Holds the rules of the house that no compiler holds: who imports whom (ARCHITECTURE.md), file
//! lengths, module headers, and what must not stand in a file. Licences and sources of dependencies
//! are held to deny.toml.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the project has nothing to say")]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/rooms.rs"]
mod rooms;

use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are several files.
const MOST_LINES: usize = 500;

/// Longer functions are several functions.
const MOST_LINES_A_FUNCTION: usize = 50;

/// A text file of the project.
#[derive(Debug)]
struct File {
    /// Relative to the project, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

/// Every text file but what is built, fetched or kept by git.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            let built = matches!(relative.as_str(), ".git" | ".cache" | "target" | "fuzz/target" | "fuzz/Cargo.lock");
            if built || relative.ends_with("__pycache__") || relative.ends_with("node_modules") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push(File { path: relative, text });
            }
        }
    }
    assert!(files.len() > 20, "found only {} files", files.len());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Fails with one line a fault.
fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}\n", faults.join("\n  "));
}

/// Lines of `file` that hold one of `words`, as faults.
fn lines_with<'a>(file: &'a File, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    file.text.lines().enumerate().filter_map(move |(number, line)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("{}:{}: {word}", file.path, number + 1))
    })
}

#[test]
fn files_are_short() {
    let long = files().into_iter().filter(|file| file.is_rust() && file.text.lines().count() > MOST_LINES);
    let faults: Vec<_> = long.map(|file| format!("{} has {} lines", file.path, file.text.lines().count())).collect();
    assert_none("a file has at most 500 lines", &faults);
}

#[test]
fn functions_are_short() {
    let files = files();
    let faults: Vec<_> = files.iter().filter(|file| file.is_rust()).flat_map(long_functions).collect();
    assert_none("a function has at most 50 lines", &faults);
}

/// The functions of a formatted file that are too long, as faults.
fn long_functions(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let functions = (0..lines.len()).filter(|&start| is_function(lines[start]));
    let measured = functions.filter_map(|start| Some((start, function_length(&lines[start..])?)));
    let long = measured.filter(|(_, length)| *length > MOST_LINES_A_FUNCTION);
    long.map(|(start, length)| format!("{}:{}: {length} lines", file.path, start + 1)).collect()
}

fn is_function(line: &str) -> bool {
    let is_qualifier =
        |word: &&str| word.starts_with("pub") || word.ends_with(')') || ["const", "async", "unsafe"].contains(word);
    line.split_whitespace().find(|word| !is_qualifier(word)) == Some("fn")
}

/// Lines from a function's first to the brace that closes it; none for a declaration.
fn function_length(lines: &[&str]) -> Option<usize> {
    let opening = lines.iter().position(|line| line.ends_with(['{', '}', ';']))?;
    if !lines[opening].ends_with('{') {
        return None;
    }
    let indent = lines[0].len() - lines[0].trim_start().len();
    let closes = |line: &&str| line.trim_start() == "}" && line.len() == indent + 1;
    lines.iter().position(closes).map(|end| end + 1)
}

#[test]
fn modules_say_what_they_decide() {
    let silent = files().into_iter().filter(|file| file.is_rust() && !file.text.starts_with("//! "));
    let faults: Vec<_> = silent.map(|file| file.path).collect();
    assert_none("a module opens with a `//!` header", &faults);
}

#[test]
fn nothing_is_left_unfinished() {
    // Split, so that this file does not hold them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimple", "mented!(")];
    let faults: Vec<_> = files().iter().flat_map(|file| lines_with(file, &words).collect::<Vec<_>>()).collect();
    assert_none("nothing is left for later in a file", &faults);
}

#[test]
fn no_file_knows_a_machine() {
    let words = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/t", "mp/"), concat!("/wo", "rk/")];
    let faults: Vec<_> = files().iter().flat_map(|file| lines_with(file, &words).collect::<Vec<_>>()).collect();
    assert_none("no path of somebody's machine", &faults);
}

#[test]
fn no_file_names_a_package_registry() {
    let hosts = [concat!("crates", ".io"), concat!("pypi", ".org"), concat!("python", "hosted"), concat!("npm", "js")];
    let files = files();
    let others = files.iter().filter(|file| !matches!(file.path.as_str(), "Cargo.lock" | "deny.toml"));
    let faults: Vec<_> = others.flat_map(|file| lines_with(file, &hosts).collect::<Vec<_>>()).collect();
    assert_none("registries are the tools' own setting", &faults);
}

#[test]
fn the_measure_of_functions_finds_all_forms() {
    let lengths = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        let functions = (0..lines.len()).filter(|&start| is_function(lines[start]));
        functions.map(|start| function_length(&lines[start..])).collect::<Vec<_>>()
    };
    assert_eq!(lengths("fn a();\nfn b() {}\nfn c() {\n}\n"), [None, None, Some(2)]);
    assert_eq!(
        lengths("    pub(in crate::x) const async fn a(\n        b: u8,\n    ) {\n        {\n        }\n    }\n}"),
        [Some(6)]
    );
    assert_eq!(lengths("let fnord = 1;\n// fn\nprintln!()"), [None; 0]);
}
