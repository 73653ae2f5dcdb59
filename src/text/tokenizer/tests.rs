//! A tokenizer small enough to read, with the padding and truncation settings that must be ignored.

use super::*;

const WORDS: [&str; 9] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "down", "far"];

fn json(post_processor: &str, unk: &str) -> String {
    let vocab: Vec<String> = WORDS.iter().enumerate().map(|(i, w)| format!("{w:?}: {i}")).collect();
    format!(
        r#"{{
            "version": "1.0",
            "truncation": {{"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}},
            "padding": {{"strategy": {{"Fixed": 16}}, "direction": "Right", "pad_to_multiple_of": null,
                         "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}},
            "added_tokens": [{{"id": 40, "special": true, "content": "[EXTRA]", "single_word": false,
                               "lstrip": false, "rstrip": false, "normalized": false}}],
            "normalizer": {{"type": "Lowercase"}},
            "pre_tokenizer": {{"type": "Whitespace"}},
            "post_processor": {post_processor},
            "decoder": null,
            "model": {{"type": "WordLevel", "vocab": {{{}, "[EXTRA]": 40}}, "unk_token": "{unk}"}}
        }}"#,
        vocab.join(", ")
    )
}

fn bert() -> Tokenizer {
    bert_with_types(0)
}

fn bert_with_types(second: u32) -> Tokenizer {
    let template = format!(
        r#"{{"type": "TemplateProcessing",
            "single": [{{"SpecialToken": {{"id": "[CLS]", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": {second}}}}},
                       {{"SpecialToken": {{"id": "[SEP]", "type_id": 0}}}}],
            "pair": [{{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"Sequence": {{"id": "B", "type_id": 1}}}}],
            "special_tokens": {{"[CLS]": {{"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
                                "[SEP]": {{"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}}}}"#
    );
    Tokenizer::from_bytes(json(&template, "[UNK]").as_bytes()).unwrap()
}

#[test]
fn padding_and_truncation_of_the_file_are_ignored() {
    let tokens = bert().encode("The cat sat down far", Overflow::Error, None).unwrap();
    assert_eq!(tokens.ids, [2, 4, 5, 6, 7, 8, 3]);
    assert!(tokens.type_ids.is_empty(), "all zero is written as empty");
}

#[test]
fn an_exact_fit_is_not_an_overflow() {
    assert_eq!(bert().encode("cat sat", Overflow::Error, Some(4)).unwrap().ids, [2, 5, 6, 3]);
}

#[test]
fn overflow_is_refused_with_the_real_count() {
    let error = bert().encode("the cat sat down", Overflow::Error, Some(5)).unwrap_err();
    assert_eq!(error, TextError::TooLong { tokens: 6, max: 5 });
    assert_eq!(error.to_string(), "text has 6 tokens, the model takes at most 5");
}

#[test]
fn text_far_beyond_the_limit_is_not_tokenised() {
    let long = "é ".repeat(200);
    let error = bert().encode(&long, Overflow::Error, Some(3)).unwrap_err();
    assert_eq!(error, TextError::TooManyBytes { bytes: 600, most: 384 });
    assert_eq!(bert().encode(&long, Overflow::Truncate, Some(3)).unwrap().ids, [2, 1, 3]);
    // What lies beyond is not even looked at: this would be four tokens.
    let late = format!("{}cat sat", " ".repeat(384));
    assert_eq!(bert().encode(&late, Overflow::Truncate, Some(3)).unwrap().ids, [2, 3]);
    assert!(matches!(bert().encode(&"a".repeat(2 << 20), Overflow::Error, None), Err(TextError::TooManyBytes { .. })));
}

#[test]
fn truncation_cuts_the_end_and_keeps_special_tokens() {
    let cut = |max| bert().encode("the cat sat down", Overflow::Truncate, Some(max));
    assert_eq!(cut(5).unwrap().ids, [2, 4, 5, 6, 3]);
    assert_eq!(cut(3).unwrap().ids, [2, 4, 3]);
    assert_eq!(cut(2).unwrap().ids, [2, 3]);
    assert_eq!(cut(1).unwrap_err(), TextError::NoRoom { special: 2, max: 1 });
}

#[test]
fn special_words_in_the_text_count_as_content_when_cutting() {
    let cut = bert().encode("[EXTRA] cat sat", Overflow::Truncate, Some(4)).unwrap();
    assert_eq!(cut.ids, [2, 40, 5, 3]);
}

#[test]
fn segment_ids_are_kept_when_any_is_set() {
    let tokenizer = bert_with_types(1);
    assert_eq!(tokenizer.encode("cat sat", Overflow::Error, None).unwrap().type_ids, [0, 1, 1, 0]);
    assert_eq!(tokenizer.encode("cat sat", Overflow::Truncate, Some(3)).unwrap().type_ids, [0, 1, 0]);
}

#[test]
fn an_empty_text_is_its_special_tokens_or_an_error() {
    assert_eq!(bert().encode("", Overflow::Error, None).unwrap().ids, [2, 3]);
    let bare = Tokenizer::from_bytes(json("null", "[UNK]").as_bytes()).unwrap();
    assert_eq!(bare.encode(" ", Overflow::Error, None).unwrap_err(), TextError::Empty);
    assert_eq!(bare.encode("cat", Overflow::Truncate, Some(0)).unwrap_err(), TextError::Empty);
}

#[test]
fn a_text_the_tokenizer_fails_on_is_an_error() {
    let no_unk = Tokenizer::from_bytes(json("null", "absent").as_bytes()).unwrap();
    assert!(matches!(no_unk.encode("dog", Overflow::Error, None), Err(TextError::Failed(_))));
    assert!(no_unk.fails_on().unwrap().contains("an ordinary text"), "it is found at the start");
    assert_eq!(bert().fails_on(), None);
}

#[test]
fn a_file_that_the_library_panics_on_is_no_tokenizer() {
    let mut file: serde_json::Value = serde_json::from_str(&json("null", "[UNK]")).unwrap();
    file["normalizer"] = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": null});
    let fault = Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap_err();
    assert!(matches!(&fault, TextError::BadFile(why) if why.contains("tokenizers library")), "{fault}");
}

#[test]
fn vocab_size_covers_holes_and_added_tokens() {
    assert_eq!(bert().vocab_size(), 41);
}

#[test]
fn a_file_that_is_no_tokenizer_says_so() {
    for bad in [&b"{"[..], b"{}", b"\xff\xfe", b"[]", b""] {
        assert!(matches!(Tokenizer::from_bytes(bad), Err(TextError::BadFile(_))), "{bad:?}");
    }
}

#[test]
fn one_tokenizer_serves_many_threads() {
    let tokenizer = bert();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(tokenizer.encode("the cat", Overflow::Error, None).unwrap().ids.len(), 4));
        }
    });
    assert_eq!(format!("{tokenizer:?}"), "Tokenizer { vocab_size: 41, .. }");
}
