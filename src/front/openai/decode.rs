//! An embedding request's JSON.

use crate::error::Error;
use crate::front::fields::named_fields;
use crate::front::json::object;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use std::fmt;

/// An embedding request.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    #[serde(default, deserialize_with = "model")]
    pub(super) model: Option<String>,
    #[serde(default, deserialize_with = "input")]
    pub(super) input: Option<Input>,
    #[serde(default, deserialize_with = "encoding_format")]
    pub(super) encoding_format: Option<String>,
    #[serde(default, deserialize_with = "dimensions")]
    pub(super) dimensions: Option<i64>,
}

named_fields!(model: String, input: Input, encoding_format: String, dimensions: i64);

/// The four forms of `input`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// One row of token ids.
    Tokens(Vec<u32>),
    /// Several rows of token ids.
    TokenRows(Vec<Vec<u32>>),
}

impl Input {
    /// Rows of the request; none only for an empty array.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(_) => 1,
            Self::Tokens(ids) => usize::from(!ids.is_empty()),
            Self::Texts(texts) => texts.len(),
            Self::TokenRows(rows) => rows.len(),
        }
    }
}

/// Parses a request.
///
/// # Errors
/// `invalid_request` with the field and the place.
pub(super) fn parse(json: &[u8]) -> Result<Body, Error> {
    object(json, "an embedding request")
}

const EXPECTED: &str = "input as a string, strings, token ids, or arrays of token ids";

/// One element of an `input` array.
enum Element {
    Text(String),
    Token(u32),
    Row(Vec<u32>),
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E>(self, text: &str) -> Result<Input, E> {
        Ok(Input::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Input, E> {
        Ok(Input::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Input, A::Error> {
        let mut input = match seq.next_element::<Element>().map_err(|e| at(0, &e))? {
            None => return Ok(Input::Tokens(Vec::new())),
            Some(Element::Text(text)) => Input::Texts(vec![text]),
            Some(Element::Token(id)) => Input::Tokens(vec![id]),
            Some(Element::Row(row)) => Input::TokenRows(vec![row]),
        };
        let mut index = 1;
        while let Some(element) = seq.next_element::<Element>().map_err(|e| at(index, &e))? {
            match (&mut input, element) {
                (Input::Texts(texts), Element::Text(text)) => texts.push(text),
                (Input::Tokens(ids), Element::Token(id)) => ids.push(id),
                (Input::TokenRows(rows), Element::Row(row)) => rows.push(row),
                _ => {
                    return Err(A::Error::custom(format_args!("input[{index}] is of another kind than input[0]")));
                }
            }
            index += 1;
        }
        Ok(input)
    }
}

fn at<E: serde::de::Error>(index: usize, error: &E) -> E {
    E::custom(format_args!("input[{index}]: {error}"))
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a token id, or an array of token ids")
    }

    fn visit_str<E>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Element, E> {
        Ok(Element::Text(text))
    }

    fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Element, E> {
        u32::try_from(id).map(Element::Token).map_err(|_| E::custom(format_args!("{id} is no token id")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        let mut row = Vec::new();
        while let Some(id) = seq.next_element()? {
            row.push(id);
        }
        Ok(Element::Row(row))
    }
}
