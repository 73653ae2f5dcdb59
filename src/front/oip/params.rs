//! `parameters`: free-form values, of which a few names mean something.

use crate::error::{Error, Reason};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The parameters of a request, an input or an output: those that mean something, each once.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(Name, Param)>);

/// A parameter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Name {
    BinaryData,
    BinaryDataOutput,
    BinaryDataSize,
    Classification,
    Priority,
    SharedMemoryRegion,
    Timeout,
    Truncate,
    #[serde(other)]
    Other,
}

/// One value, as far as any parameter of ours goes.
#[derive(Debug, PartialEq)]
enum Param {
    Bool(bool),
    Uint(u64),
    Null,
    Other,
}

impl Name {
    const fn label(self) -> &'static str {
        match self {
            Self::BinaryData => "binary_data",
            Self::BinaryDataOutput => "binary_data_output",
            Self::BinaryDataSize => "binary_data_size",
            Self::Classification => "classification",
            Self::Priority => "priority",
            Self::SharedMemoryRegion => "shared_memory_region",
            Self::Timeout => "timeout",
            Self::Truncate => "truncate",
            Self::Other => "other",
        }
    }
}

impl Params {
    /// Keeps a value that means something; of a name that is given twice, the last.
    fn put(&mut self, name: Name, value: Param) {
        match self.0.iter_mut().find(|(given, _)| *given == name) {
            Some(given) => given.1 = value,
            None if name == Name::Other => {}
            None => self.0.push((name, value)),
        }
    }

    fn get(&self, name: Name) -> Option<&Param> {
        self.0.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// A non-negative integer.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter when it is anything else.
    pub(super) fn uint(&self, name: Name) -> Result<Option<u64>, Error> {
        match self.get(name) {
            None | Some(Param::Null) => Ok(None),
            Some(Param::Uint(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid(format!("parameters.{} must be a whole number, at least 0", name.label()))),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter when it is anything else.
    pub(super) fn bool(&self, name: Name) -> Result<Option<bool>, Error> {
        match self.get(name) {
            None | Some(Param::Null) => Ok(None),
            Some(Param::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid(format!("parameters.{} must be true or false", name.label()))),
        }
    }

    /// Refuses what would change the answer's meaning and is not built.
    ///
    /// # Errors
    /// `unsupported` naming the parameter.
    pub(super) fn refuse_unsupported(&self) -> Result<(), Error> {
        match [Name::SharedMemoryRegion, Name::Classification].into_iter().find(|name| self.get(*name).is_some()) {
            Some(name) => Err(Error::new(Reason::Unsupported, format!("parameters.{} is not supported", name.label()))),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut params = Params::default();
        while let Some((name, value)) = map.next_entry()? {
            params.put(name, value);
        }
        Ok(params)
    }
}

impl<'de> Deserialize<'de> for Param {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamVisitor)
    }
}

struct ParamVisitor;

impl<'de> Visitor<'de> for ParamVisitor {
    type Value = Param;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a parameter")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Param, E> {
        Ok(Param::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Param, E> {
        Ok(Param::Uint(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Param, E> {
        Ok(Param::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Param, E> {
        Ok(Param::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Param, E> {
        Ok(Param::Other)
    }

    fn visit_unit<E>(self) -> Result<Param, E> {
        Ok(Param::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Param, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Param::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Param, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Param::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Params {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_last_of_equal_names_counts_and_each_is_kept_once() {
        let params = read(r#"{"timeout": 1, "mine": {"a": [1]}, "timeout": 7, "truncate": true, "yours": 1.5}"#);
        assert_eq!((params.uint(Name::Timeout).unwrap(), params.bool(Name::Truncate).unwrap()), (Some(7), Some(true)));
        assert_eq!(params.0.len(), 2);
        assert_eq!(read("{}").uint(Name::Priority).unwrap(), None);
    }

    #[test]
    fn wrong_types_and_what_is_not_built_are_refused_by_name() {
        for (json, name) in [(r#"{"timeout": -1}"#, "timeout"), (r#"{"timeout": "1"}"#, "timeout")] {
            assert!(read(json).uint(Name::Timeout).unwrap_err().message.contains(name));
        }
        assert!(read(r#"{"truncate": 1}"#).bool(Name::Truncate).unwrap_err().message.contains("truncate"));
        assert_eq!(read(r#"{"timeout": null}"#).uint(Name::Timeout).unwrap(), None);
        let refused = read(r#"{"classification": 3}"#).refuse_unsupported().unwrap_err();
        assert!(refused.reason == Reason::Unsupported && refused.message.contains("classification"));
        let listed = serde_json::from_str::<Params>("[]").unwrap_err().to_string();
        assert!(listed.contains("expected a map"), "{listed}");
    }
}
