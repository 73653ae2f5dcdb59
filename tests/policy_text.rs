//! The shipped policy files compile and say what they do, and no text breaks the compiler.

use inferneo::policy::{self, KEYS, Kind, Policy, Source, Strategy};
use std::fs;
use std::path::Path;

#[path = "policy_text/any_text.rs"]
mod any_text;

/// The shipped files, by strategy.
fn shipped() -> Vec<(Strategy, Source)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let read = |strategy: Strategy| {
        let name = format!("{}.toml", strategy.name());
        let text = fs::read_to_string(folder.join(&name)).expect("every strategy has its file");
        (strategy, Source { name, text })
    };
    Strategy::ALL.map(read).to_vec()
}

/// The shipped script, which a shipped file names.
fn script() -> Source {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/custom.rhai");
    Source { name: "custom.rhai".into(), text: fs::read_to_string(path).expect("it is shipped") }
}

#[test]
fn every_shipped_file_spells_out_the_defaults_of_its_strategy() {
    for (strategy, source) in shipped() {
        let set = policy::compile(&[source, script()], &[], 1).unwrap();
        let script = set.policies()[0].script.clone();
        assert_eq!(script.is_some(), strategy == Strategy::Custom);
        assert_eq!(*set.policies()[0], Policy { script, ..Policy::preset(strategy.name(), strategy) });
    }
}

#[test]
fn the_shipped_folder_compiles_and_each_tenant_finds_its_strategy() {
    let sources: Vec<Source> = shipped().into_iter().map(|(_, source)| source).chain([script()]).collect();
    let set = policy::compile(&sources, &[], 1).unwrap();
    for strategy in Strategy::ALL {
        let tenant = if strategy == Strategy::Adaptive { "anyone" } else { strategy.name() };
        assert_eq!(set.policies()[set.lookup("minilm", tenant)].strategy, strategy);
    }
}

/// The policies that a page shows: its TOML blocks that name a strategy.
fn examples(page: &str) -> Vec<Source> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).expect("the page is part of the project");
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    // The page on policies shows faults in files of this folder.
    let policies = blocks.filter(|block| block.contains("strategy =") && !block.contains("# broken/"));
    policies.map(|block| Source { name: "example.toml".into(), text: block.to_owned() }).collect()
}

/// The script that the page on policies shows.
fn shown_script() -> Source {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md");
    let page = fs::read_to_string(path).expect("the page is part of the project");
    let block = page.split("```rhai\n").find(|block| block.starts_with("// fill/fill.rhai")).expect("it is shown");
    Source { name: "fill.rhai".into(), text: block.split("```").next().unwrap_or_default().to_owned() }
}

#[test]
fn the_examples_of_the_documentation_compile() {
    for page in ["README.md", "docs/interface.md", "docs/policies.md"] {
        let examples = examples(page);
        assert!(!examples.is_empty(), "{page} shows no policy");
        for example in examples {
            policy::compile(&[example, shown_script()], &[], 1).unwrap();
        }
    }
}

#[test]
fn what_a_shipped_policy_suggests_in_a_comment_can_be_set() {
    for (_, Source { name, text }) in shipped() {
        let mut suggested = 0;
        let lines = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if setting.starts_with('[') || setting.split_once('=').is_some_and(|(key, _)| is_key(key)) =>
            {
                suggested += 1;
                setting
            }
            _ => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert!(suggested >= 3, "{name}");
        policy::compile(&[Source { name, text }, script()], &[], 1).unwrap();
    }
}

fn is_key(text: &str) -> bool {
    KEYS.iter().any(|key| key.name == text.trim())
}

#[test]
fn editors_find_the_schema_of_each_shipped_policy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (_, Source { name, text }) in shipped() {
        let path = text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).unwrap();
        assert!(root.join("policies").join(path).is_file(), "{name}: {path}");
    }
}

/// The cells of a table's rows, by their first; backticks and quotes aside.
fn rows(page: &str) -> Vec<Vec<String>> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("the page is part of the project");
    let cell = |cell: &str| cell.replace(['`', '"'], "").trim().to_owned();
    text.lines().filter_map(|line| line.strip_prefix("| ")).map(|row| row.split('|').map(cell).collect()).collect()
}

#[test]
fn the_page_on_policies_lists_every_key_with_its_default_and_range() {
    let rows = rows("docs/policies.md");
    for key in &KEYS {
        let path = key.path();
        let row =
            rows.iter().find(|row| row[0] == path && row.len() == 5).unwrap_or_else(|| panic!("{path} is not listed"));
        let default = key.default(Strategy::Adaptive).map_or("any".to_owned(), |value| value.replace('"', ""));
        assert_eq!(row[1], if key.by_strategy { "by strategy" } else { &default }, "{path}");
        if let Kind::Integer(range) | Kind::IntegerOrNone(range) = &key.kind {
            let bounds = [range.start(), range.end()].map(ToString::to_string);
            assert!(
                bounds.iter().all(|bound| row[2].split([' ', ',']).any(|word| word == bound)),
                "{path}: {}",
                row[2]
            );
        }
    }
}

#[test]
fn the_page_on_policies_lists_the_defaults_of_each_strategy() {
    let rows = rows("docs/policies.md");
    let head = rows.iter().find(|row| row[0] == "strategy" && row.iter().any(|cell| cell == "max_batch_size")).unwrap();
    for key in KEYS.iter().filter(|key| key.by_strategy) {
        let column = head.iter().position(|cell| cell == key.name).unwrap();
        for strategy in Strategy::ALL {
            let row = rows.iter().find(|row| row[0] == strategy.name() && row.len() == head.len()).unwrap();
            let default = key.default(strategy).unwrap().replace('"', "");
            assert_eq!(row[column].split(',').next(), Some(&*default), "{} of {}", key.name, strategy.name());
        }
    }
}
