//! An answer's bytes: JSON, and tensor data behind it where that was asked for.

use super::VERSION;
use super::answer::{Plan, Wanted};
use crate::error::{Error, Reason};
use crate::model::Datatype;
use crate::request::{self, Tensor};
use bytes::Bytes;
use serde::Serialize;

/// An encoded answer.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The body: the JSON first, large tensor data behind it as it came.
    pub(super) parts: Vec<Bytes>,
    /// Bytes of JSON, where tensor data follows.
    pub(super) json_length: Option<usize>,
}

/// Tensor data up to this size is written behind what stands before it; more is a part of its own, not copied.
const COPIED: usize = 8 << 10;

/// How many bytes of `tensors` the encoder looks at or copies.
pub(super) fn bytes_to_write(plan: &Plan, tensors: &[Tensor]) -> usize {
    let is_written = |(wanted, tensor): &(&Wanted, &Tensor)| !wanted.binary || tensor.data.len() <= COPIED;
    plan.outputs.iter().zip(tensors).filter(is_written).map(|(_, tensor)| tensor.data.len()).sum()
}

/// Encodes `tensors`, in the plan's order.
///
/// # Errors
/// `execution_failed` for values that JSON cannot carry.
pub(super) fn encode(model: &str, plan: &Plan, tensors: &[Tensor]) -> Result<Encoded, Error> {
    let mut out = Vec::with_capacity(bytes_to_write(plan, tensors).saturating_mul(3) + 256);
    out.extend_from_slice(br#"{"model_name":"#);
    json(&mut out, model)?;
    out.extend_from_slice(br#","model_version":"#);
    json(&mut out, VERSION)?;
    if let Some(id) = &plan.id {
        out.extend_from_slice(br#","id":"#);
        json(&mut out, id)?;
    }
    out.extend_from_slice(br#","outputs":["#);
    for (index, (wanted, tensor)) in plan.outputs.iter().zip(tensors).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        output(&mut out, &wanted.name, wanted.binary, tensor)?;
    }
    out.extend_from_slice(b"]}");
    let json_length = out.len();
    let mut parts = Vec::new();
    let mut has_binary = false;
    for (_, tensor) in plan.outputs.iter().zip(tensors).filter(|(wanted, _)| wanted.binary) {
        has_binary = true;
        if tensor.data.len() <= COPIED {
            out.extend_from_slice(&tensor.data);
        } else {
            parts.extend([std::mem::take(&mut out).into(), tensor.data.clone()]);
        }
    }
    parts.push(out.into());
    Ok(Encoded { parts, json_length: has_binary.then_some(json_length) })
}

fn output(out: &mut Vec<u8>, name: &str, is_binary: bool, tensor: &Tensor) -> Result<(), Error> {
    out.extend_from_slice(br#"{"name":"#);
    json(out, name)?;
    out.extend_from_slice(br#","datatype":"#);
    json(out, tensor.datatype.name())?;
    out.extend_from_slice(br#","shape":"#);
    json(out, &tensor.shape)?;
    if is_binary {
        out.extend_from_slice(br#","parameters":{"binary_data_size":"#);
        json(out, &tensor.data.len())?;
        out.extend_from_slice(b"}}");
        return Ok(());
    }
    out.extend_from_slice(br#","data":["#);
    data(out, tensor).map_err(|what| Error::new(Reason::ExecutionFailed, format!("output `{name}` {what}")))?;
    out.extend_from_slice(b"]}");
    Ok(())
}

type Written = Result<(), &'static str>;
const NON_FINITE: &str = "holds NaN or infinity, which JSON cannot carry: ask for binary_data";
const NOT_TEXT: &str = "holds bytes that are not UTF-8, which JSON cannot carry: ask for binary_data";
const NOT_WRITTEN: &str = "cannot be written as JSON";

fn data(out: &mut Vec<u8>, tensor: &Tensor) -> Written {
    let data = &tensor.data[..];
    match tensor.datatype {
        Datatype::Bool => each(out, data, |out, [b]: [u8; 1]| number(out, &(b != 0))),
        Datatype::Uint8 => each(out, data, |out, b| number(out, &u8::from_le_bytes(b))),
        Datatype::Uint16 => each(out, data, |out, b| number(out, &u16::from_le_bytes(b))),
        Datatype::Uint32 => each(out, data, |out, b| number(out, &u32::from_le_bytes(b))),
        Datatype::Uint64 => each(out, data, |out, b| number(out, &u64::from_le_bytes(b))),
        Datatype::Int8 => each(out, data, |out, b| number(out, &i8::from_le_bytes(b))),
        Datatype::Int16 => each(out, data, |out, b| number(out, &i16::from_le_bytes(b))),
        Datatype::Int32 => each(out, data, |out, b| number(out, &i32::from_le_bytes(b))),
        Datatype::Int64 => each(out, data, |out, b| number(out, &i64::from_le_bytes(b))),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 => floats(out, tensor),
        Datatype::Fp64 => each(out, data, |out, b| double(out, f64::from_le_bytes(b))),
        Datatype::Bytes => texts(out, data),
    }
}

fn each<const N: usize>(out: &mut Vec<u8>, data: &[u8], write: impl Fn(&mut Vec<u8>, [u8; N]) -> Written) -> Written {
    for (index, bytes) in data.as_chunks::<N>().0.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, *bytes)?;
    }
    Ok(())
}

fn texts(out: &mut Vec<u8>, data: &[u8]) -> Written {
    for (index, text) in request::elements(data).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let text = text.map_err(|_| NOT_WRITTEN)?;
        number(out, std::str::from_utf8(text).map_err(|_| NOT_TEXT)?)?;
    }
    Ok(())
}

fn floats(out: &mut Vec<u8>, tensor: &Tensor) -> Written {
    let values = request::floats(tensor.datatype, &tensor.data).ok_or(NOT_WRITTEN)?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if !value.is_finite() {
            return Err(NON_FINITE);
        }
        number(out, value)?;
    }
    Ok(())
}

fn double(out: &mut Vec<u8>, value: f64) -> Written {
    if value.is_finite() { number(out, &value) } else { Err(NON_FINITE) }
}

fn number(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Written {
    serde_json::to_writer(out, value).map_err(|_| NOT_WRITTEN)
}

fn json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    number(out, value).map_err(|what| Error::new(Reason::ExecutionFailed, format!("the answer {what}")))
}
