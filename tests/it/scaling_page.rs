//! docs/scaling.md, followed line by line: its commands run and print what the page says, its figures within a
//! tolerance, because each improvement of the scheduler moves them a little.

use crate::harness::{folder, program};
use crate::readme::words;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

/// How far a figure may be off the page's: relatively, and near zero.
const TOLERANCE: (f64, f64) = (0.25, 1.5);

/// Runs a command of the page in its folder; answers what it prints.
fn run(line: &str, at: &Path) -> String {
    let (line, file) = line.split_once(" > ").map_or((line, None), |(line, file)| (line, Some(file)));
    let words = words(line);
    let mut command = match &*words[0] {
        "inferneo" => program(),
        "python3" => Command::new("python3"),
        other => panic!("{other} is no command of the page"),
    };
    let Output { status, stdout, stderr } = command.args(&words[1..]).current_dir(at).output().unwrap();
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
    let Some(file) = file else { return String::from_utf8(stdout).unwrap() };
    fs::write(at.join(file), stdout).unwrap();
    String::new()
}

/// The words of a table or a sentence, but for lines that are drawn.
fn said(text: &str) -> Vec<&str> {
    text.split_whitespace().filter(|word| !word.starts_with(['─', '═'])).collect()
}

/// Whether two words are the same, or figures near to each other.
fn near(promised: &str, found: &str) -> bool {
    match (promised.parse::<f64>(), found.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= (TOLERANCE.0 * a.abs()).max(TOLERANCE.1),
        _ => promised == found,
    }
}

#[test]
fn the_page_on_scaling_can_be_followed_line_by_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/scaling.md")).unwrap();
    let desk = folder();
    symlink(root.join("scripts"), desk.path().join("scripts")).unwrap();
    let mut ran = 0;
    for block in page.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        if language == "toml" {
            let name = text.lines().next().unwrap().strip_prefix("# ").expect("a block without a path");
            fs::write(desk.path().join(name), text).unwrap();
            continue;
        }
        assert_eq!(language, "console");
        for part in text.split("$ ").skip(1) {
            let (command, promised) = part.split_once('\n').unwrap();
            let found = run(command, desk.path());
            let (promised, now) = (said(promised), said(&found));
            let alike = promised.len() == now.len() && promised.iter().zip(&now).all(|(a, b)| near(a, b));
            assert!(alike, "{command} prints\n{found}\nwhere the page says\n{part}");
            ran += 1;
        }
    }
    assert!(ran > 10, "the page has {ran} commands");
}
