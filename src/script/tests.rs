//! What scripts may say, what comes of it, and that none of them gets out.

use super::*;
use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};
use std::time::Duration;

fn fault(text: &str) -> Fault {
    Script::compile("mine.rhai", text).expect_err(text)
}

fn place(text: &str) -> (usize, usize, String) {
    let Fault { line, column, message, .. } = fault(text);
    (line, column, message)
}

/// Three segments: short, long, and the most urgent in between.
fn scene() -> Scene {
    let [_, _, few, _] = rehearsal::scenes();
    Scene { segments: few.segments[..3].to_vec(), load: few.load }
}

fn verdict(text: &str) -> Verdict {
    Script::compile("mine.rhai", text).expect(text).decide(&scene()).expect(text)
}

#[test]
fn the_highest_score_wins_and_of_equal_ones_the_first() {
    assert_eq!(verdict("segment.length"), Verdict::Run(2));
    assert_eq!(verdict("-segment.length"), Verdict::Run(0));
    assert_eq!(verdict("\u{feff}segment.length"), Verdict::Run(2), "as some editors save it");
    assert_eq!(verdict("1"), Verdict::Run(0));
    assert_eq!(verdict("if segment.rows > 2 { segment.rows }"), Verdict::Run(2));
    assert_eq!(verdict("if segment.is_anchor { 1.0 / 0.0 } else { 1e300 }"), Verdict::Run(0));
}

#[test]
fn where_nothing_is_scored_all_wait_for_the_shortest_time_named() {
    assert_eq!(verdict("()"), Verdict::Wait(None));
    assert_eq!(verdict("-1.0 / 0.0"), Verdict::Wait(None));
    assert_eq!(verdict("wait(segment.rows)"), Verdict::Wait(Some(Duration::from_millis(2))));
    assert_eq!(verdict("if segment.rows > 2 { wait(0.5) }"), Verdict::Wait(Some(Duration::from_micros(500))));
    assert_eq!(verdict("if segment.rows > 2 { 1 } else { wait(1) }"), Verdict::Run(1));
    assert_eq!(verdict("wait(1.0 / 0.0)"), Verdict::Wait(Some(Duration::MAX)));
}

#[test]
fn what_does_not_exist_compares_as_far_away() {
    let none = Scene { segments: vec![rehearsal::scenes()[0].segments[0]], load: rehearsal::scenes()[0].load };
    let far = "segment.slack_ms > 86400000 && load.slo_ms > segment.predicted_ms && !(segment.slack_ms < 0.0)";
    let script = Script::compile("mine.rhai", &format!("if {far} {{ 1 }}")).unwrap();
    assert_eq!(script.decide(&none), Ok(Verdict::Run(0)));
}

#[test]
fn a_panic_of_the_engine_is_the_scripts_fault() {
    let rows = rehearsal::scenes()[0].segments[0].rows;
    let fault = Script::compile("s.rhai", &format!("panic_at(segment.rows, {rows:?})")).unwrap_err();
    assert_eq!(fault.to_string(), format!("1:1: the engine panicked on the script: at {rows} (in a dry run)"));
    let script = Script::compile("s.rhai", "panic_at(segment.rows, 77.0)").unwrap();
    let mut scene = rehearsal::scenes()[0].clone();
    scene.segments[0].rows = 77.0;
    assert_eq!(script.decide(&scene).unwrap_err().message, "the engine panicked on the script: at 77");
}

#[test]
fn functions_loops_and_constants_are_there() {
    let text = "const HALF = 0.5;\nfn part(a, b) { if b == 0 { 0.0 } else { a / b } }\n\
                let sum = 0.0;\nfor n in 0..3 { sum += n; }\nmax(part(segment.tokens, segment.length), sum * HALF).sqrt()";
    assert!(matches!(verdict(text), Verdict::Run(_)));
}

#[test]
fn every_property_is_readable_and_told_where_one_is_not_known() {
    for name in engine::SEGMENT_FIELDS {
        verdict(&format!("let x = segment.{name}; 1"));
    }
    for name in engine::LOAD_FIELDS {
        verdict(&format!("let x = load.{name}; 1"));
    }
    let unknown = fault("let a = 1;\nlet b = segment.size;\nb");
    assert_eq!((unknown.line, unknown.column), (2, 17), "{unknown}");
    let help = unknown.help.unwrap();
    assert!(engine::SEGMENT_FIELDS.iter().chain(&engine::LOAD_FIELDS).all(|name| help.contains(name)), "{help}");
}

#[test]
fn a_fault_has_its_place_and_what_is_allowed() {
    assert_eq!(place("let a = ;").0, 1);
    assert_eq!((place("1 +\n  segmnt.rows").0, place("1 +\n  segmnt.rows").1), (2, 3));
    assert!(fault("segmnt.rows").help.unwrap().contains("`segment`"));
    assert!(place("\nscore(segment)").2.contains("score"), "{:?}", place("\nscore(segment)"));
    let (line, column, message) = place("let a = 1;\n  a > 0\n\n");
    assert_eq!((line, column), (2, 3));
    assert_eq!(message, "the script ends with a boolean (in a dry run)");
    assert!(fault("true").help.unwrap().contains("wait(ms)"));
    assert!(place("\"x\"").2.contains("a string"));
    assert!(place("[1]").2.contains("a list"));
    assert!(place("segment").2.contains("no score"));
}

#[test]
fn what_only_some_scenes_bring_about_is_found_before_a_script_is_live() {
    assert!(place("let none = 1 / 0;\n1").2.contains("zero"), "{:?}", place("let none = 1 / 0;\n1"));
    assert!(place("let top = 9223372036854775807;\ntop + 1").2.contains("verflow"));
    assert!(place("0.0 / 0.0").2.contains("NaN"));
    assert!(place("if segment.slack_ms < 0.0 { true } else { 1 }").2.contains("boolean"));
    assert!(place("load.arrivals_per_s / (load.arrivals_per_s * segment.rows)").2.contains("NaN"));
    assert!(place("wait(-1)").2.contains("not negative"));
    assert!(place("throw \"no\"").2.contains("no"));
}

#[test]
fn a_script_is_bounded_in_operations_depth_and_size() {
    let operations =
        ["loop { }", "let n = 0; while n >= 0 { n += 1; } n", "for i in 0..1000000000 { let x = i; x += 1; } 1"];
    for text in operations {
        assert!(place(text).2.contains("operations"), "{text}: {:?}", place(text));
        assert!(fault(text).help.unwrap().contains("400"));
    }
    assert!(place("try { loop { } } catch { } 1").2.contains("operations"), "it cannot be caught");
    assert!(place("fn f(n) { f(n + 1) }\nf(0)").2.contains("verflow"));
    fault("let s = \"ab\"; loop { s += s; }");
    fault("let a = [1]; loop { a += a; }");
    fault(&format!("let s = \"{}\"; 1", "x".repeat(1_000)));
    fault(&format!("{}1", (0..100).map(|n| format!("let v{n} = load;")).collect::<String>()));
    assert!(place(&"// \n".repeat(20_000)).2.contains("bytes"));
}

#[test]
fn nothing_of_the_host_is_within_reach() {
    let reaches = [
        "eval(\"1\")",
        "import \"x\" as x; 1",
        "export let x = 1; 1",
        "print(1); 1",
        "debug(1); 1",
        "timestamp(); 1",
        "sleep(1); 1",
        "open_file(\"/etc/passwd\"); 1",
        "rand(); 1",
        "segment.rows = 5.0; 1",
        "load.workers = 5.0; 1",
    ];
    for text in reaches {
        fault(text);
    }
}

#[test]
fn nothing_is_kept_from_one_run_to_the_next() {
    let script = Script::compile("mine.rhai", "let old = load;\nload = 7;\nsegment = 3;\nold.workers").unwrap();
    let first = script.decide(&scene());
    assert_eq!((&first, first.is_ok()), (&script.decide(&scene()), true));
}

#[test]
fn no_more_segments_are_asked_about_than_are_bounded() {
    let [_, _, _, many] = rehearsal::scenes();
    assert!(many.segments.len() > MAX_SEGMENTS);
    let script = Script::compile("mine.rhai", "segment.length").unwrap();
    assert_eq!(script.decide(&many), Ok(Verdict::Run(MAX_SEGMENTS - 1)));
}

#[test]
fn scripts_are_equal_where_name_and_text_are() {
    let script = |name: &str, text: &str| Script::compile(name, text).unwrap();
    assert_eq!(script("a.rhai", "1"), script("a.rhai", "1"));
    assert_ne!(script("a.rhai", "1"), script("b.rhai", "1"));
    assert_ne!(format!("{:?}", script("a.rhai", "1")), format!("{:?}", script("a.rhai", "2")));
}

#[test]
fn the_deepest_texts_do_not_overflow_a_small_stack() {
    let n = MAX_BYTES / 2;
    let texts = [
        "(".repeat(n),
        "[".repeat(n),
        "{".repeat(n),
        "-".repeat(n),
        "!".repeat(n),
        format!("1{}", "+1".repeat(n - 1)),
        format!("segment{}", ".a".repeat(n - 4)),
        format!("segment{}", "[0]".repeat(n / 2)),
        "if 1 {} else ".repeat(n / 8),
        "|x|".repeat(n / 2),
        format!("1{}", "??1".repeat(n / 2)),
        format!("1{}", "&&1".repeat(n / 2)),
        format!("1{}", "**1".repeat(n / 2)),
        "#{a:".repeat(n / 3),
        "`${".repeat(n / 2),
        "/*".repeat(n),
        "fn f(){".repeat(n / 4),
    ];
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let all = small.spawn(move || texts.iter().for_each(|text| drop(Script::compile("deep.rhai", text))));
    all.unwrap().join().unwrap();
}

/// Pieces of scripts.
fn piece() -> impl Strategy<Value = String> {
    let known = "segment load rows wait ( ) ) ( { } [ ] ; ; , . | = == => + - * / % ** < > && || ! ? ?? ?. .. ..= in \
                 let const if else while loop for switch fn return throw try catch do until continue break this Fn \
                 call curry is_shared type_of #{ ` ${ // /* */ 0 1 1e308 9223372036854775807 \"s\" 'c' () true x y";
    let known: Vec<&str> = known.split_whitespace().collect();
    prop_oneof![
        8 => prop::sample::select(known).prop_map(str::to_owned),
        1 => prop::sample::select(engine::SEGMENT_FIELDS.to_vec()).prop_map(|name| format!("segment.{name}")),
        1 => "\\PC{0,3}",
        1 => Just("\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_compiler_and_every_fault_is_within_it(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.join(" ");
        match Script::compile("any.rhai", &text) {
            Ok(script) => drop(script.decide(&scene())),
            Err(fault) => {
                let lines = text.split('\n').count();
                prop_assert!((1..=lines + 1).contains(&fault.line) && fault.column >= 1, "{fault:?}");
            }
        }
    }
}
