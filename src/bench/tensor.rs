//! A made-up tensor, for models that take no text.
//!
//! Decides what stands in it: floating-point numbers are drawn evenly from 0 to 1, everything else is zero, which every
//! model takes as an index too.

use super::plan::Random;
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// The most bytes of one tensor.
const MOST_BYTES: u64 = 1 << 30;

/// A tensor as `--tensor` names it: `NAME:DATATYPE:SHAPE`, for example `x:FP32:1x3x224x224`. The shape of a scalar is
/// empty, as in `x:FP32:`; without a shape, as in `x:FP32`, it is the one that the server knows to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    name: String,
    datatype: Datatype,
    /// `None` until the server was asked.
    shape: Option<Vec<u64>>,
    /// Product of `shape`.
    elements: usize,
}

/// Elements of a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Datatype {
    /// An integer or `BOOL`, of so many bytes.
    Zero(&'static str, usize),
    Fp16,
    Bf16,
    Fp32,
    Fp64,
}

impl Datatype {
    const ALL: [Self; 13] = [
        Self::Zero("BOOL", 1),
        Self::Zero("UINT8", 1),
        Self::Zero("UINT16", 2),
        Self::Zero("UINT32", 4),
        Self::Zero("UINT64", 8),
        Self::Zero("INT8", 1),
        Self::Zero("INT16", 2),
        Self::Zero("INT32", 4),
        Self::Zero("INT64", 8),
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Zero(name, _) => name,
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Zero(_, size) => size,
            Self::Fp16 | Self::Bf16 => 2,
            Self::Fp32 => 4,
            Self::Fp64 => 8,
        }
    }

    /// Appends the next element, little-endian.
    fn push(self, random: &mut Random, data: &mut Vec<u8>) {
        let value = random.unit();
        match self {
            Self::Zero(_, size) => data.resize(data.len() + size, 0),
            Self::Fp16 => data.extend(half::f16::from_f64(value).to_le_bytes()),
            Self::Bf16 => data.extend(half::bf16::from_f64(value).to_le_bytes()),
            Self::Fp32 => data.extend((value as f32).to_le_bytes()),
            Self::Fp64 => data.extend(value.to_le_bytes()),
        }
    }
}

impl Tensor {
    /// The input it is for.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has a shape.
    pub(super) fn is_shaped(&self) -> bool {
        self.shape.is_some()
    }

    /// The same with this shape.
    ///
    /// # Errors
    /// Where that is more than is sent.
    pub(super) fn of_shape(&self, shape: Vec<u64>) -> Result<Self, String> {
        let elements = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
        let bytes = elements.and_then(|elements| elements.checked_mul(self.datatype.size() as u64));
        let elements = elements.filter(|_| bytes.is_some_and(|bytes| bytes <= MOST_BYTES));
        let elements = elements.and_then(|elements| usize::try_from(elements).ok());
        let elements = elements.ok_or("at most 1 GiB of data is sent")?;
        Ok(Self { name: self.name.clone(), datatype: self.datatype, shape: Some(shape), elements })
    }

    /// The tensor's entry in the request, whose data follows as bytes.
    pub(super) fn describe(&self) -> Value {
        json!({
            "name": self.name,
            "shape": self.shape,
            "datatype": self.datatype.name(),
            "parameters": { "binary_data_size": self.elements * self.datatype.size() },
        })
    }

    /// Appends the tensor's data.
    pub(super) fn write(&self, random: &mut Random, data: &mut Vec<u8>) {
        (0..self.elements).for_each(|_| self.datatype.push(random, data));
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.datatype.name())?;
        match &self.shape {
            Some(shape) => write!(f, ":{}", shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")),
            None => Ok(()),
        }
    }
}

impl FromStr for Tensor {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wanted = || "NAME:DATATYPE:SHAPE is wanted, for example x:FP32:1x3x224x224".to_owned();
        let (rest, last) = word.rsplit_once(':').ok_or_else(wanted)?;
        if let Some(datatype) = Datatype::of(last).filter(|_| !rest.is_empty()) {
            return Ok(Self { name: rest.to_owned(), datatype, shape: None, elements: 0 });
        }
        let (name, datatype) = rest.rsplit_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(wanted)?;
        let datatype = Datatype::of(datatype).ok_or_else(|| {
            let all = Datatype::ALL.map(Datatype::name).join(", ");
            format!("{datatype:?} is no datatype of made-up tensors; allowed: {all}")
        })?;
        let sizes = last.split('x').filter(|_| !last.is_empty());
        let shape: Option<Vec<u64>> = sizes.map(|size| size.parse().ok().filter(|size| *size > 0)).collect();
        let shape = shape.ok_or("the shape is sizes of at least 1 with an x between them, for example 1x128")?;
        Self { name: name.to_owned(), datatype, shape: None, elements: 0 }.of_shape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_described_and_written() {
        let tensor: Tensor = "a:b:FP32:2x3".parse().unwrap();
        let described = json!({
            "name": "a:b", "shape": [2, 3], "datatype": "FP32", "parameters": { "binary_data_size": 24 },
        });
        assert_eq!(tensor.describe(), described);
        assert_eq!(tensor.to_string(), "a:b:FP32:2x3");
        let mut data = Vec::new();
        tensor.write(&mut Random::new(1), &mut data);
        let (values, rest) = data.as_chunks::<4>();
        assert!(rest.is_empty() && values.len() == 6);
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)) && values[0] != values[1], "{values:?}");
    }

    #[test]
    fn a_scalar_has_one_element_and_a_shape_may_be_the_servers() {
        let scalar: Tensor = "x:FP32:".parse().unwrap();
        assert_eq!((scalar.describe()["shape"].clone(), scalar.elements), (json!([]), 1));
        assert_eq!(scalar.to_string(), "x:FP32:");
        let open: Tensor = "x:y:FP32".parse().unwrap();
        assert_eq!((open.is_shaped(), open.name(), open.to_string()), (false, "x:y", "x:y:FP32".to_owned()));
        let shaped = open.of_shape(vec![1, 3]).unwrap();
        assert_eq!((shaped.elements, shaped.to_string()), (3, "x:y:FP32:1x3".to_owned()));
        assert!(open.of_shape(vec![1 << 40]).unwrap_err().contains("1 GiB"));
    }

    #[test]
    fn integers_are_zero() {
        let mut data = Vec::new();
        "ids:INT64:1x2".parse::<Tensor>().unwrap().write(&mut Random::new(1), &mut data);
        assert_eq!(data, [0; 16]);
    }

    #[test]
    fn bad_tensors_say_what_is_wanted() {
        for (word, want) in [
            ("x", "NAME:DATATYPE:SHAPE"),
            ("x:1x2", "NAME:DATATYPE:SHAPE"),
            (":FP32", "NAME:DATATYPE:SHAPE"),
            (":FP32:1", "NAME:DATATYPE:SHAPE"),
            ("x:BYTES:1", "allowed: BOOL, UINT8"),
            ("x:FP32:0", "at least 1"),
            ("x:FP32:1x-1", "at least 1"),
            ("x:FP64:1024x1024x1024", "at most 1 GiB"),
            ("x:FP64:18446744073709551615x2", "at most 1 GiB"),
        ] {
            let error = word.parse::<Tensor>().unwrap_err();
            assert!(error.contains(want), "{word}: {error}");
        }
    }
}
