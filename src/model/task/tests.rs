//! Which task, from which output.

use super::*;
use crate::model::fixtures::*;

const HIDDEN: &str = "last_hidden_state FP32 N,T,8";

fn embedding(output: usize, pooling: Pooling, normalize: bool, dimensions: usize) -> Task {
    Task::Embedding { output, pooling, normalize, dimensions }
}

fn task(outputs: &str, folder: &Folder) -> Task {
    spec(&bert("N", "T", outputs), folder).task
}

#[test]
fn token_vectors_are_pooled_by_the_mean_unless_a_file_says_else() {
    let mut folder = text_folder("");
    assert_eq!(task(HIDDEN, &folder), embedding(0, Pooling::Mean, false, 8));
    folder.hints.pooling = Some(Ok(Pooling::Cls));
    folder.hints.normalize = true;
    assert_eq!(task(HIDDEN, &folder), embedding(0, Pooling::Cls, true, 8));
    let mut named = text_folder("[text]\npooling = 'last'\nnormalize = false");
    named.hints = folder.hints;
    assert_eq!(task(HIDDEN, &named), embedding(0, Pooling::Last, false, 8));
}

#[test]
fn known_outputs_are_preferred() {
    let outputs = "hidden_states.0 FP32 N,T,4; pooler_output FP32 N,8; last_hidden_state FP32 N,T,8";
    assert_eq!(task(outputs, &text_folder("")), embedding(2, Pooling::Mean, false, 8));
    assert_eq!(task(outputs, &text_folder("[text]\npooling = 'none'")), embedding(1, Pooling::None, false, 8));
    assert_eq!(task("output_0 FP32 N,T,8; output_1 FP32 N,8", &text_folder("")), embedding(0, Pooling::Mean, false, 8));
    assert_eq!(task("output_1 FP32 N,8", &text_folder("")), Task::Tensors);
    assert_eq!(task("pooler_output FP32 N,8", &text_folder("")), embedding(0, Pooling::None, false, 8));
}

#[test]
fn a_finished_sentence_vector_is_the_models_own_answer() {
    let outputs = "token_embeddings FP32 N,T,8; sentence_embedding FP32 N,6";
    assert_eq!(task(outputs, &text_folder("")), embedding(1, Pooling::None, false, 6));
    assert_eq!(task(outputs, &text_folder("[text]\npooling = 'mean'")), embedding(0, Pooling::Mean, false, 8));
}

#[test]
fn a_pooling_that_cannot_be_run_matters_only_when_it_is_needed() {
    let mut folder = text_folder("");
    let fault = folder.fault("type", "cannot be run");
    folder.hints.pooling = Some(Err(fault.clone()));
    assert_eq!(ModelSpec::resolve(&bert("N", "T", HIDDEN), &folder), Err(fault));
    assert_eq!(task("sentence_embedding FP32 N,8", &folder), embedding(0, Pooling::None, false, 8));
    folder.settings.text.pooling = Some(Pooling::Mean);
    assert_eq!(task(HIDDEN, &folder), embedding(0, Pooling::Mean, false, 8));
}

#[test]
fn a_named_pooling_needs_its_output() {
    let io = bert("N", "T", HIDDEN);
    assert!(fault(&io, &text_folder("[text]\npooling = 'none'")).contains("needs an output of the form [batch, size]"));
    let io = bert("N", "T", "sentence_embedding FP32 N,8");
    assert!(fault(&io, &text_folder("[text]\npooling = 'cls'")).contains("[batch, length, size]"));
}

#[test]
fn logits_make_a_classifier() {
    let mut folder = text_folder("");
    folder.hints.labels = vec!["no".into(), "yes".into()];
    let classifier = |output| Task::Classifier { output, labels: vec!["no".into(), "yes".into()] };
    assert_eq!(task("logits FP32 N,2", &folder), classifier(0));
    assert_eq!(task("last_hidden_state FP32 N,T,8; logits FP32 N,2", &folder), classifier(1));
    folder.hints.architectures = vec!["RobertaForSequenceClassification".into()];
    assert_eq!(task("scores FP32 N,2", &folder), classifier(0));
}

#[test]
fn scores_for_each_token_are_no_embedding() {
    assert_eq!(task("logits FP32 N,T,30522", &text_folder("")), Task::Tensors);
    assert_eq!(task("logits FP32 N,T", &text_folder("")), Task::Tensors);
}

#[test]
fn only_inputs_that_a_text_fills_make_a_text_model() {
    let task = |inputs: &str| spec(&io(inputs, HIDDEN), &text_folder("")).task;
    let mean = embedding(0, Pooling::Mean, false, 8);
    assert_eq!(task("input_ids INT64 N,T"), mean, "without a mask");
    assert_eq!(task("input_ids INT32 N,T; attention_mask INT32 N,T"), mean);
    assert_eq!(task("input_ids INT64 N,T; attention_mask INT64 N,T; position_ids INT64 N,T"), Task::Tensors);
    assert_eq!(task("input_ids FP32 N,T; attention_mask INT64 N,T"), Task::Tensors);
    assert_eq!(task("attention_mask INT64 N,T"), Task::Tensors);
    assert_eq!(task("input_ids INT64 N,128; attention_mask INT64 N,128"), Task::Tensors);
    assert_eq!(spec(&bert("N", "T", HIDDEN), &folder("")).task, Task::Tensors, "without a tokenizer");
}

#[test]
fn unpadded_and_single_row_models_embed_too() {
    let text = text_folder("");
    let mean = embedding(0, Pooling::Mean, false, 8);
    assert_eq!(spec(&bert("?", "?", "last_hidden_state FP32 ?,?,8"), &text).task, mean);
    assert_eq!(spec(&bert("1", "T", "last_hidden_state FP32 1,T,8"), &text).task, mean);
    assert_eq!(spec(&bert("4", "T", "last_hidden_state FP32 4,T,8"), &text).task, Task::Tensors);
}

#[test]
fn a_width_that_the_graph_leaves_open_is_the_configurations() {
    let mut folder = text_folder("");
    assert_eq!(task("last_hidden_state FP16 N,T,H", &folder), Task::Tensors);
    folder.hints.hidden = Some(8);
    let spec = spec(&bert("N", "T", "last_hidden_state FP16 N,T,H"), &folder);
    assert_eq!(spec.task, embedding(0, Pooling::Mean, false, 8));
}
