//! No text breaks the compiler: it is a policy, or a list of faults at their places.

use super::shipped;
use inferneo::document::Diagnostic;
use inferneo::policy::{self, Source};
use proptest::prelude::{Just, prop_oneof};
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, proptest};

/// Starts a terminal's control sequence.
const ESCAPE: char = '\u{1b}';

/// Every fault must point into its file.
fn points_into(text: &str, faults: &[Diagnostic]) -> bool {
    faults.iter().filter_map(|fault| fault.place.as_ref()).all(|place| {
        let line = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').nth(place.line - 1);
        let shown = place.shown.as_ref().map_or(0, |shown| shown.chars().count());
        line.is_some_and(|line| place.column <= line.chars().count() + 1 && place.indent <= shown)
    })
}

/// Compiles a text alone and beside a file for everything, and checks whatever comes of it.
fn check(text: String) -> Result<(), TestCaseError> {
    let other = Source { name: "a.toml".into(), text: String::new() };
    let sources = [Source { name: "p.toml".into(), text }, other];
    for folder in [&sources[..1], &sources[..]] {
        match policy::compile(folder, &[], 1) {
            Ok(set) => prop_assert!(set.lookup("minilm", "acme") < set.policies().len()),
            Err(faults) => {
                let escapes = faults.iter().any(|fault| fault.to_string().contains(ESCAPE));
                prop_assert!(!faults.is_empty() && !escapes, "{faults:#?}");
                prop_assert!(points_into(&sources[0].text, &faults), "{faults:#?}");
            }
        }
    }
    Ok(())
}

/// Words and marks of policies; the more often one stands here, the more often it is drawn.
const WORDS: [&str; 56] = [
    "schema",
    "strategy",
    "[match]",
    "[batch]",
    "[slo]",
    "[queue]",
    "[reuse]",
    "[tenancy]",
    "[[batch]]",
    "models",
    "tenants",
    "max_batch_size",
    "max_batch_tokens",
    "max_queue_delay",
    "preferred_batch_sizes",
    "target",
    "max_rows",
    "max_bytes",
    "identical",
    "=",
    "=",
    "=",
    "=",
    "\n",
    "\n",
    "\n",
    "\r\n",
    ".",
    ",",
    "[",
    "]",
    "{",
    "}",
    "1",
    "0",
    "-7",
    "1e9",
    "99999999999999999999",
    "nan",
    "true",
    "\"5ms\"",
    "\"none\"",
    "\"64MiB\"",
    "\"adaptive\"",
    "\"custom\"",
    "\"m*\"",
    "'''",
    "\"\"\"",
    "\"",
    "#",
    "\\u0000",
    "é",
    "\u{feff}",
    "\u{1b}",
    "\t",
    "2024-01-01T00:00:00Z",
];

/// Text that looks like a policy more often than chance would have it.
fn policy_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![8 => proptest::sample::select(WORDS.to_vec()), 1 => Just(" ")];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_a_fault(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}") {
        check(text)?;
    }

    #[test]
    fn any_pieces_of_policies_are_a_policy_or_a_fault(text in policy_like()) {
        check(text)?;
    }

    #[test]
    fn a_damaged_policy_is_a_policy_or_a_fault(
        which in 0..5usize, from in 0..4000usize, length in 0..12usize, patch in "[\\x00-\\x7fé\u{feff}]{0,6}"
    ) {
        let mut text = shipped()[which].1.text.clone();
        let from = text.floor_char_boundary(from.min(text.len()));
        let to = text.floor_char_boundary((from + length).min(text.len()));
        text.replace_range(from..to, &patch);
        check(text)?;
    }
}
