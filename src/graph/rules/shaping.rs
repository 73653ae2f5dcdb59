//! Operators that move elements about without looking at them.

use super::making::sizes;
use crate::graph::follow::{Call, Follower};
use crate::graph::size::{Arithmetic, Size, product};
use crate::graph::value::{Fault, Flow, Found, MOST_ELEMENTS, Value, absolute};

/// The same flow with its dimension moved.
pub(super) fn shifted(flow: &Flow, to: impl Fn(usize) -> usize) -> Flow {
    match flow {
        Flow::Rows(axis) => Flow::Rows(to(*axis)),
        Flow::Numbers(axis) => Flow::Numbers(to(*axis)),
        Flow::Indexed(axis) => Flow::Indexed(to(*axis)),
        flow => flow.clone(),
    }
}

/// The dimension of rows, or of their numbers.
pub(super) fn along(flow: &Flow) -> Option<usize> {
    match flow {
        Flow::Rows(axis) | Flow::Numbers(axis) | Flow::Indexed(axis) => Some(*axis),
        Flow::Constant | Flow::Placed | Flow::Broken(_) => None,
    }
}

/// Indices whose first component is a row's number have it no more where their last dimension was touched.
fn without_index(flow: Flow) -> Flow {
    if matches!(flow, Flow::Indexed(_)) { Flow::Placed } else { flow }
}

pub(super) fn shape(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?;
    let at = |end: i64| if end < 0 { end + dims.len() as i64 } else { end }.clamp(0, dims.len() as i64) as usize;
    let (start, end) = (at(call.int("start").unwrap_or(0)), at(call.int("end").unwrap_or(i64::MAX)));
    let part = dims.get(start..end).unwrap_or_default();
    let count = Size::known(part.len() as i64);
    let content = part.iter().cloned().map(Some).collect();
    Ok(vec![Value::sizes(content, vec![count], Flow::Placed, &follower.symbols)])
}

pub(super) fn size(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let count = product(call.input(0)?.dims()?);
    Ok(vec![Value::sizes(vec![count], Vec::new(), Flow::Placed, &follower.symbols)])
}

pub(super) fn transpose(call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?;
    let order: Vec<usize> = match call.ints("perm") {
        Some(order) => order.iter().map(|axis| absolute(*axis, dims.len())).collect::<Found<_>>()?,
        None => (0..dims.len()).rev().collect(),
    };
    let own: Option<Vec<Size>> = order.iter().map(|axis| dims.get(*axis).cloned()).collect();
    let own = own.ok_or_else(|| Fault::untraced("names a dimension that its input has not"))?;
    let flow = shifted(&input.flow, |axis| order.iter().position(|from| *from == axis).unwrap_or(axis));
    Ok(vec![Value { origin: input.origin, ..Value::new(Some(own), without_index(flow)) }])
}

pub(super) fn unsqueeze(call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axes = call.numbers("axes", 1)?.ok_or_else(|| Fault::untraced("lacks its axes"))?;
    let mut dims = input.dims()?.to_vec();
    let rank = dims.len() + axes.len();
    let mut axes = axes.iter().map(|axis| absolute(*axis, rank)).collect::<Found<Vec<_>>>()?;
    axes.sort_unstable();
    let mut at = along(&input.flow).unwrap_or(0);
    for axis in axes {
        if axis > dims.len() {
            return Err(Fault::untraced("names a dimension that its input has not"));
        }
        dims.insert(axis, Size::known(1));
        at += usize::from(axis <= at);
    }
    let content = input.content.clone();
    Ok(vec![Value {
        dims: Some(dims),
        flow: without_index(shifted(&input.flow, |_| at)),
        content,
        origin: input.origin,
    }])
}

pub(super) fn squeeze(_: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?;
    let axes: Vec<usize> = match call.numbers("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| absolute(*axis, dims.len())).collect::<Found<_>>()?,
        // Every one that is one; one that may be and may not be is not to be followed.
        None if dims.iter().all(|size| size.value().is_some()) => {
            dims.iter().enumerate().filter(|(_, size)| size.is_one()).map(|(axis, _)| axis).collect()
        }
        None => return Err(Fault::untraced("drops dimensions that may be one, that of the rows with them")),
    };
    let at = along(&input.flow).unwrap_or(usize::MAX);
    if axes.contains(&at) {
        return Err(Fault::untraced("drops the dimension of the rows"));
    }
    let kept = dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, size)| size.clone()).collect();
    let before = axes.iter().filter(|axis| **axis < at).count();
    let flow = without_index(shifted(&input.flow, |axis| axis - before));
    let content = input.content.clone();
    Ok(vec![Value { dims: Some(kept), flow, content, origin: input.origin }])
}

pub(super) fn flatten(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?;
    let axis = call.int("axis").unwrap_or(1);
    let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
    let (before, after) = usize::try_from(axis)
        .ok()
        .and_then(|axis| dims.split_at_checked(axis))
        .ok_or_else(|| Fault::untraced("names a dimension that its input has not"))?;
    let target = [product(before), product(after)].map(|size| size.unwrap_or_else(|| follower.symbols.fresh(true)));
    Ok(vec![reshaped(follower, input, target.to_vec())?])
}

pub(super) fn reshape(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let asked = match call.ints("shape") {
        Some(shape) => Value::of_numbers(shape, false),
        None => call.input(1)?.clone(),
    };
    let mut target = sizes(follower, &asked)?;
    // A size of zero is the input's own, unless told otherwise.
    if call.int("allowzero").unwrap_or(0) == 0 {
        for (axis, size) in target.iter_mut().enumerate().filter(|(_, size)| size.value() == Some(0)) {
            let own = input.dims()?.get(axis).cloned();
            *size = own.ok_or_else(|| Fault::untraced("takes a size from a dimension that its input has not"))?;
        }
    }
    if let Some(open) = target.iter().position(|size| size.value() == Some(-1)) {
        let whole = input.dims.as_deref().and_then(product);
        let others = product(target.iter().enumerate().filter(|(axis, _)| *axis != open).map(|(_, size)| size));
        let others = others.filter(|others| *others != Size::known(0));
        let rest = whole.zip(others.clone()).and_then(|(whole, others)| whole.over(&others));
        // Where the rows are counted already, what is left is a part of one row.
        let apart =
            input.rows().is_some() && others.as_ref().is_some_and(|others| others.counts_rows(&follower.symbols));
        let depends = !apart && (!input.is_constant(&follower.symbols) || others.is_none());
        target[open] = rest.unwrap_or_else(|| follower.symbols.fresh(depends));
    }
    Ok(vec![reshaped(follower, input, target)?])
}

/// The same elements in another shape. Rows stay in order where as many blocks, each of one row's own elements, lie
/// along one dimension before and after.
fn reshaped(follower: &Follower<'_>, input: &Value, target: Vec<Size>) -> Found<Value> {
    let Some(axis) = along(&input.flow) else {
        let (content, origin) = (input.content.clone(), input.origin);
        return Ok(Value { content, origin, ..Value::new(Some(target), input.flow.clone()) });
    };
    let dims = input.dims()?;
    let before = product(&dims[..axis]);
    let fits = |at: &usize| before.is_some() && product(&target[..*at]) == before;
    let is_rows = |at: &usize| target[*at].counts_rows(&follower.symbols);
    let at = (0..target.len()).filter(fits).find(is_rows);
    let at = at.ok_or_else(|| Fault::untraced("lays rows out anew in a way that the graph does not show"))?;
    let flow = match input.flow {
        // Their meaning is theirs alone.
        Flow::Indexed(_) => Flow::Placed,
        Flow::Numbers(_) if target[at] != Size::rows() => Flow::Placed,
        ref flow => shifted(flow, |_| at),
    };
    Ok(Value { origin: input.origin, ..Value::new(Some(target), flow) })
}

pub(super) fn expand(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let asked = sizes(follower, call.input(1)?)?;
    let target = Value::new(Some(asked), Flow::Constant);
    let (dims, flow) = match input.flow {
        // They stay numbers of rows where nothing is repeated along them.
        Flow::Numbers(axis) => {
            let rows = Value::new(input.dims.clone(), Flow::Rows(axis));
            let (dims, flow) = super::elementwise::join(follower, &[&rows, &target])?;
            (dims, shifted(&Flow::Numbers(0), |_| along(&flow).unwrap_or(0)))
        }
        _ => super::elementwise::join(follower, &[input, &target])?,
    };
    Ok(vec![Value { origin: input.origin, ..Value::new(dims, flow) }])
}

pub(super) fn tile(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let repeats = sizes(follower, call.input(1)?)?;
    let dims = input.dims()?;
    let own = dims.iter().zip(&repeats).map(|(size, times)| size.times(times)).collect::<Option<Vec<_>>>();
    let own = own.filter(|own| own.len() == dims.len()).ok_or_else(|| Fault::untraced("repeats too much"))?;
    match along(&input.flow) {
        Some(axis) if !repeats[axis].is_one() => Err(Fault::neighbours("repeats all rows one after the other")),
        _ => Ok(vec![Value::new(Some(own), without_index(input.flow.clone()))]),
    }
}

pub(super) fn concat(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let first = call.input(0)?;
    let inputs: Vec<Value> = call.all().cloned().collect();
    let axis = first.axis(call.int("axis").unwrap_or(1))?;
    if let [only] = &inputs[..] {
        return Ok(vec![only.clone()]);
    }
    if inputs.iter().any(|value| along(&value.flow) == Some(axis)) {
        return Err(Fault::neighbours("puts something between the rows of a batch"));
    }
    // Along every other dimension they are as large as one another.
    let mut sum = Some(Size::known(0));
    let mut flat = Vec::with_capacity(inputs.len());
    for value in &inputs {
        let mut dims = value.dims()?.to_vec();
        let own = dims.get(axis).cloned().ok_or_else(|| Fault::untraced("puts different shapes together"))?;
        sum = sum.and_then(|sum| follower.symbols.arithmetic(Arithmetic::Add, &sum, &own));
        dims[axis] = Size::known(1);
        let flow = if matches!(value.flow, Flow::Numbers(_)) { Flow::Placed } else { value.flow.clone() };
        flat.push(Value::new(Some(dims), flow));
    }
    let sum = sum.ok_or_else(|| Fault::untraced("makes a dimension that is too large"))?;
    if let Some(indices) = indexed(&inputs, axis, &sum) {
        return Ok(vec![indices]);
    }
    let (dims, flow) = super::elementwise::join(follower, &flat.iter().collect::<Vec<_>>())?;
    let mut dims = dims.ok_or_else(|| Fault::untraced("puts different shapes together"))?;
    dims[axis] = sum;
    let content = inputs.iter().map(|value| value.content.as_deref()).collect::<Option<Vec<_>>>();
    let content = content.filter(|_| dims.len() == 1).map(|all| all.concat());
    Ok(vec![match content.filter(|all| all.len() <= MOST_ELEMENTS) {
        Some(content) => Value::sizes(content, dims, flow, &follower.symbols),
        None => Value::new(Some(dims), flow),
    }])
}

/// Indices made of the rows' own numbers and what belongs to each row.
fn indexed(inputs: &[Value], axis: usize, width: &Size) -> Option<Value> {
    let (numbers, others) = inputs.split_first()?;
    let (Flow::Numbers(rows), dims) = (&numbers.flow, numbers.dims.as_ref()?) else { return None };
    let own = |value: &Value| {
        let same = value.dims.as_ref().is_some_and(|own| own.len() == dims.len() && own[*rows] == dims[*rows]);
        same && (value.flow == Flow::Constant || value.flow == Flow::Rows(*rows))
    };
    if axis + 1 != dims.len() || *rows == axis || !dims[axis].is_one() || !others.iter().all(own) {
        return None;
    }
    let mut dims = dims.clone();
    dims[axis] = width.clone();
    Some(Value::new(Some(dims), Flow::Indexed(*rows)))
}

pub(super) fn slice(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let bounds = |name, at| match call.ints(name) {
        Some(numbers) => Some(numbers.iter().map(|number| Some(Size::known(*number))).collect::<Vec<_>>()),
        None => call.given(at).and_then(|value| value.content.clone()),
    };
    let mut dims = input.dims()?.to_vec();
    let count = |at: usize| call.given(at).and_then(|value| value.dims.as_ref()?.first()?.value());
    let many = call.ints("starts").map(|all| all.len() as i64).or_else(|| count(1)).unwrap_or(dims.len() as i64);
    let axes = match call.numbers("axes", 3)? {
        Some(axes) => axes,
        None => (0..many).collect(),
    };
    let steps = call.numbers("steps", 4)?.unwrap_or_else(|| vec![1; axes.len()]);
    let (starts, ends) = (bounds("starts", 1), bounds("ends", 2));
    let bound =
        |all: &Option<Vec<Option<Size>>>, at: usize| all.as_ref().and_then(|all| all.get(at).cloned().flatten());
    let mut content = input.content.clone();
    let depends = call.inputs.iter().skip(1).flatten().any(|value| value.flow != Flow::Constant);
    for (at, axis) in axes.iter().enumerate() {
        let axis = absolute(*axis, dims.len())?;
        let (start, end) = (bound(&starts, at), bound(&ends, at));
        let step = steps.get(at).copied().unwrap_or(1);
        if is_whole(start.as_ref(), end.as_ref(), step, &dims[axis]) {
            continue;
        }
        if along(&input.flow) == Some(axis) {
            return Err(Fault::neighbours("takes some rows of a batch by their number"));
        }
        content = content.filter(|_| dims.len() == 1).and_then(|all| part(&all, start.as_ref()?, end.as_ref()?, step));
        let depends = depends || follower.symbols.depends(&dims[axis]);
        dims[axis] = match &content {
            Some(part) => Size::known(part.len() as i64),
            None => cut(follower, start.as_ref(), end.as_ref(), step, &dims[axis])
                .unwrap_or_else(|| follower.symbols.fresh(depends)),
        };
    }
    // Where a cut depends on the number of rows, so does what comes of it.
    let placed = dims.iter().any(|size| follower.symbols.depends(size)) && input.flow == Flow::Constant && depends;
    let flow = if placed { Flow::Placed } else { input.flow.clone() };
    Ok(vec![match content {
        Some(content) => Value::sizes(content, dims, flow, &follower.symbols),
        None => Value { origin: input.origin, ..Value::new(Some(dims), without_index(flow)) },
    }])
}

/// Whether a cut leaves a dimension as it is.
fn is_whole(start: Option<&Size>, end: Option<&Size>, step: i64, size: &Size) -> bool {
    // No batch has as many rows; exporters write different numbers.
    const NO_END: i64 = 1_000_000_000;
    let starts = start.and_then(Size::value) == Some(0);
    let ends = end.is_some_and(|end| end == size || end.value().is_some_and(|end| end >= NO_END));
    starts && ends && step == 1
}

/// The elements of a vector within bounds.
fn part(all: &[Option<Size>], start: &Size, end: &Size, step: i64) -> Option<Vec<Option<Size>>> {
    let count = all.len() as i64;
    let at = |bound: i64| if bound < 0 { bound.saturating_add(count) } else { bound };
    let (start, end) = (at(start.value()?), at(end.value()?));
    let mut taken = Vec::new();
    let mut place = if step > 0 { start.clamp(0, count) } else { start.clamp(-1, count - 1) };
    let end = if step > 0 { end.clamp(0, count) } else { end.clamp(-1, count - 1) };
    while step != 0 && (if step > 0 { place < end } else { place > end }) {
        taken.push(all[usize::try_from(place).ok()?].clone());
        place = place.saturating_add(step);
    }
    Some(taken)
}

/// The size of what is cut out of a dimension; `None` where the graph does not show it.
fn cut(follower: &mut Follower<'_>, start: Option<&Size>, end: Option<&Size>, step: i64, size: &Size) -> Option<Size> {
    let (start, end) = (start?, end?);
    if let Some(count) = size.value() {
        let all = vec![None; usize::try_from(count).ok().filter(|count| *count <= 1 << 20)?];
        return part(&all, start, end, step).map(|part| Size::known(part.len() as i64));
    }
    // From the start to a size: as much as that, if there is as much, which there is where the graph runs.
    let from_start = start.value() == Some(0) && step == 1 && end.value().is_none();
    from_start.then(|| follower.symbols.arithmetic(Arithmetic::Min, size, end)).flatten()
}

pub(super) fn split(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let axis = input.axis(call.int("axis").unwrap_or(0))?;
    if along(&input.flow) == Some(axis) {
        return Err(Fault::neighbours("takes the rows of a batch apart by their number"));
    }
    let parts = call.node.output.len();
    let dims = input.dims()?;
    let given = call.numbers("split", 1)?;
    let even = dims[axis].value().filter(|size| size % parts.max(1) as i64 == 0);
    let depends = follower.symbols.depends(&dims[axis]);
    let mut made = Vec::with_capacity(parts);
    for at in 0..parts {
        let size = match (&given, even) {
            (Some(sizes), _) => sizes.get(at).map(|size| Size::known(*size)),
            (None, Some(size)) => Some(Size::known(size / parts as i64)),
            (None, None) => dims[axis].over(&Size::known(parts as i64)),
        };
        let mut own = dims.to_vec();
        own[axis] = size.unwrap_or_else(|| follower.symbols.fresh(depends));
        let flow = if depends && input.flow == Flow::Constant { Flow::Placed } else { input.flow.clone() };
        made.push(Value::new(Some(own), without_index(flow)));
    }
    Ok(made)
}

pub(super) fn pad(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let mut dims = input.dims()?.to_vec();
    let pads = match (call.ints("pads"), call.given(1)) {
        (Some(pads), _) => Some(pads.iter().map(|number| Some(Size::known(*number))).collect()),
        (None, Some(pads)) => pads.content.clone(),
        (None, None) => None,
    };
    let axes = match call.given(3) {
        Some(axes) => axes.numbers().ok_or_else(|| Fault::untraced("takes `axes` that the graph does not show"))?,
        None => (0..dims.len() as i64).collect(),
    };
    let pad = |at: usize| pads.as_ref().and_then(|pads: &Vec<Option<Size>>| pads.get(at).cloned().flatten());
    for (at, axis) in axes.iter().enumerate() {
        let axis = absolute(*axis, dims.len())?;
        let (before, after) = (pad(at), pad(at + axes.len()));
        if let (Some(0), Some(0)) = (before.as_ref().and_then(Size::value), after.as_ref().and_then(Size::value)) {
            continue;
        }
        if along(&input.flow) == Some(axis) {
            return Err(Fault::neighbours("puts something beside the rows of a batch"));
        }
        let depends = follower.symbols.depends(&dims[axis]) || call.given(1).is_some_and(|p| p.flow != Flow::Constant);
        let sum = before.zip(after).and_then(|(before, after)| {
            let sum = follower.symbols.arithmetic(Arithmetic::Add, &dims[axis], &before)?;
            follower.symbols.arithmetic(Arithmetic::Add, &sum, &after)
        });
        dims[axis] = sum.unwrap_or_else(|| follower.symbols.fresh(depends));
    }
    let grows = input.flow == Flow::Constant && dims.iter().any(|size| follower.symbols.depends(size));
    let flow = if grows { Flow::Placed } else { without_index(input.flow.clone()) };
    Ok(vec![Value::new(Some(dims), flow)])
}

/// Larger or smaller pictures: the dimension of the rows must stay as it is.
pub(super) fn resize(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?.to_vec();
    // `Upsample` and version 10 of `Resize` take scales alone.
    let (scales, wanted) = match call.node.op_type == "Upsample" || call.version < 11 {
        true => (call.given(1), None),
        false => (call.given(2), call.given(3)),
    };
    let axes = call.ints("axes").map_or_else(
        || Ok((0..dims.len()).collect()),
        |axes| axes.iter().map(|axis| absolute(*axis, dims.len())).collect::<Found<Vec<_>>>(),
    )?;
    let of = |value: Option<&Value>, axis: usize| {
        let at = axes.iter().position(|own| *own == axis)?;
        value?.content.as_ref()?.get(at)?.clone()
    };
    let held = call.attribute("scales").and_then(|scales| scales.floats.first().copied());
    let stays = |axis: usize| {
        let scaled = of(scales, axis).is_some_and(|scale| scale.is_one()) || (axis == 0 && held == Some(1.0));
        !axes.contains(&axis) || scaled || of(wanted, axis).is_some_and(|size| size == dims[axis])
    };
    if along(&input.flow).is_some_and(|axis| !stays(axis)) {
        return Err(Fault::neighbours("scales the dimension of the rows"));
    }
    let mut own = Vec::with_capacity(dims.len());
    for (axis, size) in dims.iter().enumerate() {
        own.push(match (stays(axis), of(wanted, axis), of(scales, axis).and_then(|scale| size.times(&scale))) {
            (true, _, _) => size.clone(),
            (false, Some(wanted), _) => wanted,
            (false, None, Some(scaled)) => scaled,
            (false, None, None) => follower.symbols.fresh(follower.symbols.depends(size)),
        });
    }
    let flow = if input.flow == Flow::Constant { Flow::Constant } else { without_index(input.flow.clone()) };
    Ok(vec![Value::new(Some(own), flow)])
}
