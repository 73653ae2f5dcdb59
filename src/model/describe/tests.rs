//! The lines an operator reads.

use crate::model::fixtures::*;
use crate::model::{Batching, Filling, Folder, MadeUp, RawIo};

/// Every line but the tensors', warnings marked.
fn lines(io: &RawIo, folder: &Folder) -> Vec<String> {
    let skip = io.inputs.len() + io.outputs.len();
    let mark = |f: &crate::model::Finding| format!("{}{}", if f.warning { "! " } else { "" }, f.text);
    spec(io, folder).describe(folder).iter().skip(skip).map(mark).collect()
}

#[test]
fn a_text_model_in_good_order() {
    let mut folder = text_folder("[text]\nmax_length = 256");
    folder.hints.normalize = true;
    let io = bert("N", "T", "last_hidden_state FP32 N,T,384");
    assert_eq!(spec(&io, &folder).describe(&folder)[3].text, "output last_hidden_state FP32 [batch, length, 384]");
    assert_eq!(
        lines(&io, &folder),
        [
            "requests are stacked along the first dimension",
            "rows are padded to the batch's longest: input_ids with 0, attention_mask with 0, token_type_ids with 0",
            "embeds text: 384 values from last_hidden_state, pooling mean, scaled to length one",
            "a row has at most 256 tokens",
        ]
    );
}

#[test]
fn no_batch_dimension_is_a_warning_with_its_cause() {
    let fixed = lines(&io("x FP32 1,4", "y FP32 1,4"), &folder(""));
    assert_eq!(
        fixed,
        [
            "! no symbolic batch dimension: served one request at a time (the first dimension of input `x` is fixed \
             at 1; export it with a dynamic batch dimension)",
            "no length dimension: only requests of equal shape share a batch",
        ]
    );
    let loss = lines(&io("x FP32 N,4", "loss FP32"), &folder(""));
    assert!(loss[0].ends_with("(output `loss` is a scalar; export it with a dynamic batch dimension)"), "{loss:?}");
    let boxes = lines(&io("x FP32 N,4", "boxes FP32 num_boxes,4"), &folder(""));
    assert!(
        boxes[0].ends_with("(output `boxes` has `num_boxes` as its first dimension, not `N`)"),
        "nothing is advised that was not tried: {boxes:?}"
    );
}

#[test]
fn what_the_nets_found_is_said() {
    let tensors = io("x FP32 N,4", "y FP32 N,4");
    let line = |batching, batchable| {
        let mut spec = spec(&tensors, &folder(""));
        (spec.batching, spec.batchable, spec.made_up) = (batching, batchable, Some(MadeUp::Runs(Filling::Bytes)));
        let found = spec.describe(&folder(""));
        let of_batch = found.iter().find(|f| f.text.contains("batch") && f.text.contains("request")).unwrap();
        (of_batch.warning, of_batch.text.clone())
    };
    let (warning, text) = line(Batching::solo("output `y` mixes rows"), false);
    assert!(warning && text.contains("not safe to batch") && text.ends_with("output `y` mixes rows"), "{text}");
    let (warning, text) = line(Batching { moved: Some(1.5e-7), ..Batching::default() }, true);
    assert!(!warning && text.starts_with("safe to batch") && text.contains("1.5e-7"), "{text}");
}

#[test]
fn text_models_that_fall_short_are_warned_about() {
    let text = text_folder("");
    let nameless = lines(&bert("?", "?", "last_hidden_state FP32 ?,?,8"), &text);
    assert!(nameless[1].starts_with("! rows are never padded, only equal lengths share a batch: "), "{nameless:?}");
    assert_eq!(nameless[3], "! the longest row is not known: set [text] max_length in model.toml");
    let vision = lines(&io("x FP32 N,4", "y FP32 N,4"), &text);
    assert!(vision[2].starts_with("! tokenizer.json is there, but"), "{vision:?}");
    let exact = lines(&bert("N", "T", "y FP32 N,T,8"), &text_folder("[batching]\nexact = true"));
    assert_eq!(exact[1], "rows are never padded: only equal lengths share a batch");
}

#[test]
fn a_longest_row_past_the_positions_is_a_warning() {
    let mut folder = text_folder("[text]\nmax_length = 900");
    folder.hints.max_positions = Some(512);
    let last = lines(&bert("N", "T", "y FP32 N,T,8"), &folder).pop().unwrap();
    assert_eq!(last, "! max_length = 900 in model.toml is more than the 512 positions of config.json: 512 is used");
}

#[test]
fn a_classifier_counts_its_labels() {
    let mut folder = text_folder("");
    let io = bert("N", "T", "logits FP32 N,2");
    assert_eq!(lines(&io, &folder)[2], "classifies text: unnamed labels from logits");
    folder.hints.labels = vec!["no".into(), "yes".into()];
    assert_eq!(lines(&io, &folder)[2], "classifies text: 2 labels from logits");
}
