//! What is loaded, what is said of what is not, and what is logged.

use super::*;

#[test]
fn a_library_that_is_no_file_is_an_error_and_says_who_named_it() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("libonnxruntime.so")] {
        let named = NamedFile { path: path.clone(), by: "inferneo.toml:7:11: [onnxruntime] library".into() };
        let error = Candidate::choose(Some(&named)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} names {}", named.by, path.display())), "{error}");
    }
    assert_eq!(Candidate::choose(None).unwrap().path, Path::new(DEFAULT_LIBRARY));
}

#[test]
fn the_runtimes_errors_are_no_errors_of_the_service() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let show = |level| {
        let writer = Shared(Arc::clone(&written));
        let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(lines, || log(LogLevel::Error, "onnx", "", "x.cc:1", "idx=7 is out"));
    };
    show(tracing::Level::INFO);
    assert!(lines.lock().unwrap().is_empty());
    show(tracing::Level::DEBUG);
    let shown = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert!(shown.contains("DEBUG") && shown.contains("idx=7"), "{shown}");
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_version_is_read_from_the_symbol_versions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lib.so");
    std::fs::write(&path, b"\x7fELF..\0libm.so\0VERS_1.22.3\0OrtGetApiBase\0").unwrap();
    assert_eq!(file_version(&path).as_deref(), Some("1.22.3"));
    std::fs::write(&path, b"nothing").unwrap();
    assert_eq!(file_version(&path), None);
}
