//! JSON bodies: what they must be, and errors in words that a caller can do something with.
//!
//! Decides that a body is an object, also where the parser would take a list for one. Knows no protocol.

use crate::error::Error;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;

/// Parses a body, which is an object; `what` is what it should be, as in "an inference request".
///
/// # Errors
/// `invalid_request` with the field and the place.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8], what: &str) -> Result<T, Error> {
    if json.trim_ascii().is_empty() {
        return Err(Error::invalid(format!("the body is empty: it is to be {what} in JSON")));
    }
    let text = std::str::from_utf8(json).map_err(|e| Error::invalid(format!("the body is not UTF-8: {e}")))?;
    if let Some(kind) = other_than_object(text) {
        return Err(Error::invalid(format!("the body is {kind}, not an object: it is to be {what}")));
    }
    serde_json::from_str(text).map_err(|e| Error::invalid(format!("the body is not {what}: {}", words(&e))))
}

/// What a JSON text is, where that is no object.
fn other_than_object(text: &str) -> Option<&'static str> {
    Some(match text.trim_ascii_start().as_bytes().first()? {
        b'[' => "an array",
        b'"' => "a string",
        b'0'..=b'9' | b'-' => "a number",
        b't' | b'f' => "a truth value",
        b'n' => "null",
        _ => return None,
    })
}

/// The parser's words, where they are for callers.
pub(crate) fn words(error: &serde_json::Error) -> String {
    const HALF: &str = "a text holds half of a surrogate pair, which is not valid Unicode";
    // A first half that ends its text, or is followed by anything but the other; a second half alone.
    let said = error.to_string();
    let of_halves = ["unexpected end of hex escape", "lone leading surrogate in hex escape"];
    of_halves.into_iter().fold(said, |said, theirs| said.replace(theirs, HALF))
}

/// Reads a value of an object's fields; a list of them in order, which the parser would take, is refused.
///
/// # Errors
/// The value's own.
pub(crate) fn of_fields<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    match Value::deserialize(deserializer)? {
        object @ Value::Object(_) => serde_json::from_value(object).map_err(D::Error::custom),
        _ => Err(D::Error::custom("expected an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        text: String,
    }

    fn fault(json: &str) -> String {
        object::<Body>(json.as_bytes(), "a greeting").unwrap_err().message
    }

    #[test]
    fn a_body_is_an_object() {
        assert_eq!(object::<Body>(b" {\"text\": \"a\"} ", "a greeting").unwrap().text, "a");
        for (json, kind) in [("[\"a\"]", "an array"), ("\"a\"", "a string"), ("-1", "a number"), ("null", "null")] {
            assert!(fault(json).contains(&format!("the body is {kind}, not an object")), "{}", fault(json));
        }
        assert!(fault("  ").contains("empty") && fault("{").contains("not a greeting"));
    }

    #[test]
    fn half_of_a_surrogate_pair_is_told_as_such() {
        for json in [r#"{"text": "cut \ud83d"}"#, r#"{"text": "cut \ude00 b"}"#, r#"{"text": "\ud83d\u0041"}"#] {
            assert!(fault(json).contains("half of a surrogate pair"), "{}", fault(json));
        }
        assert_eq!(object::<Body>(br#"{"text": "\ud83d\ude00"}"#, "").unwrap().text, "\u{1f600}");
    }
}
