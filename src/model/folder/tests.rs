//! Good folders, and every way a folder is bad.

use super::*;
use std::os::unix::ffi::OsStrExt;

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// The error of a folder with a graph and this one file, without the folder's own path.
fn error(name: &str, content: &[u8]) -> String {
    let dir = folder(&[("model.onnx", b""), (name, content)]);
    let error = Folder::open(dir.path()).unwrap_err().to_string();
    error.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn the_graph_is_at_the_top_or_in_onnx() {
    let dir = folder(&[("onnx/model.onnx", b"")]);
    assert_eq!(Folder::open(dir.path()).unwrap().onnx(), dir.path().join("onnx/model.onnx"));
    let dir = folder(&[("onnx/model.onnx", b""), ("model.onnx", b"")]);
    let opened = Folder::open(dir.path()).unwrap();
    assert_eq!(opened.onnx(), dir.path().join("model.onnx"));
    assert!(!opened.has_tokenizer && opened.tokenizer().unwrap().is_none());
}

#[test]
fn a_path_that_is_no_model_folder_says_what_it_lacks() {
    let dir = folder(&[("config.json", b"{}")]);
    let open = |path: &Path| Folder::open(path).unwrap_err();
    assert_eq!(open(dir.path()), FolderError::NoModel(dir.path().into()));
    assert_eq!(open(&dir.path().join("absent")), FolderError::Missing(dir.path().join("absent")));
    assert_eq!(open(&dir.path().join("config.json")), FolderError::NotAFolder(dir.path().join("config.json")));
    fs::create_dir(dir.path().join("model.onnx")).unwrap();
    assert!(open(dir.path()).to_string().ends_with("model.onnx: not a regular file"));
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    assert_eq!(open(&odd), FolderError::Missing(odd.clone()));
}

#[test]
fn a_folder_where_a_file_should_be_is_an_error() {
    for name in ["config.json", "tokenizer.json", "model.toml", "modules.json"] {
        let message = error(&format!("{name}/x"), b"");
        assert_eq!(message, format!("cannot read {name}: not a regular file"));
    }
    assert!(error("1_Pooling", b"").starts_with("cannot read 1_Pooling/config.json: "));
}

#[test]
fn text_files_must_be_utf8() {
    assert_eq!(error("config.json", b"{\"a\": \"\xff\"}"), "cannot read config.json: not UTF-8 at byte 7");
    assert_eq!(error("model.toml", b"\xfe"), "cannot read model.toml: not UTF-8 at byte 0");
}

#[test]
fn bad_json_names_the_file_and_the_place() {
    assert!(error("config.json", b"{\n\"a\": }").starts_with("config.json: not JSON: expected value at line 2"));
    assert_eq!(error("config.json", b"[]"), "config.json: must be a JSON object");
    assert_eq!(error("modules.json", b"{}"), "modules.json: must be a JSON list of objects");
    assert_eq!(error("modules.json", b"[1]"), "modules.json: must be a JSON list of objects");
    assert!(error("tokenizer_config.json", b"").starts_with("tokenizer_config.json: not JSON: EOF"));
}

#[test]
fn a_bad_model_toml_shows_the_line_and_what_is_allowed() {
    let unknown = error("model.toml", b"[batching]\nlength = \"T\"\n");
    for part in ["model.toml: ", "line 2, column 1", "length = \"T\"", "`batch_dim`, `length_dim`, `exact`"] {
        assert!(unknown.contains(part), "{part} in {unknown}");
    }
    for (text, part) in [
        ("[text]\npooling = \"max\"", "expected one of `mean`, `cls`, `last`, `none`"),
        ("[text]\nmax_length = 0", "expected a nonzero u32"),
        ("[inputs.x]\npad = \"zero\"", "expected f64"),
        ("[typo]", "expected one of `batching`, `inputs`, `text`"),
        ("[text", "line 1"),
    ] {
        let message = error("model.toml", text.as_bytes());
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_full_model_toml_is_read() {
    let text = b"[batching]\nbatch_dim = 'N'\nlength_dim = 'T'\nexact = true\n[inputs.x]\npad = -1\n\
        [text]\npooling = 'last'\nnormalize = true\nmax_length = 256\n";
    let dir = folder(&[("model.onnx", b""), ("model.toml", text)]);
    let settings = Folder::open(dir.path()).unwrap().settings;
    assert_eq!(settings.batching.batch_dim.as_deref(), Some("N"));
    assert_eq!(settings.batching.length_dim.as_deref(), Some("T"));
    assert!(settings.batching.exact);
    assert_eq!(settings.inputs["x"].pad, Some(-1.0));
    assert_eq!(settings.text.pooling, Some(crate::text::Pooling::Last));
    assert_eq!(settings.text.normalize, Some(true));
    assert_eq!(settings.text.max_length.map(u32::from), Some(256));
}

#[test]
fn a_bad_tokenizer_names_its_file() {
    let dir = folder(&[("model.onnx", b""), ("tokenizer.json", b"{}")]);
    let error = Folder::open(dir.path()).unwrap().tokenizer().unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: not a tokenizer: "), "{error}");
}
