//! Requests that fit, requests that do not, and who shares a class.

use super::*;
use crate::model::fixtures::*;
use Datatype::{Fp32, Int32, Int64};

fn given<'a>(name: &'a str, datatype: Datatype, shape: &'a [usize]) -> Given<'a> {
    Given { name, datatype, shape }
}

fn text(shape: &[usize]) -> [Given<'_>; 3] {
    ["attention_mask", "input_ids", "token_type_ids"].map(|name| given(name, Int64, shape))
}

fn minilm() -> ModelSpec {
    spec(&bert("N", "T", "last_hidden_state FP32 N,T,8"), &folder("[text]\nmax_length = 256"))
}

#[test]
fn what_fits_is_measured_and_ordered() {
    let accepted = minilm().accept(&text(&[2, 7])).unwrap();
    assert_eq!((accepted.rows, accepted.len, accepted.order), (2, 7, vec![1, 0, 2]));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let model = spec(
        &io("ids INT64 N,T; x FP32 N,3", "y FP32 N"),
        &folder("[batching]\nlength_dim = 'T'\n[text]\nmax_length = 9"),
    );
    let says = |tensors: &[Given<'_>], message: &str| assert_eq!(model.accept(tensors).unwrap_err(), message);
    let ids = |shape| given("ids", Int64, shape);
    let x = |shape| given("x", Fp32, shape);
    says(&[ids(&[1, 2])], "input `x` is missing (the model's inputs: `ids`, `x`)");
    says(&[], "input `ids` is missing (the model's inputs: `ids`, `x`)");
    says(&[ids(&[1, 2]), given("z", Fp32, &[1])], "input `z` is unknown (the model's inputs: `ids`, `x`)");
    says(&[ids(&[1, 2]), x(&[1, 3]), ids(&[1, 2])], "input `ids` is given twice");
    says(&[given("ids", Int32, &[1, 2]), x(&[1, 3])], "input `ids` has datatype INT32, the model takes INT64");
    says(&[ids(&[2]), x(&[1, 3])], "input `ids` has shape [2], the model takes [batch, length]");
    says(&[ids(&[1, 2]), x(&[1, 4])], "input `x` has shape [1, 4], the model takes [batch, 3]");
    says(&[ids(&[1, 10]), x(&[1, 3])], "the request's rows are 10 long, the model takes at most 9");
    says(
        &[ids(&[usize::MAX, 2]), x(&[1, 3])],
        "input `ids` has size 18446744073709551615 in dimension 0; at most 4294967295",
    );
}

#[test]
fn what_is_not_rows_of_one_length_is_kept_to_itself_and_says_why() {
    let irregular = |shapes: [&[usize]; 3]| {
        let mut tensors = text(&[]);
        // `attention_mask` comes first; the model's first is `input_ids`.
        tensors.iter_mut().zip(shapes).for_each(|(tensor, shape)| tensor.shape = shape);
        let accepted = minilm().accept(&tensors).unwrap();
        assert_ne!(accepted.class, minilm().accept(&tensors).unwrap().class, "it shares with nothing, not with itself");
        (accepted.rows, accepted.len, accepted.irregular.unwrap())
    };
    let says = |shapes, rows, len, why: &str| assert_eq!(irregular(shapes), (rows, len, why.to_owned()));
    let lengths = "inputs disagree on their length: `input_ids` has 7, `token_type_ids` has 8";
    says([&[1, 7], &[1, 7], &[1, 8]], 1, 8, lengths);
    let rows = "inputs disagree on their rows: `input_ids` has 1, `attention_mask` has 3";
    says([&[3, 7], &[1, 7], &[3, 7]], 3, 7, rows);
    says([&[0, 7], &[0, 7], &[0, 7]], 1, 7, "input `input_ids` has size 0 in dimension 0 (batch)");
    says([&[2, 0], &[2, 0], &[2, 0]], 2, 1, "input `input_ids` has size 0 in dimension 1 (length)");
    assert_eq!(minilm().accept(&text(&[3, 7])).unwrap().irregular, None);
}

#[test]
fn a_padding_model_has_one_class_for_texts_and_tensors() {
    let model = minilm();
    let class = model.accept(&text(&[2, 7])).unwrap().class;
    assert_eq!(class, model.accept(&text(&[5, 100])).unwrap().class);
    assert_eq!(class, model.token_class(12));
}

#[test]
fn a_model_that_never_pads_has_a_class_for_each_length() {
    for (toml, length) in [("[batching]\nexact = true", "T"), ("", "?")] {
        let model = spec(&bert("N", length, "y FP32 N,8"), &folder(toml));
        let class = |len: usize| model.accept(&text(&[2, len])).unwrap().class;
        assert_eq!(class(7), model.token_class(7));
        assert_ne!(class(7), class(8));
    }
}

#[test]
fn free_dimensions_share_only_when_equal() {
    let model = spec(&io("x FP32 N,A,B", "y FP32 N"), &folder(""));
    let class = |shape: &[usize]| model.accept(&[given("x", Fp32, shape)]).unwrap().class;
    assert_eq!(class(&[1, 3, 4]), class(&[9, 3, 4]));
    assert_ne!(class(&[1, 3, 4]), class(&[1, 4, 3]));
    assert_eq!(model.accept(&[given("x", Fp32, &[2, 3, 0])]).unwrap().len, 1, "no length dimension");
}

#[test]
fn a_model_that_does_not_stack_takes_one_row() {
    let model = spec(&io("x FP32 A,4; t FP32", "y FP32 A"), &folder(""));
    let accept = |n: usize| model.accept(&[given("x", Fp32, &[n, 4]), given("t", Fp32, &[])]).unwrap();
    assert_eq!((accept(5).rows, accept(5).len), (1, 1));
    assert_ne!(accept(5).class, accept(6).class);
    let text = spec(&bert("1", "T", "y FP32 1,T,8"), &folder(""));
    let shape = [1, 7];
    assert_eq!(text.accept(&self::text(&shape)).unwrap().class, text.token_class(7));
    assert_eq!(
        text.accept(&self::text(&[2, 7])).unwrap_err(),
        "input `input_ids` has shape [2, 7], the model takes [1, length]"
    );
}

#[test]
fn the_class_of_a_shape_never_changes() {
    let model = spec(&io("x FP32 N,3", "y FP32 N"), &folder(""));
    let class = model.accept(&[given("x", Fp32, &[1, 3])]).unwrap().class;
    assert_eq!(class, ShapeClass(GOLDEN), "{class}");
}

/// FNV-1a over 2, 3 and 1 (rank, size, length) as eight little-endian bytes each.
const GOLDEN: u64 = 0x0122_17ff_4cbf_f925;
