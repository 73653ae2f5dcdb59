//! The JSON part of an inference request, tensor data left as text.
//!
//! Tensor data may come before the datatype that says how to read it, so it is only skimmed here (no
//! recursion, no tree) and read once by [`elements`](super::elements). Visitors are written by hand so
//! that every error names its input.

use super::params::Params;
use crate::error::Error;
use crate::front::fields::named_fields;
use crate::front::json::{object, of_fields};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// An inference request's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct InferBody<'a> {
    #[serde(default, deserialize_with = "id")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "parameters")]
    pub(super) parameters: Option<Params>,
    #[serde(borrow, deserialize_with = "inputs")]
    pub(super) inputs: Vec<InputHead<'a>>,
    #[serde(default, deserialize_with = "outputs")]
    pub(super) outputs: Option<Vec<OutputHead>>,
}

named_fields!(id: String, parameters: Params, outputs: Vec<OutputHead>);

/// One input, its data not yet read.
#[derive(Debug)]
pub(super) struct InputHead<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    pub(super) datatype: String,
    pub(super) parameters: Params,
    pub(super) data: Option<&'a RawValue>,
}

/// One requested output.
#[derive(Debug)]
pub(super) struct OutputHead {
    pub(super) name: String,
    pub(super) parameters: Option<Params>,
}

impl<'de> Deserialize<'de> for OutputHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            name: String,
            #[serde(default, deserialize_with = "parameters")]
            parameters: Option<Params>,
        }
        let Fields { name, parameters } = of_fields(deserializer)?;
        Ok(Self { name, parameters })
    }
}

/// Parses the JSON part.
///
/// # Errors
/// `invalid_request` with the field and the place.
pub(super) fn parse(json: &[u8]) -> Result<InferBody<'_>, Error> {
    if json.is_empty() {
        return Err(Error::invalid("the body holds no JSON"));
    }
    let text = std::str::from_utf8(json).map_err(|e| Error::invalid(format!("the JSON is not UTF-8: {e}")))?;
    object(json, "an inference request").map_err(|error| match serde_json::from_str::<InferBody<'_>>(text) {
        Err(e) if is_non_finite(text, &e) => {
            Error::invalid(format!("{} (NaN and infinity are not JSON numbers)", error.message))
        }
        _ => error,
    })
}

/// Whether the parser stopped at one of the words that Python writes for non-finite numbers.
fn is_non_finite(text: &str, error: &serde_json::Error) -> bool {
    let start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = start + error.column();
    text.as_bytes()
        .get(at.saturating_sub(2)..)
        .is_some_and(|rest| rest.iter().take(3).any(|b| matches!(b, b'N' | b'I')))
}

fn inputs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<InputHead<'de>>, D::Error> {
    struct Inputs;
    impl<'de> Visitor<'de> for Inputs {
        type Value = Vec<InputHead<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of inputs")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut inputs = Vec::new();
            loop {
                let index = inputs.len();
                let next = seq.next_element().map_err(|e| A::Error::custom(format_args!("inputs[{index}]: {e}")))?;
                match next {
                    Some(input) => inputs.push(input),
                    None => return Ok(inputs),
                }
            }
        }
    }
    deserializer.deserialize_seq(Inputs)
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Name,
    Shape,
    Datatype,
    Parameters,
    Data,
    #[serde(other)]
    Other,
}

/// An input while its fields arrive, in any order.
#[derive(Default)]
struct Partial<'a> {
    name: Option<String>,
    shape: Option<Vec<i64>>,
    datatype: Option<String>,
    parameters: Option<Option<Params>>,
    data: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for InputHead<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = InputHead<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut partial = Partial::default();
        while let Some(field) = map.next_key::<Field>()? {
            let read = partial.read(field, &mut map);
            read.map_err(|e| match &partial.name {
                Some(name) => A::Error::custom(format_args!("input `{name}`: {e}")),
                None => e,
            })?;
        }
        partial.finish()
    }
}

impl<'de> Partial<'de> {
    fn read<A: MapAccess<'de>>(&mut self, field: Field, map: &mut A) -> Result<(), A::Error> {
        match field {
            Field::Name => set(&mut self.name, "name", map),
            Field::Shape => set(&mut self.shape, "shape", map),
            Field::Datatype => set(&mut self.datatype, "datatype", map),
            Field::Parameters => set(&mut self.parameters, "parameters", map),
            Field::Data => set(&mut self.data, "data", map),
            Field::Other => map.next_value::<IgnoredAny>().map(drop),
        }
    }

    fn finish<E: serde::de::Error>(self) -> Result<InputHead<'de>, E> {
        let name = self.name.ok_or_else(|| E::missing_field("name"))?;
        let missing = |field: &str| E::custom(format_args!("input `{name}`: {field} is missing"));
        Ok(InputHead {
            shape: self.shape.ok_or_else(|| missing("shape"))?,
            datatype: self.datatype.ok_or_else(|| missing("datatype"))?,
            parameters: self.parameters.flatten().unwrap_or_default(),
            data: self.data,
            name,
        })
    }
}

fn set<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    slot: &mut Option<T>,
    field: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(field));
    }
    *slot = Some(map.next_value().map_err(|e| A::Error::custom(format_args!("{field}: {e}")))?);
    Ok(())
}
