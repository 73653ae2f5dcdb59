//! An inference request's bytes to what the model runs, and a plan of its answer.

use super::answer::{Kind, Plan, Wanted};
use super::decode::{self, InputHead, OutputHead};
use super::params::{Name, Params};
use super::{binary, elements, text};
use crate::error::Error;
use crate::model::{Accepted, Datatype, Given, Model};
use crate::request::{self, Payload, Tensor, TensorItem, Want};
use crate::types::{Priority, ShapeClass};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;

/// Larger bodies are never decoded where they arrive: a body need not be of the datatypes that the model takes, and the
/// elements of one of this size are counted in about a millisecond.
const MOST_SKIPPED: usize = 4 << 20;

/// A decoded request.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) items: Vec<Payload>,
    pub(super) want: Want,
    pub(super) plan: Plan,
    pub(super) priority: Option<Priority>,
    pub(super) timeout: Option<Duration>,
}

/// One input as given, its elements read.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) tensor: Tensor,
}

/// How many bytes of a body of `size` bytes decoding looks at one by one: of tensor data that no text and no truth
/// value lies in, it sees the length alone.
pub(super) fn bytes_to_read(model: &Model, headers: &HeaderMap, size: usize) -> usize {
    let is_read = |datatype| matches!(datatype, Datatype::Bytes | Datatype::Bool);
    match binary::json_length(headers) {
        Some(Ok(json)) if size <= MOST_SKIPPED && !model.spec.inputs.iter().any(|own| is_read(own.datatype)) => json,
        _ => size,
    }
}

/// Decodes a request for `model`, and tokenises where it is text: at most `max_rows` texts.
///
/// # Errors
/// `invalid_request` naming the field; `unsupported` for what the model or this server cannot do;
/// `too_large` for more texts.
pub(super) fn prepare(model: &Model, headers: &HeaderMap, body: Bytes, max_rows: u32) -> Result<Prepared, Error> {
    let (json, mut blobs) = binary::split(headers, body)?;
    let request = decode::parse(&json)?;
    let parameters = request.parameters.unwrap_or_default();
    parameters.refuse_unsupported()?;
    let mut inputs: Vec<Input> = Vec::with_capacity(request.inputs.len());
    for head in &request.inputs {
        inputs.push(read(head, &mut blobs).map_err(|what| Error::invalid(format!("input `{}`: {what}", head.name)))?);
    }
    blobs.finish()?;
    let (items, kind) = match &*inputs {
        [only] if text::is_text(model, only) => text::items(model, only, &parameters, max_rows)?,
        _ => (vec![tensors(model, &inputs)?], Kind::Tensors),
    };
    let asked = request.outputs.unwrap_or_default();
    let (outputs, want) = outputs(model, &kind, &asked, &parameters)?;
    let items = apart(model, items, &want);
    // Zero is Triton's "not given", for both.
    let timeout = parameters.uint(Name::Timeout)?.filter(|&us| us > 0).map(Duration::from_micros);
    let priority = parameters.uint(Name::Priority)?.map(|level| Priority(u32::try_from(level).unwrap_or(u32::MAX)));
    Ok(Prepared { items, want, plan: Plan { id: request.id, outputs, kind }, priority, timeout })
}

/// Keeps a request to itself that asks for an output whose rows do not stay apart.
fn apart(model: &Model, mut items: Vec<Payload>, want: &Want) -> Vec<Payload> {
    let Want::Outputs(indices) = want else { return items };
    let stays = |at: &usize| model.spec.outputs.get(*at).is_none_or(|output| output.stacks);
    if model.spec.batchable && !indices.iter().all(stays) {
        for item in &mut items {
            if let Payload::Tensors(item) = item {
                item.class = ShapeClass::alone();
            }
        }
    }
    items
}

fn outputs(
    model: &Model,
    kind: &Kind,
    asked: &[OutputHead],
    parameters: &Params,
) -> Result<(Vec<Wanted>, Want), Error> {
    let available: Vec<&str> = match kind {
        Kind::Tensors => model.spec.outputs.iter().map(|output| &*output.name).collect(),
        Kind::Text { name, .. } => vec![*name],
    };
    let (outputs, indices) = wanted(&available, asked, parameters)?;
    let want = match kind {
        Kind::Tensors => Want::Outputs(indices),
        Kind::Text { want, .. } => want.clone(),
    };
    Ok((outputs, want))
}

/// The outputs asked for, all where none is, with their places among `available`.
fn wanted(available: &[&str], asked: &[OutputHead], parameters: &Params) -> Result<(Vec<Wanted>, Vec<usize>), Error> {
    let all_binary = parameters.bool(Name::BinaryDataOutput)?.unwrap_or(false);
    if asked.is_empty() {
        let all = available.iter().map(|name| Wanted { name: (*name).to_owned(), binary: all_binary });
        return Ok((all.collect(), (0..available.len()).collect()));
    }
    let mut outputs: Vec<Wanted> = Vec::with_capacity(asked.len());
    let mut indices = Vec::with_capacity(asked.len());
    for head in asked {
        let own = head.parameters.as_ref();
        own.map_or(Ok(()), Params::refuse_unsupported)?;
        let unknown = || Error::invalid(format!("output `{}` is not known: there are {available:?}", head.name));
        let index = available.iter().position(|name| *name == head.name).ok_or_else(unknown)?;
        if indices.contains(&index) {
            return Err(Error::invalid(format!("output `{}` is asked for twice", head.name)));
        }
        let binary = own.map_or(Ok(None), |own| own.bool(Name::BinaryData))?.unwrap_or(all_binary);
        outputs.push(Wanted { name: head.name.clone(), binary });
        indices.push(index);
    }
    Ok((outputs, indices))
}

fn read(head: &InputHead<'_>, blobs: &mut binary::Blobs) -> Result<Input, String> {
    let datatype = Datatype::from_name(&head.datatype).ok_or_else(|| {
        let names = Datatype::ALL.map(Datatype::name).join(", ");
        format!("datatype {:?} is not known: allowed are {names}", head.datatype)
    })?;
    head.parameters.refuse_unsupported().map_err(|e| e.message)?;
    let (shape, count) = shape(&head.shape)?;
    let size = head.parameters.uint(Name::BinaryDataSize).map_err(|e| e.message)?;
    let data = match (head.data, size) {
        (Some(data), None) => elements::read(data.get(), datatype, &shape, count)?.into(),
        (None, Some(size)) => {
            let data = blobs.take(size)?;
            binary::check(&data, datatype, &shape, count)?;
            data
        }
        (Some(_), Some(_)) => return Err("it has both data and binary_data_size".to_owned()),
        (None, None) => return Err("data is missing".to_owned()),
    };
    Ok(Input { name: head.name.clone(), tensor: Tensor { datatype, shape, data } })
}

/// The sizes and their product.
fn shape(given: &[i64]) -> Result<(Vec<usize>, usize), String> {
    let refuse = |&size: &i64| usize::try_from(size).map_err(|_| format!("shape holds {size}, which is no size"));
    let shape: Vec<usize> = given.iter().map(refuse).collect::<Result<_, _>>()?;
    let product = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let count = product.ok_or_else(|| format!("shape {shape:?} has too many elements"))?;
    Ok((shape, count))
}

/// Refuses strings that the runtime is not given: its own are UTF-8 here, and end at a zero byte.
fn carried(input: &Input) -> Result<(), Error> {
    for (at, element) in request::elements(&input.tensor.data).enumerate() {
        let refuse = |why: &str| Error::invalid(format!("input `{}`, element {at}: {why}", input.name));
        let element = element.map_err(|e| refuse(&e.to_string()))?;
        if element.contains(&0) {
            return Err(refuse("it holds a zero byte, which ends a string of the runtime"));
        }
        if std::str::from_utf8(element).is_err() {
            return Err(refuse("it is not UTF-8, which a string of the runtime is"));
        }
    }
    Ok(())
}

/// The inputs as one item, in the model's order.
fn tensors(model: &Model, inputs: &[Input]) -> Result<Payload, Error> {
    fn given(Input { name, tensor }: &Input) -> Given<'_> {
        Given { name, datatype: tensor.datatype, shape: &tensor.shape }
    }
    let given: Vec<Given<'_>> = inputs.iter().map(given).collect();
    let Accepted { rows, len, class, order, irregular } = model.spec.accept(&given).map_err(Error::invalid)?;
    inputs.iter().filter(|input| input.tensor.datatype == Datatype::Bytes).try_for_each(carried)?;
    let tensors = order.into_iter().map(|index| inputs[index].tensor.clone()).collect();
    let irregular = irregular.map(Arc::from);
    Ok(Payload::Tensors(TensorItem { rows, len, class, irregular, tensors }))
}
