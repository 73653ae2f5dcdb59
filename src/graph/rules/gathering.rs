//! Operators that choose elements by their number.

use super::shaping::along;
use crate::graph::follow::{Call, Follower};
use crate::graph::size::Size;
use crate::graph::value::{Fault, Flow, Found, MOST_ELEMENTS, Value};

/// Rows of a batch, or of something else, chosen by indices that are not their own numbers.
fn by_number() -> Fault {
    Fault::neighbours("takes some rows of a batch by their number")
}

/// Whether a value is the same for all rows, whatever its sizes.
fn constant(value: &Value) -> bool {
    value.flow == Flow::Constant
}

pub(super) fn gather(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    if let Some(chosen) = chosen(follower, data, indices) {
        return Ok(vec![chosen]);
    }
    let axis = data.axis(call.int("axis").unwrap_or(0))?;
    let (dims, own) = (data.dims()?, indices.dims()?);
    if constant(data) {
        follower.chooses(indices, &dims[axis]);
    }
    let flow = match (&data.flow, &indices.flow) {
        (Flow::Constant, Flow::Constant) => Flow::Constant,
        (Flow::Constant, Flow::Rows(rows)) => {
            // What the indices choose from must not be as large as the batch.
            match dims.iter().any(|size| follower.symbols.depends(size)) {
                true => return Err(by_number()),
                false => Flow::Rows(axis + rows),
            }
        }
        (Flow::Rows(rows), Flow::Constant) if *rows != axis => {
            match own.iter().any(|size| follower.symbols.depends(size)) {
                true => return Err(by_number()),
                false => Flow::Rows(if *rows < axis { *rows } else { rows + own.len() - 1 }),
            }
        }
        (Flow::Rows(rows), Flow::Numbers(0)) if *rows == axis && dims[axis] == Size::rows() && own.len() == 1 => {
            Flow::Rows(axis)
        }
        (Flow::Constant | Flow::Placed, Flow::Constant | Flow::Placed | Flow::Numbers(_)) => Flow::Placed,
        _ => return Err(by_number()),
    };
    let dims = [&dims[..axis], own, &dims[axis + 1..]].concat();
    Ok(vec![Value::new(Some(dims), flow)])
}

/// Elements of a small vector.
fn chosen(follower: &Follower<'_>, data: &Value, indices: &Value) -> Option<Value> {
    let (all, numbers) = (data.content.as_ref()?, indices.numbers()?);
    if data.dims.as_ref()?.len() != 1 || numbers.len() > MOST_ELEMENTS {
        return None;
    }
    let at = |number: &i64| {
        let place = if *number < 0 { number + all.len() as i64 } else { *number };
        all.get(usize::try_from(place).ok()?).cloned()
    };
    let content = numbers.iter().map(at).collect::<Option<Vec<_>>>()?;
    Some(Value::sizes(content, indices.dims.clone()?, data.flow.clone(), &follower.symbols))
}

/// `GatherElements` and `ScatterElements`: along one dimension, everything else stays where it is.
pub(super) fn elements(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let axis = data.axis(call.int("axis").unwrap_or(0))?;
    let scatters = call.node.op_type != "GatherElements";
    let dims = if scatters { data.dims()? } else { indices.dims()? };
    let mut rows = call.all().filter_map(|value| along(&value.flow));
    let Some(at) = rows.next() else {
        let fixed = call.all().all(|value| value.is_constant(&follower.symbols));
        let flow = if fixed { Flow::Constant } else { Flow::Placed };
        return Ok(vec![Value::new(Some(dims.to_vec()), flow)]);
    };
    let as_long =
        |value: &Value| value.dims.as_ref().and_then(|dims| dims.get(at)).is_some_and(|size| *size == dims[at]);
    let sound = call.all().all(|value| matches!(value.flow, Flow::Constant | Flow::Rows(_)) && as_long(value));
    match at != axis && rows.all(|other| other == at) && sound {
        true => Ok(vec![Value::new(Some(dims.to_vec()), Flow::Rows(at))]),
        false => Err(by_number()),
    }
}

pub(super) fn gather_nd(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (data, indices) = (call.input(0)?, call.input(1)?);
    let shared = usize::try_from(call.int("batch_dims").unwrap_or(0)).unwrap_or(0);
    let (dims, own) = (data.dims()?, indices.dims()?);
    let (last, before) = own.split_last().ok_or_else(|| Fault::untraced("takes indices without a dimension"))?;
    let taken = last.value().and_then(|count| usize::try_from(count).ok()).map(|count| count + shared);
    let rest = taken.and_then(|taken| dims.get(taken..));
    let rest = rest.ok_or_else(|| Fault::untraced("takes indices whose number the graph does not show"))?;
    let free = |value: &Value| value.is_constant(&follower.symbols);
    let flow = match (&data.flow, &indices.flow) {
        _ if free(data) && free(indices) => Flow::Constant,
        (Flow::Rows(0), Flow::Rows(0)) if shared >= 1 => Flow::Rows(0),
        (Flow::Rows(0), Flow::Constant) if shared >= 1 && own[0] == dims[0] => Flow::Rows(0),
        (Flow::Constant, Flow::Rows(rows)) if free(data) && shared == 0 && *rows < before.len() => Flow::Rows(*rows),
        (Flow::Rows(0), Flow::Indexed(rows)) if shared == 0 && dims[0] == Size::rows() => Flow::Rows(*rows),
        (Flow::Constant | Flow::Placed, Flow::Constant | Flow::Placed) => Flow::Placed,
        _ => return Err(by_number()),
    };
    Ok(vec![Value::new(Some([before, rest].concat()), flow)])
}

pub(super) fn scatter_nd(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (data, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let dims = data.dims()?;
    if call.all().all(|value| value.is_constant(&follower.symbols)) {
        return Ok(vec![Value::new(Some(dims.to_vec()), Flow::Constant)]);
    }
    if call.all().all(|value| matches!(value.flow, Flow::Constant | Flow::Placed)) {
        return Ok(vec![Value::new(Some(dims.to_vec()), Flow::Placed)]);
    }
    let own =
        matches!((&data.flow, dims.first()), (Flow::Rows(0) | Flow::Constant, Some(rows)) if *rows == Size::rows());
    let sound = matches!((&indices.flow, &updates.flow), (Flow::Indexed(0), Flow::Rows(0)));
    match own && sound {
        true => Ok(vec![Value::new(Some(dims.to_vec()), Flow::Rows(0))]),
        false => Err(by_number()),
    }
}

/// Elements where a condition holds.
pub(super) fn compress(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (data, condition) = (call.input(0)?, call.input(1)?);
    let fixed = |value: &Value| value.is_constant(&follower.symbols);
    if fixed(data) && fixed(condition) && call.int("axis").is_none() {
        return Ok(vec![Value::new(Some(vec![follower.symbols.fresh(false)]), Flow::Constant)]);
    }
    let axis = call.int("axis").map(|axis| data.axis(axis)).transpose()?;
    match axis {
        Some(axis) if fixed(condition) && along(&data.flow) != Some(axis) => {
            let mut dims = data.dims()?.to_vec();
            dims[axis] = follower.symbols.fresh(follower.symbols.depends(&dims[axis]));
            Ok(vec![Value::new(Some(dims), data.flow.clone())])
        }
        _ => Err(Fault::sizes("keeps as many rows as it finds")),
    }
}

/// A dimension more, with a one in it.
pub(super) fn one_hot(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (indices, depth, values) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let fixed = |value: &Value| value.is_constant(&follower.symbols);
    if !fixed(depth) || !fixed(values) {
        return Err(Fault::sizes("makes as much as rows say"));
    }
    let known = depth.known().and_then(|all| all.into_iter().next());
    if let Some(depth) = &known {
        follower.chooses(indices, depth);
    }
    let size = known.unwrap_or_else(|| follower.symbols.fresh(false));
    let mut dims = indices.dims()?.to_vec();
    let axis = crate::graph::value::absolute(call.int("axis").unwrap_or(-1), dims.len() + 1)?;
    dims.insert(axis, size);
    let flow = match indices.flow {
        Flow::Rows(rows) => Flow::Rows(if axis <= rows { rows + 1 } else { rows }),
        Flow::Constant => Flow::Constant,
        _ => Flow::Placed,
    };
    Ok(vec![Value::new(Some(dims), flow)])
}
