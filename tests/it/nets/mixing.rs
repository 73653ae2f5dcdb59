//! Steps that make a row of others as well, or of their number.

use super::sound::{self, Step};
use crate::graphs::Set::{Float, Graph, Int, Ints, Text};
use crate::graphs::{BOOL, Build, declared, node};

pub(super) const MIXING: &[Step] = &[
    ("centred over rows", centred),
    ("by the largest of all", by_largest),
    ("softmax over rows", |b| b.then("Softmax", &[], vec![("axis", Int(0))])),
    ("normed over rows", |b| b.then("LpNormalization", &[], vec![("axis", Int(0))])),
    ("products of rows", products),
    ("einsum of rows", einsum),
    ("attention of rows", attention),
    ("running sum over rows", running_sum),
    ("recurrent over rows", recurrent),
    ("gated over rows", gated),
    ("reversed rows", reversed),
    ("rolled rows", rolled),
    ("sorted rows", sorted),
    ("less the first row", less_first),
    ("numbered rows", numbered),
    ("number of rows", number),
    ("on the diagonal", diagonal),
    ("dynamic quantisation", quantised),
    ("scaled to the range of all", to_range),
    ("branch on the largest", branch),
    ("branch on the sum", branch_on_sum),
    ("threshold of all", threshold),
    ("loop to the largest", looped),
    ("scan over rows", scanned),
    ("batch statistics", statistics),
    ("scrambled", scrambled),
    ("pooled over rows", pooled),
    ("convolved over rows", convolved),
    ("first row overwritten", overwritten),
    ("standardised over all", |b| b.then("MeanVarianceNormalization", &[], vec![("axes", Ints(&[0, 1]))])),
    ("most frequent over rows", one_hot),
    ("padded and shifted rows", shifted),
];

/// An end whose first dimension is no batch, whatever it is called.
pub(super) struct End {
    pub(super) step: Step,
    /// `TensorProto.DataType` of what comes out.
    pub(super) elements: i32,
    pub(super) columns: &'static str,
}

const fn end(name: &'static str, add: fn(&mut Build), elements: i32, columns: &'static str) -> End {
    End { step: (name, add), elements, columns }
}

pub(super) const COUNTED: &[End] = &[
    end("places over zero", places, 7, "2"),
    end("rows that pass", rows_that_pass, 1, "6"),
    end("rows that differ", unique, 1, "6"),
    end("best rows", best_rows, 1, "6"),
    end("products of all pairs", pairs, 1, "1"),
    end("numbers that pass", numbers_that_pass, 1, "1"),
];

fn centred(b: &mut Build) {
    let top = b.top.clone();
    let mean = b.op("ReduceMean", &[&top], vec![("axes", Ints(&[0])), ("keepdims", Int(1))]);
    b.then("Sub", &[&mean], vec![]);
}

fn largest(b: &mut Build) -> String {
    let top = b.top.clone();
    let all = b.op("Abs", &[&top], vec![]);
    b.op("ReduceMax", &[&all], vec![("keepdims", Int(0))])
}

fn by_largest(b: &mut Build) {
    let (largest, little) = (largest(b), b.floats(&[], &[0.5]));
    let largest = b.op("Add", &[&largest, &little], vec![]);
    b.then("Div", &[&largest], vec![]);
}

fn turned(b: &mut Build) -> String {
    let top = b.top.clone();
    b.op("Transpose", &[&top], vec![])
}

fn products(b: &mut Build) {
    let (top, turned) = (b.top.clone(), turned(b));
    b.then("MatMul", &[&turned], vec![]);
    b.then("MatMul", &[&top], vec![]);
}

fn einsum(b: &mut Build) {
    let top = b.top.clone();
    b.then("Einsum", &[&top], vec![("equation", Text("bi,ci->bc"))]);
    b.then("Einsum", &[&top], vec![("equation", Text("bc,ci->bi"))]);
}

fn attention(b: &mut Build) {
    let (top, turned) = (b.top.clone(), turned(b));
    b.then("MatMul", &[&turned], vec![]);
    b.then("Softmax", &[], vec![("axis", Int(-1))]);
    b.then("MatMul", &[&top], vec![]);
}

fn running_sum(b: &mut Build) {
    let axis = b.shaped(&[], &[0]);
    b.then("CumSum", &[&axis], vec![]);
}

/// The rows are taken for the steps of one sequence.
fn recurrent(b: &mut Build) {
    let (axis, squeezed) = (b.ints(&[1]), b.ints(&[1, 2]));
    let (w, r) = (b.weight(&[1, 24, 6]), b.weight(&[1, 24, 6]));
    b.then("Unsqueeze", &[&axis], vec![]);
    b.then("LSTM", &[&w, &r], vec![("hidden_size", Int(6))]);
    b.then("Squeeze", &[&squeezed], vec![]);
}

fn gated(b: &mut Build) {
    let (axis, squeezed) = (b.ints(&[1]), b.ints(&[1, 2]));
    let (w, r) = (b.weight(&[1, 18, 6]), b.weight(&[1, 18, 6]));
    b.then("Unsqueeze", &[&axis], vec![]);
    b.then("GRU", &[&w, &r], vec![("hidden_size", Int(6)), ("direction", Text("reverse"))]);
    b.then("Squeeze", &[&squeezed], vec![]);
}

fn reversed(b: &mut Build) {
    let (starts, ends, axes, steps) = (b.ints(&[-1]), b.ints(&[i64::MIN]), b.ints(&[0]), b.ints(&[-1]));
    b.then("Slice", &[&starts, &ends, &axes, &steps], vec![]);
}

fn rolled(b: &mut Build) {
    let top = b.top.clone();
    let (zero, one, end, axes) = (b.ints(&[0]), b.ints(&[1]), b.ints(&[i64::MAX]), b.ints(&[0]));
    let first = b.op("Slice", &[&top, &zero, &one, &axes], vec![]);
    let others = b.op("Slice", &[&top, &one, &end, &axes], vec![]);
    b.top = b.op("Concat", &[&others, &first], vec![("axis", Int(0))]);
}

fn sorted(b: &mut Build) {
    let (top, rows) = (b.top.clone(), b.rows());
    b.top = b.ops("TopK", &[&top, &rows], 2, vec![("axis", Int(0))]).remove(0);
}

fn less_first(b: &mut Build) {
    let (top, zero) = (b.top.clone(), b.ints(&[0]));
    let first = b.op("Gather", &[&top, &zero], vec![("axis", Int(0))]);
    b.then("Sub", &[&first], vec![]);
}

/// Each row's own place in the batch is added to it.
fn numbered(b: &mut Build) {
    let (rows, axis) = (b.rows(), b.ints(&[0]));
    let rows = b.op("Squeeze", &[&rows, &axis], vec![]);
    let (zero, one, last) = (b.shaped(&[], &[0]), b.shaped(&[], &[1]), b.ints(&[1]));
    let places = b.op("Range", &[&zero, &rows, &one], vec![]);
    let places = b.op("Cast", &[&places], vec![("to", Int(1))]);
    let places = b.op("Unsqueeze", &[&places, &last], vec![]);
    b.then("Add", &[&places], vec![]);
}

fn number(b: &mut Build) {
    let rows = b.rows();
    let rows = b.op("Cast", &[&rows], vec![("to", Int(1))]);
    b.then("Div", &[&rows], vec![]);
}

fn diagonal(b: &mut Build) {
    let top = b.top.clone();
    let ones = b.op("EyeLike", &[&top], vec![]);
    b.then("Add", &[&ones], vec![]);
}

fn quantised(b: &mut Build) {
    let top = b.top.clone();
    let parts = b.ops("DynamicQuantizeLinear", &[&top], 3, vec![]);
    b.top = b.op("DequantizeLinear", &[&parts[0], &parts[1], &parts[2]], vec![]);
}

fn to_range(b: &mut Build) {
    let top = b.top.clone();
    let least = b.op("ReduceMin", &[&top], vec![("keepdims", Int(0))]);
    let most = b.op("ReduceMax", &[&top], vec![("keepdims", Int(0))]);
    let (range, little) = (b.op("Sub", &[&most, &least], vec![]), b.floats(&[], &[0.5]));
    let range = b.op("Add", &[&range, &little], vec![]);
    b.then("Sub", &[&least], vec![]);
    b.then("Div", &[&range], vec![]);
}

/// Made-up rows hardly ever cross such a threshold; callers' do.
fn branch(b: &mut Build) {
    let (top, largest, most) = (b.top.clone(), largest(b), b.floats(&[], &[1e5]));
    let is_more = b.op("Greater", &[&largest, &most], vec![]);
    decide(b, &is_more, &top);
}

fn branch_on_sum(b: &mut Build) {
    let (top, most) = (b.top.clone(), b.floats(&[], &[5e4]));
    let sum = b.op("ReduceSum", &[&top], vec![("keepdims", Int(0))]);
    let is_more = b.op("Greater", &[&sum, &most], vec![]);
    decide(b, &is_more, &top);
}

fn decide(b: &mut Build, is_more: &str, top: &str) {
    let branches =
        vec![("then_branch", Graph(Build::body("Neg", &[top]))), ("else_branch", Graph(Build::body("Abs", &[top])))];
    b.top = b.op("If", &[is_more], branches);
}

fn threshold(b: &mut Build) {
    let (top, largest, most) = (b.top.clone(), largest(b), b.floats(&[], &[1e5]));
    let is_more = b.op("Greater", &[&largest, &most], vec![]);
    let other = b.op("Neg", &[&top], vec![]);
    b.top = b.op("Where", &[&is_more, &other, &top], vec![]);
}

/// As many rounds as the largest number says, eight at most.
fn looped(b: &mut Build) {
    let (top, largest) = (b.top.clone(), largest(b));
    let (low, high) = (b.floats(&[], &[0.0]), b.floats(&[], &[8.0]));
    let rounds = b.op("Clip", &[&largest, &low, &high], vec![]);
    let rounds = b.op("Cast", &[&rounds], vec![("to", Int(7))]);
    let one = b.shaped(&[], &[1]);
    let go_on = b.op("Cast", &[&one], vec![("to", Int(BOOL))]);
    b.top = b.op("Loop", &[&rounds, &go_on, &top], vec![("body", Graph(sound::rounds()))]);
}

/// A running sum of rows, as a scan.
fn scanned(b: &mut Build) {
    let (top, start) = (b.top.clone(), b.floats(&[6], &[0.0; 6]));
    let row = |name| declared(name, 1, &["6"]);
    let nodes =
        vec![node("Add", &["sum", "next"], &["sum_out"], vec![]), node("Identity", &["sum_out"], &["seen"], vec![])];
    let body = Build::looped(vec![row("sum"), row("next")], nodes, vec![row("sum_out"), row("seen")]);
    b.top = b.ops("Scan", &[&start, &top], 2, vec![("body", Graph(body)), ("num_scan_inputs", Int(1))]).remove(1);
}

/// Normed by the mean and variance of the batch, as in training.
fn statistics(b: &mut Build) {
    let top = b.top.clone();
    let numbers = [b.weight(&[6]), b.weight(&[6]), b.floats(&[6], &[0.0; 6]), b.floats(&[6], &[1.0; 6])];
    let mut inputs = vec![&*top];
    inputs.extend(numbers.iter().map(String::as_str));
    let set = vec![("training_mode", Int(1)), ("epsilon", Float(1e-2))];
    b.top = b.ops("BatchNormalization", &inputs, 3, set).remove(0);
}

/// The same numbers in another order: `x.view(6, -1).T`.
fn scrambled(b: &mut Build) {
    b.reshape(&[6, -1]);
    b.then("Transpose", &[], vec![]);
}

fn pooled(b: &mut Build) {
    let axes = b.ints(&[0, 1]);
    b.then("Unsqueeze", &[&axes], vec![]);
    b.then("AveragePool", &[], vec![("kernel_shape", Ints(&[3, 1])), ("pads", Ints(&[1, 0, 1, 0]))]);
    b.then("Squeeze", &[&axes], vec![]);
}

fn convolved(b: &mut Build) {
    let (axes, weight) = (b.ints(&[0, 1]), b.weight(&[1, 1, 3, 3]));
    b.then("Unsqueeze", &[&axes], vec![]);
    b.then("Conv", &[&weight], vec![("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1, 1, 1, 1]))]);
    b.then("Squeeze", &[&axes], vec![]);
}

fn overwritten(b: &mut Build) {
    let (place, row) = (b.shaped(&[1, 1], &[0]), b.weight(&[1, 6]));
    b.then("ScatterND", &[&place, &row], vec![]);
}

/// Where the largest of each column lies.
fn one_hot(b: &mut Build) {
    let (top, rows, values) = (b.top.clone(), b.rows(), b.floats(&[2], &[0.0, 1.0]));
    let at = b.op("ArgMax", &[&top], vec![("axis", Int(0)), ("keepdims", Int(0))]);
    let mask = b.op("OneHot", &[&at, &rows, &values], vec![("axis", Int(0))]);
    b.then("Mul", &[&mask], vec![]);
}

/// Each row is the one before it.
fn shifted(b: &mut Build) {
    let (pads, rows) = (b.ints(&[1, 0, 0, 0]), b.rows());
    let (zero, axes) = (b.ints(&[0]), b.ints(&[0]));
    b.then("Pad", &[&pads], vec![]);
    b.then("Slice", &[&zero, &rows, &axes], vec![]);
}

/// Whether each row's first number is over zero.
fn passes(b: &mut Build) -> String {
    let (top, first, zero) = (b.top.clone(), b.shaped(&[], &[0]), b.floats(&[], &[0.0]));
    let column = b.op("Gather", &[&top, &first], vec![("axis", Int(1))]);
    b.op("Greater", &[&column, &zero], vec![])
}

fn places(b: &mut Build) {
    let zero = b.floats(&[], &[0.0]);
    b.then("Greater", &[&zero], vec![]);
    b.then("NonZero", &[], vec![]);
    b.then("Transpose", &[], vec![]);
}

fn rows_that_pass(b: &mut Build) {
    let passes = passes(b);
    b.then("Compress", &[&passes], vec![("axis", Int(0))]);
}

fn unique(b: &mut Build) {
    let top = b.top.clone();
    b.top = b.ops("Unique", &[&top], 1, vec![("axis", Int(0))]).remove(0);
}

fn best_rows(b: &mut Build) {
    let (top, first, one, rows) = (b.top.clone(), b.shaped(&[], &[0]), b.ints(&[1]), b.rows());
    let column = b.op("Gather", &[&top, &first], vec![("axis", Int(1))]);
    let most = b.op("Min", &[&rows, &one], vec![]);
    let best = b.ops("TopK", &[&column, &most], 2, vec![]).remove(1);
    b.then("Gather", &[&best], vec![("axis", Int(0))]);
}

fn pairs(b: &mut Build) {
    let turned = turned(b);
    b.then("MatMul", &[&turned], vec![]);
    b.reshape(&[-1, 1]);
}

fn numbers_that_pass(b: &mut Build) {
    let (top, zero) = (b.top.clone(), b.floats(&[], &[0.0]));
    let passes = b.op("Greater", &[&top, &zero], vec![]);
    let flat = b.ints(&[-1]);
    let passes = b.op("Reshape", &[&passes, &flat], vec![]);
    b.reshape(&[-1, 1]);
    b.then("Compress", &[&passes], vec![("axis", Int(0))]);
}
