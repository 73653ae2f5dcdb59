//! Maps from classes to scores, as scikit-learn's exporters end a classifier with, made a tensor.

use super::classify;
use crate::exec::Failure;
use crate::model::Datatype;
use crate::request::Tensor;
use ort::value::{DynMapValueType, DynValue, TensorElementType, ValueType};
use std::collections::HashMap;

/// One row a map, one column a class, in the order of `labels`: `[maps, labels]` of FP32.
///
/// # Errors
/// [`Failure::Failed`] where a map has not a score for each of the classes and for nothing else.
pub(super) fn tensor(value: &DynValue, name: &str, labels: &[String]) -> Result<Tensor, Failure> {
    let maps = value.try_extract_sequence::<DynMapValueType>().map_err(|e| classify(&e))?;
    let mut data = Vec::with_capacity(maps.len() * labels.len() * 4);
    for map in &maps {
        let scores: HashMap<String, f32> = match map.dtype() {
            ValueType::Map { key: TensorElementType::String, .. } => map.try_extract_map().map_err(|e| classify(&e))?,
            _ => {
                let numbered = map.try_extract_key_values::<i64, f32>().map_err(|e| classify(&e))?;
                numbered.into_iter().map(|(class, score)| (class.to_string(), score)).collect()
            }
        };
        for label in labels {
            let score = scores.get(label).filter(|_| scores.len() == labels.len());
            let score = score.ok_or_else(|| {
                let found = scores.len();
                Failure::Failed(format!(
                    "output `{name}` has {found} classes in a row, not the model's {}",
                    labels.len()
                ))
            })?;
            data.extend(score.to_le_bytes());
        }
    }
    Ok(Tensor { datatype: Datatype::Fp32, shape: vec![maps.len(), labels.len()], data: data.into() })
}
