//! JSON fields whose errors say which field it was.

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Reads an optional field; `null` stands for "not given".
///
/// # Errors
/// The value's own, behind the field's name.
pub(super) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    field: &'static str,
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer).map_err(|e| D::Error::custom(format_args!("{field}: {e}")))
}

/// Declares functions for `deserialize_with`, one for each field.
macro_rules! named_fields {
    ($($field:ident: $type:ty),+ $(,)?) => {$(
        fn $field<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<$type>, D::Error> {
            $crate::front::fields::named(stringify!($field), deserializer)
        }
    )+};
}
pub(super) use named_fields;
