//! The language as scripts have it: which names there are, and every limit.

use super::scene::{Load, Segment};
use rhai::packages::{ArithmeticPackage, BasicIteratorPackage, BasicMathPackage, LogicPackage, Package};
use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, Scope};
use std::sync::LazyLock;
use std::time::Duration;

/// What a script knows the segment it is asked about as.
pub(super) const SEGMENT: &str = "segment";
/// And what goes for all.
pub(super) const LOAD: &str = "load";

/// Most operations of one run, which is about one segment. An operation is a statement, an expression or
/// a call; a line has about five. All segments of a decision together stay near a millisecond.
pub const OPERATIONS: u64 = 400;
const CALL_LEVELS: usize = 8;
const DEPTH: usize = 32;
const VARIABLES: usize = 64;
const FUNCTIONS: usize = 32;
const STRING: usize = 256;
const ELEMENTS: usize = 64;

/// Words of the language that reach for what a script has no part in.
const FORBIDDEN: [&str; 5] = ["eval", "print", "debug", "import", "export"];

/// Every property a script can read, by its owner.
pub(super) const SEGMENT_FIELDS: [&str; 11] = [
    "rows",
    "waiting",
    "best_rows",
    "length",
    "tokens",
    "padding",
    "predicted_ms",
    "waited_ms",
    "slack_ms",
    "is_anchor",
    "full",
];
pub(super) const LOAD_FIELDS: [&str; 8] =
    ["waiting_rows", "arrivals_per_s", "workers", "free_workers", "gpu", "memory_scarce", "max_wait_ms", "slo_ms"];

/// The one engine; scripts differ in their code alone.
pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    engine.set_strict_variables(true);
    engine.set_max_operations(OPERATIONS);
    engine.set_max_call_levels(CALL_LEVELS);
    engine.set_max_expr_depths(DEPTH, DEPTH);
    engine.set_max_variables(VARIABLES);
    engine.set_max_functions(FUNCTIONS);
    engine.set_max_string_size(STRING);
    engine.set_max_array_size(ELEMENTS);
    engine.set_max_map_size(ELEMENTS);
    for word in FORBIDDEN {
        engine.disable_symbol(word);
    }
    engine.register_fn("wait", wait).register_fn("wait", |ms: INT| wait(ms as FLOAT));
    #[cfg(test)]
    engine.register_fn("panic_at", |rows: FLOAT, at: FLOAT| if rows == at { panic!("at {at}") } else { rows });
    show_segment(&mut engine);
    show_load(&mut engine);
    engine
});

fn show_segment(engine: &mut Engine) {
    engine
        .register_type_with_name::<Segment>("segment")
        .register_get("rows", |s: &mut Segment| s.rows)
        .register_get("waiting", |s: &mut Segment| s.waiting)
        .register_get("best_rows", |s: &mut Segment| s.best_rows)
        .register_get("length", |s: &mut Segment| s.length)
        .register_get("tokens", |s: &mut Segment| s.tokens)
        .register_get("padding", |s: &mut Segment| s.padding)
        .register_get("predicted_ms", |s: &mut Segment| s.predicted_ms)
        .register_get("waited_ms", |s: &mut Segment| s.waited_ms)
        .register_get("slack_ms", |s: &mut Segment| s.slack_ms)
        .register_get("is_anchor", |s: &mut Segment| s.is_anchor)
        .register_get("full", |s: &mut Segment| s.full);
}

fn show_load(engine: &mut Engine) {
    engine
        .register_type_with_name::<Load>("load")
        .register_get("waiting_rows", |l: &mut Load| l.waiting_rows)
        .register_get("arrivals_per_s", |l: &mut Load| l.arrivals_per_s)
        .register_get("workers", |l: &mut Load| l.workers)
        .register_get("free_workers", |l: &mut Load| l.free_workers)
        .register_get("gpu", |l: &mut Load| l.gpu)
        .register_get("memory_scarce", |l: &mut Load| l.memory_scarce)
        .register_get("max_wait_ms", |l: &mut Load| l.max_wait_ms)
        .register_get("slo_ms", |l: &mut Load| l.slo_ms);
}

/// The names that a script finds, so that any other is a fault of its syntax.
pub(super) fn names() -> Scope<'static> {
    let mut scope = Scope::new();
    // Variables, not constants: a constant's value would be folded into the code.
    scope.push(SEGMENT, ()).push(LOAD, ());
    scope
}

/// What `wait(ms)` gives.
#[derive(Debug, Clone, Copy)]
struct Wait(Duration);

fn wait(ms: FLOAT) -> Result<Wait, Box<EvalAltResult>> {
    match ms >= 0.0 {
        true => Ok(Wait(Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX))),
        false => Err(format!("wait({ms}): milliseconds are not negative").into()),
    }
}

/// What a run comes to.
pub(super) enum Answer {
    Score(f64),
    Wait(Duration),
    Decline,
}

impl Answer {
    pub(super) fn read(value: &Dynamic) -> Result<Self, String> {
        if let Some(score) = value.as_float().ok().or_else(|| value.as_int().ok().map(|whole| whole as f64)) {
            return match score {
                score if score.is_nan() => Err("the score is not a number (NaN)".to_owned()),
                f64::NEG_INFINITY => Ok(Self::Decline),
                score => Ok(Self::Score(score)),
            };
        }
        if let Some(Wait(time)) = value.read_lock::<Wait>().map(|wait| *wait) {
            return Ok(Self::Wait(time));
        }
        if value.is_unit() { Ok(Self::Decline) } else { Err(format!("the script ends with a {}", kind(value))) }
    }
}

/// What a value is, in words.
fn kind(value: &Dynamic) -> &'static str {
    match value {
        value if value.is_bool() => "boolean",
        value if value.is_string() => "string",
        value if value.is_array() => "list",
        value if value.is_map() => "map",
        value if value.is_fnptr() => "function",
        _ => "value that is no score",
    }
}
