//! A JSON file of a model folder, asked for one field at a time.
//!
//! Decides how a wrong type is reported: by file, field and what is allowed. Fields nobody asks for
//! are not looked at, because these files carry many that only a training library knows.

use super::FolderError;
use super::folder::read;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The object at the top of a JSON file; absent files are empty objects.
#[derive(Debug, Default)]
pub(super) struct Json {
    file: PathBuf,
    fields: Map<String, Value>,
}

impl Json {
    /// Reads a file whose top is an object.
    pub(super) fn object(root: &Path, name: &str) -> Result<Self, FolderError> {
        match parse(root, name)? {
            None => Ok(Self { file: root.join(name), fields: Map::new() }),
            Some((file, Value::Object(fields))) => Ok(Self { file, fields }),
            Some((file, _)) => Err(top(file, "object")),
        }
    }

    /// Reads a file whose top is a list of objects; `None` when there is no such file.
    pub(super) fn list(root: &Path, name: &str) -> Result<Option<Vec<Self>>, FolderError> {
        let (file, items) = match parse(root, name)? {
            None => return Ok(None),
            Some((file, Value::Array(items))) => (file, items),
            Some((file, _)) => return Err(top(file, "list of objects")),
        };
        let object = |item| match item {
            Value::Object(fields) => Ok(Self { file: file.clone(), fields }),
            _ => Err(top(file.clone(), "list of objects")),
        };
        items.into_iter().map(object).collect::<Result<_, _>>().map(Some)
    }

    /// A whole number from 0 to 2³² - 1; a negative one stands for "none" in these files.
    pub(super) fn uint(&self, field: &str) -> Result<Option<u32>, FolderError> {
        let number = |v: &Value| match v.as_i64() {
            Some(..0) => Some(None),
            _ => v.as_u64().and_then(|n| u32::try_from(n).ok()).map(Some),
        };
        self.get(field, "a whole number up to 4294967295", number).map(Option::flatten)
    }

    /// Any number.
    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, FolderError> {
        self.get(field, "a number", Value::as_f64)
    }

    /// A truth value.
    pub(super) fn bool(&self, field: &str) -> Result<Option<bool>, FolderError> {
        self.get(field, "true or false", Value::as_bool)
    }

    /// A string.
    pub(super) fn string(&self, field: &str) -> Result<Option<String>, FolderError> {
        self.get(field, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A list of strings; a lone string counts as a list of one.
    pub(super) fn strings(&self, field: &str) -> Result<Option<Vec<String>>, FolderError> {
        self.get(field, "a string or a list of strings", |v| match v {
            Value::String(one) => Some(vec![one.clone()]),
            Value::Array(items) => items.iter().map(|i| i.as_str().map(str::to_owned)).collect(),
            _ => None,
        })
    }

    /// An object of strings, by whole-number key in numeric order.
    pub(super) fn numbered_strings(&self, field: &str) -> Result<Option<Vec<(usize, String)>>, FolderError> {
        let entry = |(key, value): (&String, &Value)| Some((key.parse().ok()?, value.as_str()?.to_owned()));
        let entries = |v: &Value| v.as_object()?.iter().map(entry).collect::<Option<Vec<(usize, String)>>>();
        let mut found = self.get(field, "an object from whole numbers to strings", entries)?;
        if let Some(entries) = &mut found {
            entries.sort_unstable();
        }
        Ok(found)
    }

    /// A fault in a field of this file.
    pub(super) fn fault(&self, field: &str, message: impl Into<String>) -> FolderError {
        FolderError::Field { file: self.file.clone(), field: field.into(), message: message.into() }
    }

    fn get<T>(&self, field: &str, allowed: &str, as_t: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, FolderError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match as_t(value) {
                Some(t) => Ok(Some(t)),
                None => Err(self.fault(field, format!("must be {allowed}, is {}", short(value)))),
            },
        }
    }
}

fn parse(root: &Path, name: &str) -> Result<Option<(PathBuf, Value)>, FolderError> {
    let Some((file, text)) = read(root, name)? else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Some((file, value))),
        Err(e) => Err(FolderError::Syntax { file, message: format!("not JSON: {e}") }),
    }
}

fn top(file: PathBuf, allowed: &str) -> FolderError {
    FolderError::Syntax { file, message: format!("must be a JSON {allowed}") }
}

/// A value as its file has it, cut to a length that fits a message.
fn short(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
