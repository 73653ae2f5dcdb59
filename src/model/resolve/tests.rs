//! Resolution of the shapes that exporters write, against docs/interface.md.

use crate::model::ModelSpec;
use crate::model::fixtures::*;

/// Batchable, pads, and every tensor's dimensions.
fn meaning(spec: &ModelSpec) -> (bool, bool, Vec<String>) {
    let dims = spec.inputs.iter().chain(&spec.outputs).map(ToString::to_string).collect();
    (spec.batchable, spec.pads, dims)
}

#[test]
fn a_text_model_is_stacked_and_padded() {
    for (batch, length) in [("batch_size", "sequence_length"), ("N", "T"), ("batch", "seq")] {
        let hidden = format!("last_hidden_state FP32 {batch},{length},384");
        let (batchable, pads, dims) = meaning(&spec(&bert(batch, length, &hidden), &folder("")));
        assert!(batchable && pads);
        assert_eq!(
            dims,
            [
                "input_ids INT64 [batch, length]",
                "attention_mask INT64 [batch, length]",
                "token_type_ids INT64 [batch, length]",
                "last_hidden_state FP32 [batch, length, 384]",
            ]
        );
    }
}

#[test]
fn a_maskless_model_is_never_padded() {
    let io = io("input_ids INT64 N,T", "y FP32 N,T");
    assert_eq!(
        meaning(&spec(&io, &folder(""))),
        (true, false, vec!["input_ids INT64 [batch, length]".into(), "y FP32 [batch, length]".into()])
    );
    assert!(spec(&io, &folder("[batching]\nlength_dim = 'T'")).pads, "unless the operator says so");
}

#[test]
fn other_dynamic_dimensions_keep_their_symbol() {
    let audio = io("x FP32 N,80,T", "y FP32 N,T");
    assert_eq!(
        meaning(&spec(&audio, &folder(""))),
        (true, false, vec!["x FP32 [batch, 80, T]".into(), "y FP32 [batch, T]".into()])
    );
    let padded = spec(&audio, &folder("[batching]\nlength_dim = 'T'"));
    assert_eq!(
        meaning(&padded),
        (true, true, vec!["x FP32 [batch, 80, length]".into(), "y FP32 [batch, length]".into()])
    );
}

#[test]
fn a_vision_model_is_stacked() {
    let spec = spec(&io("pixels FP32 N,3,224,224", "logits FP32 N,1000"), &folder(""));
    assert_eq!(meaning(&spec).2, ["pixels FP32 [batch, 3, 224, 224]", "logits FP32 [batch, 1000]"]);
    assert!(spec.batchable && !spec.pads);
}

#[test]
fn exact_knows_the_length_and_never_pads() {
    let spec = spec(&bert("N", "T", "y FP32 N,T,8"), &folder("[batching]\nexact = true"));
    assert!(spec.batchable && !spec.pads);
    assert_eq!(spec.inputs[0].length_axis(), Some(1));
}

#[test]
fn nameless_dimensions_stack_and_are_equal_to_nothing() {
    let tabular = io("a FP32 ?,3; b FP32 ?,?", "y FP32 ?,?");
    assert_eq!(
        meaning(&spec(&tabular, &folder(""))),
        (true, false, vec!["a FP32 [batch, 3]".into(), "b FP32 [batch, ?]".into(), "y FP32 [batch, ?]".into()])
    );
    let text = spec(&bert("?", "?", "y FP32 ?,?,8"), &folder(""));
    assert!(text.batchable && !text.pads);
    assert_eq!(text.inputs[2].length_axis(), Some(1), "a text input's length is known");
    assert_eq!(text.outputs[0].length_axis(), None);
}

#[test]
fn a_fixed_batch_is_served_one_at_a_time() {
    let spec = spec(&io("x FP32 1,4; m FP32 ?,4", "y FP32 1,4"), &folder(""));
    assert_eq!(
        meaning(&spec),
        (false, false, vec!["x FP32 [1, 4]".into(), "m FP32 [?, 4]".into(), "y FP32 [1, 4]".into()])
    );
    let text = spec_of_fixed_text();
    assert!(!text.pads, "padding needs batches");
    assert_eq!(text.inputs[0].length_axis(), Some(1));
}

fn spec_of_fixed_text() -> ModelSpec {
    spec(&bert("1", "T", "y FP32 1,T,8"), &folder(""))
}

#[test]
fn scalars_are_served_one_at_a_time() {
    assert!(!spec(&io("x FP32 N,4; temperature FP32", "y FP32 N,4"), &folder("")).batchable);
    assert!(!spec(&io("x FP32 N,4", "loss FP32"), &folder("")).batchable);
}

#[test]
fn outputs_under_an_exporters_name_stack_but_are_not_trimmed() {
    let io = bert("N", "T", "y FP32 Addy_dim_0,Addy_dim_1,8");
    let spec = spec(&io, &folder(""));
    assert!(spec.batchable && !spec.pads, "what cannot be trimmed is not padded");
}

#[test]
fn an_attention_map_is_trimmed_on_both_sides() {
    let spec = spec(&bert("N", "T", "maps FP32 N,12,T,T"), &folder(""));
    assert_eq!(spec.outputs[0].length_axes().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn named_dimensions_must_exist_and_make_sense() {
    let io = io("x FP32 N,T; ids INT64 N,T", "y FP32 N");
    let says = |toml: &str, part: &str| {
        let message = fault(&io, &folder(toml));
        assert!(message.contains(part), "{message}");
    };
    says(
        "[batching]\nbatch_dim = 'M'",
        "model.toml: [batching] batch_dim: the model has no symbolic dimension `M` there (allowed: N, T)",
    );
    says("[batching]\nbatch_dim = 'T'", "[batching] batch_dim: input `x` has `N` as its first dimension, not `T`");
    says(
        "[batching]\nlength_dim = 'L'",
        "[batching] length_dim: the model has no symbolic dimension `L` there (allowed: N, T)",
    );
    says("[batching]\nlength_dim = ''", "(allowed: N, T)");
    says("[batching]\nlength_dim = 'N'", "[batching] length_dim: `N` is the batch dimension");
}

#[test]
fn a_named_batch_admits_outputs_of_another_name() {
    let io = io("x FP32 N,4", "boxes FP32 M,4");
    assert!(!spec(&io, &folder("")).batchable);
    assert!(spec(&io, &folder("[batching]\nbatch_dim = 'N'")).batchable);
}

#[test]
fn strings_cannot_be_padded() {
    let io = io("words BYTES N,T", "y FP32 N");
    let message = fault(&io, &folder("[batching]\nlength_dim = 'T'"));
    assert!(
        message.contains("input `words` has datatype BYTES, which cannot be padded; set exact = true"),
        "{message}"
    );
    assert!(!spec(&io, &folder("[batching]\nlength_dim = 'T'\nexact = true")).pads);
}

#[test]
fn pads_are_the_operators_then_the_padding_id_then_zero() {
    let io = bert("N", "T", "y FP32 N,T,8");
    let mut folder = folder("[inputs.token_type_ids]\npad = 3");
    let pads = |f: &_| spec(&io, f).inputs.iter().map(|i| i.pad).collect::<Vec<_>>();
    assert_eq!(pads(&folder), [0.0, 0.0, 3.0]);
    folder.hints.pad_id = Some(1);
    assert_eq!(pads(&folder), [1.0, 0.0, 3.0]);
    assert_eq!(pads(&super::super::fixtures::folder("[inputs.input_ids]\npad = 9")), [9.0, 0.0, 0.0]);
}

#[test]
fn a_pad_must_be_a_value_of_its_input() {
    let io = io("x FP32 N,T; flags BOOL N,T; small UINT8 N,T; big INT64 N,T; words BYTES N", "y FP32 N");
    for good in [
        "[inputs.x]\npad = -inf",
        "[inputs.x]\npad = 0.5",
        "[inputs.flags]\npad = 1",
        "[inputs.small]\npad = 255",
        "[inputs.big]\npad = -100",
    ] {
        assert!(ModelSpec::resolve(&io, &folder(good)).is_ok(), "{good}");
    }
    for bad in [
        "[inputs.flags]\npad = 2",
        "[inputs.small]\npad = -1",
        "[inputs.small]\npad = 256",
        "[inputs.big]\npad = 0.5",
        "[inputs.big]\npad = nan",
        "[inputs.words]\npad = 0",
    ] {
        let message = fault(&io, &folder(bad));
        assert!(message.contains("pad: ") && message.contains("is no value of the input's datatype"), "{message}");
    }
    let message = fault(&io, &folder("[inputs.mask]\npad = 0"));
    assert!(
        message.contains("[inputs.mask]: the model has no input of this name (allowed: x, flags, small, big, words)"),
        "{message}"
    );
}

#[test]
fn the_longest_row_is_the_operators_then_the_files_never_past_the_positions() {
    let io = bert("N", "T", "y FP32 N,T,8");
    let longest = |toml: &str, tokens: Option<u32>, positions: Option<u32>| {
        let mut folder = folder(toml);
        (folder.hints.max_length, folder.hints.max_positions) = (tokens, positions);
        spec(&io, &folder).max_length
    };
    assert_eq!(longest("", None, None), None);
    assert_eq!(longest("", Some(256), Some(512)), Some(256));
    assert_eq!(longest("", Some(1024), Some(512)), Some(512));
    assert_eq!(longest("", None, Some(512)), Some(512));
    assert_eq!(longest("[text]\nmax_length = 300", Some(256), Some(512)), Some(300));
    assert_eq!(longest("[text]\nmax_length = 900", Some(256), Some(512)), Some(512));
}

#[test]
fn a_model_without_tokens_takes_no_length_from_the_files() {
    let mut folder = folder("");
    folder.hints.max_positions = Some(512);
    assert_eq!(spec(&io("audio FP32 N,T; attention_mask INT64 N,T", "y FP32 N,8"), &folder).max_length, None);
}
