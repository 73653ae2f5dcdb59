//! Operators that look along dimensions: sums, maxima, orders, and what is scaled by them.

use super::elementwise;
use super::shaping::along as row_axis;
use crate::graph::follow::{Call, Follower};
use crate::graph::size::{Arithmetic, Size, product};
use crate::graph::value::{Fault, Flow, Found, Value, absolute};

/// The flow of what looks along `axes` of a value.
fn look(follower: &Follower<'_>, value: &Value, axes: &[usize]) -> Found<Flow> {
    let dims = value.dims()?;
    match &value.flow {
        Flow::Rows(rows) if axes.contains(rows) => Err(Fault::neighbours("looks at all rows of a batch together")),
        Flow::Rows(rows) => Ok(Flow::Rows(*rows)),
        Flow::Constant if !axes.iter().any(|axis| follower.symbols.depends(&dims[*axis])) => Ok(Flow::Constant),
        _ => Ok(Flow::Placed),
    }
}

/// A value without some of its dimensions, or with ones in their place.
fn reduced(value: &Value, flow: &Flow, axes: &[usize], keeps: bool) -> Found<Value> {
    let mut dims = value.dims()?.to_vec();
    let before = row_axis(flow).map_or(0, |rows| axes.iter().filter(|axis| **axis < rows).count());
    if keeps {
        axes.iter().for_each(|axis| dims[*axis] = Size::known(1));
        return Ok(Value::new(Some(dims), flow.clone()));
    }
    let kept = dims.into_iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, size)| size).collect();
    Ok(Value::new(Some(kept), super::shaping::shifted(flow, |rows| rows - before)))
}

pub(super) fn reduce(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    if let Some(value) = of_content(follower, call, input) {
        return Ok(vec![value]);
    }
    let rank = input.rank()?;
    let named = call.numbers("axes", 1)?.filter(|axes| !axes.is_empty());
    let axes: Vec<usize> = match named {
        Some(axes) => axes.iter().map(|axis| absolute(*axis, rank)).collect::<Found<_>>()?,
        None if call.int("noop_with_empty_axes").unwrap_or(0) != 0 => return Ok(vec![input.clone()]),
        None => (0..rank).collect(),
    };
    let axes: Vec<usize> = axes.into_iter().filter(|axis| *axis < rank).collect();
    let flow = look(follower, input, &axes)?;
    Ok(vec![reduced(input, &flow, &axes, call.int("keepdims").unwrap_or(1) != 0)?])
}

/// Of a vector of sizes.
fn of_content(follower: &mut Follower<'_>, call: &Call<'_, '_>, input: &Value) -> Option<Value> {
    let all = input.known().filter(|all| !all.is_empty() && input.dims.as_ref().is_some_and(|dims| dims.len() == 1))?;
    let mut fold = |arithmetic| {
        let (first, rest) = all.split_first()?;
        rest.iter().try_fold(first.clone(), |so_far, next| follower.symbols.arithmetic(arithmetic, &so_far, next))
    };
    let result = match &*call.node.op_type {
        "ReduceProd" => product(&all),
        "ReduceSum" => fold(Arithmetic::Add),
        "ReduceMax" => fold(Arithmetic::Max),
        "ReduceMin" => fold(Arithmetic::Min),
        _ => None,
    }?;
    let dims = if call.int("keepdims").unwrap_or(1) != 0 { vec![Size::known(1)] } else { Vec::new() };
    Some(Value::sizes(vec![Some(result)], dims, input.flow.clone(), &follower.symbols))
}

pub(super) fn arg(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axis = input.axis(call.int("axis").unwrap_or(0))?;
    let flow = look(follower, input, &[axis])?;
    Ok(vec![reduced(input, &flow, &[axis], call.int("keepdims").unwrap_or(1) != 0)?])
}

/// Operators that leave a shape as it is and look along one dimension of it.
pub(super) fn along(follower: &Follower<'_>, call: &Call<'_, '_>, usual: i64) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axis = input.axis(call.int("axis").unwrap_or(usual))?;
    let flow = look(follower, input, &[axis])?;
    Ok(vec![Value::new(input.dims.clone(), flow)])
}

pub(super) fn cumulate(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axis = call.input(1)?.numbers().and_then(|axes| axes.first().copied());
    let axis = axis.ok_or_else(|| Fault::untraced("takes a dimension that the graph does not show"))?;
    let flow = look(follower, input, &[input.axis(axis)?])?;
    Ok(vec![Value::new(input.dims.clone(), flow)])
}

/// Before version 13 all dimensions from the named one on count as one.
pub(super) fn softmax(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    if call.version >= 13 {
        return along(follower, call, -1);
    }
    let from = input.axis(call.int("axis").unwrap_or(1))?;
    let axes: Vec<usize> = (from..input.rank()?).collect();
    let flow = look(follower, input, &axes)?;
    Ok(vec![Value::new(input.dims.clone(), flow)])
}

pub(super) fn mean_variance(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axes = call.ints("axes").unwrap_or(&[0, 2, 3]);
    let axes = axes.iter().map(|axis| input.axis(*axis)).collect::<Found<Vec<_>>>()?;
    let flow = look(follower, input, &axes)?;
    Ok(vec![Value::new(input.dims.clone(), flow)])
}

/// Over all dimensions from one on; what scales the result is the same for all rows.
pub(super) fn layer(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let from = input.axis(call.int("axis").unwrap_or(-1))?;
    let axes: Vec<usize> = (from..input.rank()?).collect();
    normalized(follower, call, input, &axes, 1)
}

/// The sum of two inputs, over its last dimension.
pub(super) fn skip(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (dims, flow) = elementwise::join(follower, &[call.input(0)?, call.input(1)?])?;
    let sum = Value::new(dims, flow);
    let last = sum.rank()?.saturating_sub(1);
    let mut made = normalized(follower, call, &sum, &[last], 2)?;
    made.push(sum);
    Ok(made)
}

fn normalized(
    follower: &Follower<'_>,
    call: &Call<'_, '_>,
    input: &Value,
    axes: &[usize],
    settings: usize,
) -> Found<Vec<Value>> {
    let constant = |value: &Value| value.is_constant(&follower.symbols);
    if !call.inputs.iter().skip(settings).flatten().all(constant) {
        return Err(Fault::untraced("takes weights that are not constant"));
    }
    let flow = look(follower, input, axes)?;
    let mean = reduced(input, &flow, axes, true)?;
    Ok(vec![Value::new(input.dims.clone(), flow), mean.clone(), mean])
}

pub(super) fn top(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axis = input.axis(call.int("axis").unwrap_or(-1))?;
    if row_axis(&input.flow) == Some(axis) {
        return Err(Fault::sizes("takes the best of all rows of a batch"));
    }
    let flow = look(follower, input, &[axis])?;
    let asked = call.int("k").map(Size::known).or_else(|| call.given(1)?.known()?.into_iter().next());
    let fixed = call.given(1).is_none_or(|k| k.flow == Flow::Constant);
    let rows_say = call.given(1).is_some_and(|k| matches!(k.flow, Flow::Rows(_)));
    if rows_say {
        return Err(Fault::sizes("makes as much as rows say"));
    }
    let mut dims = input.dims()?.to_vec();
    dims[axis] = asked.unwrap_or_else(|| follower.symbols.fresh(!fixed));
    let found = Value::new(Some(dims), flow);
    Ok(vec![found.clone(), found])
}

/// Operators over the last two dimensions.
pub(super) fn last_two(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let rank = input.rank()?;
    let axes: Vec<usize> = (rank.saturating_sub(2)..rank).collect();
    if call.inputs.iter().skip(1).flatten().any(|value| !value.is_constant(&follower.symbols)) {
        return Err(Fault::untraced("takes settings that are not constant"));
    }
    let flow = look(follower, input, &axes)?;
    match call.node.op_type == "Det" {
        true => Ok(vec![reduced(input, &flow, &axes, false)?]),
        false => Ok(vec![Value::new(input.dims.clone(), flow)]),
    }
}
