//! The files as exporters write them, and wrong types in them.

use super::*;
use std::fs;

fn hints(files: &[(&str, &str)]) -> Result<Hints, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    read_hints(dir.path()).map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

const MODULES: &str = r#"[
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;

#[test]
fn no_files_say_nothing() {
    assert_eq!(hints(&[]).unwrap(), Hints::default());
}

#[test]
fn a_sentence_transformers_folder_is_understood() {
    let found = hints(&[
        (
            "config.json",
            r#"{"architectures": ["BertModel"], "hidden_size": 384, "pad_token_id": 0,
                            "max_position_embeddings": 512, "model_type": "bert"}"#,
        ),
        ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#),
        ("modules.json", MODULES),
        ("1_Pooling/config.json", r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#),
    ]);
    let expected = Hints {
        pooling: Some(Ok(Pooling::Mean)),
        normalize: true,
        max_length: Some(256),
        max_positions: Some(512),
        pad_id: Some(0),
        hidden: Some(384),
        architectures: vec!["BertModel".into()],
        labels: Vec::new(),
    };
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn every_form_of_pooling_is_read() {
    let mode = |config: &str| {
        hints(&[("1_Pooling/config.json", config)]).unwrap().pooling.map(|p| p.map_err(|e| e.to_string()))
    };
    assert_eq!(mode(r#"{"pooling_mode_cls_token": true}"#), Some(Ok(Pooling::Cls)));
    assert_eq!(mode(r#"{"pooling_mode_lasttoken": true}"#), Some(Ok(Pooling::Last)));
    assert_eq!(mode(r#"{"pooling_mode": "mean"}"#), Some(Ok(Pooling::Mean)));
    assert_eq!(mode(r#"{"pooling_mode": ["lasttoken"]}"#), Some(Ok(Pooling::Last)));
    assert_eq!(mode("{}"), None);
    let both = mode(r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#).unwrap().unwrap_err();
    assert!(both.contains("pooling_mode_…: is `cls + max`; exactly one of mean, cls, lasttoken"), "{both}");
}

#[test]
fn the_pooling_folder_is_the_one_that_modules_names() {
    let modules = r#"[{"path": "7_Pooling", "type": "a.b.Pooling"}]"#;
    let found = hints(&[("modules.json", modules), ("7_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#)]);
    assert_eq!(found.unwrap().pooling, Some(Ok(Pooling::Cls)));
}

#[test]
fn a_module_that_cannot_be_run_forbids_pooling() {
    let modules = MODULES.replace("models.Normalize", "models.Dense");
    let found =
        hints(&[("modules.json", &modules), ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": true}"#)]);
    let fault = found.unwrap().pooling.unwrap().unwrap_err().to_string();
    assert!(fault.contains("modules.json: type: module `sentence_transformers.models.Dense` cannot be run"), "{fault}");
}

#[test]
fn lengths_without_a_limit_are_ignored() {
    let length = |config: &str| hints(&[("tokenizer_config.json", config)]).unwrap().max_length;
    assert_eq!(length(r#"{"model_max_length": 1000000000000000019884624838656}"#), None);
    assert_eq!(length(r#"{"model_max_length": 1e30}"#), None);
    assert_eq!(length(r#"{"model_max_length": 0}"#), None);
    assert_eq!(length(r#"{"model_max_length": 512.0}"#), Some(512));
    let files = [
        ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ("sentence_bert_config.json", r#"{"max_seq_length": null}"#),
    ];
    assert_eq!(hints(&files).unwrap().max_length, Some(512));
}

#[test]
fn positions_behind_the_padding_id_are_not_counted() {
    let positions = |config: &str| hints(&[("config.json", config)]).unwrap().max_positions;
    assert_eq!(positions(r#"{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}"#), Some(512));
    assert_eq!(positions(r#"{"model_type": "mpnet", "max_position_embeddings": 514}"#), Some(512));
    assert_eq!(positions(r#"{"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 1}"#), Some(512));
    assert_eq!(positions(r#"{"max_position_embeddings": -1}"#), None);
    assert_eq!(positions("{}"), None);
}

#[test]
fn a_negative_number_is_none() {
    let config = r#"{"pad_token_id": -1, "max_position_embeddings": -1}"#;
    assert_eq!(hints(&[("config.json", config)]).unwrap(), Hints::default());
}

#[test]
fn labels_come_in_numeric_order_and_holes_are_filled() {
    let labels = |config: &str| hints(&[("config.json", config)]).unwrap().labels;
    assert_eq!(labels(r#"{"id2label": {"10": "k", "2": "c", "0": "a"}}"#)[..3], ["a", "LABEL_1", "c"]);
    assert_eq!(labels(r#"{"id2label": {"0": "a", "00": "b", "99999999999": "far"}}"#), ["a"]);
}

#[test]
fn a_wrong_type_names_file_field_and_what_is_allowed() {
    let says = |file: &str, content: &str, message: &str| {
        assert_eq!(hints(&[(file, content)]).unwrap_err(), message);
    };
    const UINT: &str = "must be a whole number up to 4294967295";
    says("config.json", r#"{"pad_token_id": "x"}"#, &format!("config.json: pad_token_id: {UINT}, is \"x\""));
    says("config.json", r#"{"hidden_size": 4294967296}"#, &format!("config.json: hidden_size: {UINT}, is 4294967296"));
    says(
        "config.json",
        r#"{"max_position_embeddings": 1.5}"#,
        &format!("config.json: max_position_embeddings: {UINT}, is 1.5"),
    );
    says("config.json", r#"{"model_type": 3}"#, "config.json: model_type: must be a string, is 3");
    says(
        "config.json",
        r#"{"id2label": {"a": "b"}}"#,
        "config.json: id2label: must be an object from whole numbers to strings, is {\"a\":\"b\"}",
    );
    says(
        "tokenizer_config.json",
        r#"{"model_max_length": "big"}"#,
        "tokenizer_config.json: model_max_length: must be a number, is \"big\"",
    );
    says(
        "1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": 1}"#,
        "1_Pooling/config.json: pooling_mode_cls_token: must be true or false, is 1",
    );
    says(
        "modules.json",
        r#"[{"type": ["a long list", "of names", "that is cut off"]}]"#,
        "modules.json: type: must be a string, is [\"a long list\",\"of names\",\"that is cut o…",
    );
}
