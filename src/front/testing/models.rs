//! Models for every kind of request.

use crate::model::{Datatype, Dim, Model, ModelSpec, ModelState, Task, TensorSpec};
use crate::text::{Pooling, Tokenizer};
use crate::types::ModelId;
use std::sync::Arc;

fn tensor(name: &str, datatype: Datatype) -> TensorSpec {
    let dims = vec![Dim::Batch, Dim::Free("n".into())];
    TensorSpec::new(name, datatype, dims)
}

fn model(name: &str, tensors: &[(&str, Datatype)], task: Task, tokenizer: Option<Tokenizer>) -> Arc<Model> {
    let spec = ModelSpec {
        inputs: tensors.iter().map(|(name, datatype)| tensor(name, *datatype)).collect(),
        outputs: tensors.iter().map(|(name, datatype)| tensor(&format!("{name}_out"), *datatype)).collect(),
        batchable: true,
        pads: false,
        task,
        max_length: Some(8),
        ..ModelSpec::default()
    };
    let model = Model::new(ModelId(0), name, spec, tokenizer, 1_700_000_000);
    model.set_state(ModelState::Ready);
    Arc::new(model)
}

/// Words `w0` to `w9`, with their ids; anything else is 10.
pub(in crate::front) fn tokenizer() -> Tokenizer {
    let words: Vec<String> = (0..10).map(|i| format!("\"w{i}\":{i}")).collect();
    let json = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"WhitespaceSplit"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{},"unknown":10}},"unk_token":"unknown"}}}}"#,
        words.join(",")
    );
    Tokenizer::from_bytes(json.as_bytes()).unwrap()
}

/// `embed` and `classify` take text; `echo-FP32` and its like take tensors `x`; `two` takes `a` and `b`.
pub(in crate::front) fn models() -> Vec<Arc<Model>> {
    let ids = [("input_ids", Datatype::Int64)];
    let embedding = Task::Embedding { output: 0, pooling: Pooling::Mean, normalize: true, dimensions: 4 };
    let classifier = Task::Classifier { output: 0, labels: vec!["no".into(), "yes".into()] };
    let mut models = vec![
        model("embed", &ids, embedding, Some(tokenizer())),
        model("classify", &ids, classifier, Some(tokenizer())),
        model("two", &[("a", Datatype::Fp32), ("b", Datatype::Int32)], Task::Tensors, None),
    ];
    let echo = |d: Datatype| model(&format!("echo-{}", d.name()), &[("x", d)], Task::Tensors, None);
    models.extend(Datatype::ALL.map(echo));
    models
}
