//! `parameters`: free-form values, of which a few names mean something.

use crate::error::{Error, Reason};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

/// The parameters of a request, an input or an output.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Params(HashMap<String, Param>);

/// One value, as far as any parameter of ours goes.
#[derive(Debug, PartialEq)]
enum Param {
    Bool(bool),
    Uint(u64),
    Null,
    Other,
}

impl Params {
    /// A non-negative integer.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter when it is anything else.
    pub(super) fn uint(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.0.get(name) {
            None | Some(Param::Null) => Ok(None),
            Some(Param::Uint(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid(format!(
                "parameters.{name} must be a whole number, at least 0"
            ))),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter when it is anything else.
    pub(super) fn bool(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.0.get(name) {
            None | Some(Param::Null) => Ok(None),
            Some(Param::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Error::invalid(format!("parameters.{name} must be true or false"))),
        }
    }

    /// Refuses what would change the answer's meaning and is not built.
    ///
    /// # Errors
    /// `unsupported` naming the parameter.
    pub(super) fn refuse_unsupported(&self) -> Result<(), Error> {
        match ["shared_memory_region", "classification"]
            .into_iter()
            .find(|name| self.0.contains_key(*name))
        {
            Some(name) => Err(Error::new(
                Reason::Unsupported,
                format!("parameters.{name} is not supported"),
            )),
            None => Ok(()),
        }
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
