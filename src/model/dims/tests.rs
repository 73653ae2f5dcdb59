//! Symbols as exporters write them.

use super::*;
use crate::model::Datatype;

/// A tensor from `name:dim,dim,…`; a number is a fixed size, nothing is a nameless dimension.
fn tensor(text: &str) -> TensorSpec {
    let (name, dims) = text.split_once(':').unwrap();
    let dim = |d: &str| d.parse().map_or_else(|_| Dim::Free(d.into()), Dim::Fixed);
    let dims = if dims == "scalar" { Vec::new() } else { dims.split(',').map(dim).collect() };
    TensorSpec::new(name, Datatype::Int64, dims)
}

fn tensors(texts: &[&str]) -> Vec<TensorSpec> {
    texts.iter().map(|t| tensor(t)).collect()
}

fn batch(inputs: &[&str], outputs: &[&str]) -> Result<String, String> {
    batch_symbol(&tensors(inputs), &tensors(outputs), None)
}

fn length(inputs: &[&str], outputs: &[&str]) -> Option<(Option<String>, bool)> {
    infer_length(&tensors(inputs), &tensors(outputs), Some("N")).map(|l| (l.symbol, l.pads))
}

#[test]
fn the_shared_first_symbol_is_the_batch() {
    assert_eq!(batch(&["a:N,3", "b:N"], &["y:N,2"]).unwrap(), "N");
    assert_eq!(batch(&["a:N,3"], &["y:Addlast_hidden_state_dim_0,2"]).unwrap(), "N");
    assert_eq!(batch(&["a:N,3"], &["y:,2"]).unwrap(), "N");
}

#[test]
fn nameless_first_dimensions_are_the_batch_when_all_are() {
    assert_eq!(batch(&["a:,3", "b:"], &["y:,2"]).unwrap(), "");
    assert_eq!(batch(&["a:unk__1,3", "b:unk__2"], &["y:unk__3,2"]).unwrap(), "");
}

#[test]
fn disagreement_is_no_batch_and_says_who() {
    let says = |inputs: &[&str], outputs: &[&str], part: &str| {
        let why = batch(inputs, outputs).unwrap_err();
        assert!(why.contains(part), "{why}");
    };
    says(&["a:1,3"], &["y:1,3"], "the first dimension of input `a` is fixed at 1");
    says(&["a:N,3", "b:M,3"], &["y:N"], "input `b` has `M`");
    says(&["a:N,3", "b:,3"], &["y:N"], "input `b` has ``");
    says(&["a:N", "s:scalar"], &["y:N"], "input `s` is a scalar");
    says(&["a:N"], &["loss:scalar"], "output `loss` is a scalar");
    says(&["a:N"], &["y:4"], "output `y` is fixed at 4");
    says(&["a:N,T"], &["y:T"], "output `y` has `T`");
    says(&["image:N,3"], &["boxes:num_boxes,4"], "output `boxes` has `num_boxes`");
    says(&["a:N,8"], &["similarity:N,N"], "`similarity` has `N` beyond its first dimension");
    says(&[], &["y:N"], "no inputs");
}

#[test]
fn the_operators_word_admits_other_names() {
    let named = |inputs: &[&str], outputs: &[&str]| batch_symbol(&tensors(inputs), &tensors(outputs), Some("N"));
    assert_eq!(named(&["a:N", "b:"], &["y:other"]).unwrap(), "N");
    assert!(named(&["a:N", "b:M"], &["y:N"]).is_err());
    assert!(named(&["a:N,T"], &["y:T"]).is_err());
    assert!(named(&["a:N", "b:7"], &["y:N"]).is_err());
}

#[test]
fn only_a_mask_that_follows_the_ids_pads() {
    let yes = Some((Some("T".to_owned()), true));
    let no = Some((Some("T".to_owned()), false));
    assert_eq!(length(&["input_ids:N,T", "attention_mask:N,T"], &["y:N,T,8"]), yes);
    assert_eq!(length(&["input_values:N,T", "attention_mask:N,T"], &["y:N,8"]), yes);
    assert_eq!(length(&["input_ids:N,T"], &["y:N,T,8"]), no, "no mask");
    assert_eq!(length(&["input_ids:N,T", "attention_mask:N,past + T"], &["y:N,T"]), no, "another length");
    assert_eq!(length(&["input_ids:N,T", "attention_mask:N,"], &["y:N,T"]), no, "a nameless mask");
    assert_eq!(length(&["input_ids:N,,", "attention_mask:N,T"], &["y:N"]), None, "ids of another rank");
    assert_eq!(length(&["attention_mask:N,T"], &["y:N,T"]), None, "a mask of nothing");
    assert_eq!(length(&["pixels:N,3,T"], &["y:N"]), None);
}

#[test]
fn an_output_that_could_not_be_trimmed_forbids_padding() {
    let pads = |outputs: &[&str]| length(&["input_ids:N,T", "attention_mask:N,T", "k:N,P"], outputs).unwrap().1;
    assert!(pads(&["y:N,T,8", "maps:N,12,T,T", "past:N,P"]));
    assert!(!pads(&["y:N,Addy_dim_1,8"]));
    assert!(!pads(&["y:N,T + 1"]));
    assert!(!pads(&["y:N,,8"]));
}

#[test]
fn numbered_symbols_are_nameless() {
    for symbol in ["", "unk__617", "Addlast_hidden_state_dim_0", "input_ids_dynamic_axes_12"] {
        assert!(anonymous(symbol), "{symbol}");
    }
    for symbol in ["batch_size", "N", "sequence_length", "dim_x", "seq_dim_", "s0", "unk"] {
        assert!(!anonymous(symbol), "{symbol}");
    }
}
