//! Tensors to the runtime and back.
//!
//! Decides where a copy is needed: for strings, and for what is bound. Knows no session.

use super::classify;
use crate::exec::Failure;
use crate::exec::backend::Input;
use crate::model::Datatype;
use crate::request::{self, Tensor};
use bytes::Bytes;
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynTensor, DynValue, TensorElementType, TensorRef, ValueType};

/// An input as the runtime takes it: a view of the assembled buffer, a copy only for strings.
pub(super) fn value(input: &Input) -> Result<SessionInputValue<'_>, Failure> {
    macro_rules! view {
        ($t:ty) => {
            TensorRef::<$t>::from_array_view((input.shape(), bytemuck::cast_slice::<u8, $t>(input.data())))
                .map(SessionInputValue::from)
        };
    }
    let value = match input.datatype() {
        Datatype::Bool => {
            TensorRef::<bool>::from_array_view((input.shape(), booleans(input)?)).map(SessionInputValue::from)
        }
        Datatype::Uint8 => view!(u8),
        Datatype::Uint16 => view!(u16),
        Datatype::Uint32 => view!(u32),
        Datatype::Uint64 => view!(u64),
        Datatype::Int8 => view!(i8),
        Datatype::Int16 => view!(i16),
        Datatype::Int32 => view!(i32),
        Datatype::Int64 => view!(i64),
        Datatype::Fp16 => view!(f16),
        Datatype::Bf16 => view!(bf16),
        Datatype::Fp32 => view!(f32),
        Datatype::Fp64 => view!(f64),
        Datatype::Bytes => strings(input)?,
    };
    value.map_err(|e| classify(&e))
}

/// Copies an input of any datatype but `BYTES` into a buffer of its shape.
pub(super) fn copy(input: &Input, buffer: &mut DynTensor) -> Result<(), Failure> {
    macro_rules! fill {
        ($t:ty, $data:expr) => {{
            let data = $data;
            buffer.try_extract_tensor_mut::<$t>().map(|(_, target)| target.copy_from_slice(data))
        }};
        ($t:ty) => {
            fill!($t, bytemuck::cast_slice(input.data()))
        };
    }
    let filled = match input.datatype() {
        Datatype::Bool => fill!(bool, booleans(input)?),
        Datatype::Uint8 => fill!(u8),
        Datatype::Uint16 => fill!(u16),
        Datatype::Uint32 => fill!(u32),
        Datatype::Uint64 => fill!(u64),
        Datatype::Int8 => fill!(i8),
        Datatype::Int16 => fill!(i16),
        Datatype::Int32 => fill!(i32),
        Datatype::Int64 => fill!(i64),
        Datatype::Fp16 => fill!(f16),
        Datatype::Bf16 => fill!(bf16),
        Datatype::Fp32 => fill!(f32),
        Datatype::Fp64 => fill!(f64),
        Datatype::Bytes => return Err(Failure::Failed("strings cannot be bound".into())),
    };
    filled.map_err(|e| classify(&e))
}

fn booleans(input: &Input) -> Result<&[bool], Failure> {
    let booleans = bytemuck::checked::try_cast_slice::<u8, bool>(input.data());
    booleans.map_err(|_| Failure::Failed("a BOOL element is neither 0 nor 1".into()))
}

fn strings(input: &Input) -> Result<ort::Result<SessionInputValue<'_>>, Failure> {
    let texts =
        input.strings().iter().map(|s| std::str::from_utf8(s).map(str::to_owned)).collect::<Result<Vec<_>, _>>();
    let texts =
        texts.map_err(|_| Failure::Failed("a BYTES element is not UTF-8, which the runtime requires".into()))?;
    Ok(ort::value::Tensor::from_string_array((input.shape(), &texts[..])).map(SessionInputValue::from))
}

/// An output as a tensor that keeps the runtime's own buffer.
pub(super) fn tensor(value: DynValue, name: &str, expected: Datatype) -> Result<Tensor, Failure> {
    let unexpected = || Failure::Failed(format!("output `{name}` came back as {}", value.dtype()));
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(unexpected());
    };
    let datatype = datatype(*ty).filter(|d| *d == expected).ok_or_else(unexpected)?;
    let shape = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>().map_err(|_| unexpected())?;
    let data = match datatype {
        Datatype::Bytes => request::join_elements(&value.try_extract_strings().map_err(|e| classify(&e))?.1)?,
        _ => Bytes::from_owner(Output { value, datatype }),
    };
    Ok(Tensor { datatype, shape, data })
}

/// An output that no input's buffer lies under. A graph may name an input as an output; the runtime then hands back the
/// input's own memory, which the answer outlives.
pub(super) fn own(tensor: Tensor, inputs: &[Input]) -> Tensor {
    let start = tensor.data.as_ptr();
    match inputs.iter().any(|input| !tensor.data.is_empty() && input.data().as_ptr_range().contains(&start)) {
        true => Tensor { data: Bytes::copy_from_slice(&tensor.data), ..tensor },
        false => tensor,
    }
}

/// The runtime's own buffer of one output.
struct Output {
    value: DynValue,
    datatype: Datatype,
}

impl AsRef<[u8]> for Output {
    fn as_ref(&self) -> &[u8] {
        macro_rules! bytes {
            ($t:ty) => {
                self.value.try_extract_tensor::<$t>().map(|(_, data)| bytemuck::cast_slice(data))
            };
        }
        let bytes = match self.datatype {
            Datatype::Bool => bytes!(bool),
            Datatype::Uint8 => bytes!(u8),
            Datatype::Uint16 => bytes!(u16),
            Datatype::Uint32 => bytes!(u32),
            Datatype::Uint64 => bytes!(u64),
            Datatype::Int8 => bytes!(i8),
            Datatype::Int16 => bytes!(i16),
            Datatype::Int32 => bytes!(i32),
            Datatype::Int64 => bytes!(i64),
            Datatype::Fp16 => bytes!(f16),
            Datatype::Bf16 => bytes!(bf16),
            Datatype::Fp32 => bytes!(f32),
            Datatype::Fp64 => bytes!(f64),
            Datatype::Bytes => Ok(&[][..]),
        };
        // Too few bytes for the shape are found where the outputs are split.
        bytes.unwrap_or_default()
    }
}

/// The protocol's word for an element type; `None` where it has none.
pub(super) fn datatype(ty: TensorElementType) -> Option<Datatype> {
    Some(match ty {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_an_input_is_copied() {
        let sent = Bytes::from(vec![1_u8; 64]);
        let mut input = Input::new(Datatype::Uint8);
        input.show(sent.slice(8..40));
        let output = |data: Bytes| Tensor { datatype: Datatype::Uint8, shape: vec![data.len()], data };
        for (inside, copied) in [(8..40, true), (16..20, true), (40..64, false), (0..0, false)] {
            let before = output(sent.slice(inside));
            let after = own(before.clone(), std::slice::from_ref(&input));
            assert_eq!(after, before);
            assert_eq!(after.data.as_ptr() != before.data.as_ptr(), copied);
        }
    }
}
