//! Steps that make each row of its own row alone.

use crate::graphs::Set::{Float, Graph, Int, Ints, Text};
use crate::graphs::{BOOL, Build, declared, node};
use inferneo::graph::proto::GraphProto;

/// A step, and its name.
pub(super) type Step = (&'static str, fn(&mut Build));

pub(super) const SOUND: &[Step] = &[
    ("relu", |b| b.then("Relu", &[], vec![])),
    ("bias", bias),
    ("dense", dense),
    ("gemm", gemm),
    ("einsum", einsum),
    ("softmax", |b| b.then("Softmax", &[], vec![("axis", Int(-1))])),
    ("centred", centred),
    ("layer norm", layer_norm),
    ("transposed", transposed),
    ("halves", halves),
    ("columns", columns),
    ("reshaped by its shape", reshaped),
    ("running sum", running_sum),
    ("largest", largest),
    ("threshold", threshold),
    ("clipped", clipped),
    ("recurrent", recurrent),
    ("convolved", convolved),
    ("pooled", pooled),
    ("expanded", expanded),
    ("attention", attention),
    ("one hot", one_hot),
    ("instance norm", instance_norm),
    ("padded", padded),
    ("scattered", scattered),
    ("chosen", chosen),
    ("masked", masked),
    ("scanned", scanned),
    ("looped", looped),
];

fn bias(b: &mut Build) {
    let weight = b.weight(&[6]);
    b.then("Add", &[&weight], vec![]);
}

fn dense(b: &mut Build) {
    let weight = b.weight(&[6, 6]);
    b.then("MatMul", &[&weight], vec![]);
}

fn gemm(b: &mut Build) {
    let (weight, bias) = (b.weight(&[6, 6]), b.weight(&[6]));
    b.then("Gemm", &[&weight, &bias], vec![("transB", Int(1))]);
}

fn einsum(b: &mut Build) {
    let weight = b.weight(&[6, 6]);
    b.then("Einsum", &[&weight], vec![("equation", Text("bi,ij->bj"))]);
}

fn centred(b: &mut Build) {
    let top = b.top.clone();
    let mean = b.op("ReduceMean", &[&top], vec![("axes", Ints(&[-1])), ("keepdims", Int(1))]);
    b.then("Sub", &[&mean], vec![]);
}

fn layer_norm(b: &mut Build) {
    let (scale, bias) = (b.weight(&[6]), b.weight(&[6]));
    b.then("LayerNormalization", &[&scale, &bias], vec![("axis", Int(-1)), ("epsilon", Float(1e-3))]);
}

/// The rows are moved behind, and moved back.
fn transposed(b: &mut Build) {
    let weight = b.weight(&[6, 1]);
    b.then("Transpose", &[], vec![("perm", Ints(&[1, 0]))]);
    b.then("Mul", &[&weight], vec![]);
    b.then("Transpose", &[], vec![("perm", Ints(&[1, 0]))]);
}

fn halves(b: &mut Build) {
    let top = b.top.clone();
    let parts = b.ops("Split", &[&top], 2, vec![("axis", Int(1))]);
    b.top = b.op("Concat", &[&parts[1], &parts[0]], vec![("axis", Int(-1))]);
}

fn columns(b: &mut Build) {
    let order = b.ints(&[5, 3, 1, 0, 2, 2]);
    b.then("Gather", &[&order], vec![("axis", Int(1))]);
}

/// As exporters write `x.view(x.shape[0], 3, 2)`.
fn reshaped(b: &mut Build) {
    let (rows, rest, weight) = (b.rows(), b.ints(&[3, 2]), b.weight(&[3, 2]));
    let shape = b.op("Concat", &[&rows, &rest], vec![("axis", Int(0))]);
    b.then("Reshape", &[&shape], vec![]);
    b.then("Mul", &[&weight], vec![]);
    b.then("Flatten", &[], vec![("axis", Int(1))]);
}

fn running_sum(b: &mut Build) {
    let axis = b.shaped(&[], &[1]);
    b.then("CumSum", &[&axis], vec![]);
}

fn largest(b: &mut Build) {
    let (top, most) = (b.top.clone(), b.ints(&[3]));
    let values = b.ops("TopK", &[&top, &most], 2, vec![("axis", Int(-1))]).remove(0);
    b.top = b.op("Concat", &[&values, &values], vec![("axis", Int(1))]);
}

fn threshold(b: &mut Build) {
    let (top, half) = (b.top.clone(), b.floats(&[], &[0.5]));
    let over = b.op("Greater", &[&top, &half], vec![]);
    b.top = b.op("Where", &[&over, &top, &half], vec![]);
}

fn clipped(b: &mut Build) {
    let (low, high) = (b.floats(&[], &[-3.0]), b.floats(&[], &[40.0]));
    b.then("Clip", &[&low, &high], vec![]);
}

/// An LSTM along each row's three steps of two numbers.
fn recurrent(b: &mut Build) {
    let (w, r) = (b.weight(&[1, 8, 2]), b.weight(&[1, 8, 2]));
    b.reshape(&[-1, 3, 2]);
    b.then("Transpose", &[], vec![("perm", Ints(&[1, 0, 2]))]);
    b.then("LSTM", &[&w, &r], vec![("hidden_size", Int(2))]);
    let axis = b.ints(&[1]);
    b.then("Squeeze", &[&axis], vec![]);
    b.then("Transpose", &[], vec![("perm", Ints(&[1, 0, 2]))]);
    b.reshape(&[0, 6]);
}

fn convolved(b: &mut Build) {
    let (axis, weight) = (b.ints(&[1]), b.weight(&[1, 1, 3]));
    b.then("Unsqueeze", &[&axis], vec![]);
    b.then("Conv", &[&weight], vec![("kernel_shape", Ints(&[3])), ("pads", Ints(&[1, 1]))]);
    b.then("Squeeze", &[&axis], vec![]);
}

fn pooled(b: &mut Build) {
    let axis = b.ints(&[1]);
    b.then("Unsqueeze", &[&axis], vec![]);
    b.then("MaxPool", &[], vec![("kernel_shape", Ints(&[3])), ("pads", Ints(&[1, 1]))]);
    b.then("Squeeze", &[&axis], vec![]);
}

fn expanded(b: &mut Build) {
    let (top, weight) = (b.top.clone(), b.weight(&[1, 6]));
    let shape = b.op("Shape", &[&top], vec![]);
    let weights = b.op("Expand", &[&weight, &shape], vec![]);
    b.then("Mul", &[&weights], vec![]);
}

/// The three steps of a row attend to each other.
fn attention(b: &mut Build) {
    b.reshape(&[0, 3, 2]);
    let steps = b.top.clone();
    let turned = b.op("Transpose", &[&steps], vec![("perm", Ints(&[0, 2, 1]))]);
    b.then("MatMul", &[&turned], vec![]);
    b.then("Softmax", &[], vec![("axis", Int(-1))]);
    b.then("MatMul", &[&steps], vec![]);
    b.reshape(&[0, -1]);
}

fn one_hot(b: &mut Build) {
    let (top, depth, values) = (b.top.clone(), b.shaped(&[], &[6]), b.floats(&[2], &[0.25, 2.0]));
    let at = b.op("ArgMax", &[&top], vec![("axis", Int(1)), ("keepdims", Int(0))]);
    let mask = b.op("OneHot", &[&at, &depth, &values], vec![("axis", Int(-1))]);
    b.then("Mul", &[&mask], vec![]);
}

fn instance_norm(b: &mut Build) {
    let (scale, bias) = (b.weight(&[3]), b.weight(&[3]));
    b.reshape(&[0, 3, 2]);
    b.then("InstanceNormalization", &[&scale, &bias], vec![("epsilon", Float(1e-2))]);
    b.reshape(&[0, -1]);
}

fn padded(b: &mut Build) {
    let (pads, starts, ends, axes) = (b.ints(&[0, 1, 0, 1]), b.ints(&[0]), b.ints(&[6]), b.ints(&[1]));
    b.then("Pad", &[&pads], vec![]);
    b.then("Slice", &[&starts, &ends, &axes], vec![]);
}

/// Every row's own numbers choose where they go.
fn scattered(b: &mut Build) {
    let (top, order) = (b.top.clone(), b.shaped(&[1, 6], &[2, 0, 1, 5, 3, 4]));
    let shape = b.op("Shape", &[&top], vec![]);
    let places = b.op("Expand", &[&order, &shape], vec![]);
    b.then("ScatterElements", &[&places, &top], vec![("axis", Int(1))]);
}

/// A branch that a weight decides.
fn chosen(b: &mut Build) {
    let (top, one, zero) = (b.top.clone(), b.ints(&[1]), b.ints(&[0]));
    let is_more = b.op("Greater", &[&one, &zero], vec![]);
    let branches =
        vec![("then_branch", Graph(Build::body("Neg", &[&top]))), ("else_branch", Graph(Build::body("Abs", &[&top])))];
    b.top = b.op("If", &[&is_more], branches);
}

/// A mask of the row's own.
fn masked(b: &mut Build) {
    let (top, zero) = (b.top.clone(), b.floats(&[], &[0.0]));
    let over = b.op("Less", &[&top, &zero], vec![]);
    let mask = b.op("Cast", &[&over], vec![("to", Int(1))]);
    let kept = b.op("Not", &[&over], vec![]);
    let kept = b.op("Cast", &[&kept], vec![("to", Int(BOOL))]);
    let kept = b.op("Where", &[&kept, &top, &zero], vec![]);
    b.top = b.op("Sub", &[&kept, &mask], vec![]);
}

/// A running sum along a row, as a scan of its columns.
fn scanned(b: &mut Build) {
    let (top, first) = (b.top.clone(), b.shaped(&[], &[0]));
    let start = b.op("Gather", &[&top, &first], vec![("axis", Int(1))]);
    let column = |name| declared(name, 1, &["some"]);
    let nodes =
        vec![node("Add", &["sum", "next"], &["sum_out"], vec![]), node("Identity", &["sum_out"], &["seen"], vec![])];
    let body = Build::looped(vec![column("sum"), column("next")], nodes, vec![column("sum_out"), column("seen")]);
    let set = vec![
        ("body", Graph(body)),
        ("num_scan_inputs", Int(1)),
        ("scan_input_axes", Ints(&[1])),
        ("scan_output_axes", Ints(&[1])),
    ];
    b.top = b.ops("Scan", &[&start, &top], 2, set).remove(1);
}

/// The same thing three times.
fn looped(b: &mut Build) {
    let (top, times, one) = (b.top.clone(), b.shaped(&[], &[3]), b.shaped(&[], &[1]));
    let go_on = b.op("Cast", &[&one], vec![("to", Int(BOOL))]);
    b.top = b.op("Loop", &[&times, &go_on, &top], vec![("body", Graph(rounds()))]);
}

/// The body of a loop: it takes the sine of what it is given.
pub(super) fn rounds() -> GraphProto {
    let nodes =
        vec![node("Identity", &["go_on"], &["go_on_out"], vec![]), node("Sin", &["state"], &["state_out"], vec![])];
    let inputs = vec![declared("round", 7, &[]), declared("go_on", 9, &[]), declared("state", 1, &["some", "6"])];
    let outputs = vec![declared("go_on_out", 9, &[]), declared("state_out", 1, &["some", "6"])];
    Build::looped(inputs, nodes, outputs)
}
