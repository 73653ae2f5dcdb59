//! Operators that make tensors out of nothing but sizes.

use crate::graph::follow::{Call, Follower};
use crate::graph::size::{Arithmetic, Size};
use crate::graph::value::{Fault, Flow, Found, MOST_ELEMENTS, Value};

/// A weight that lies in a node.
pub(super) fn constant(call: &Call<'_, '_>) -> Found<Vec<Value>> {
    if let Some(tensor) = call.attribute("value").and_then(|value| value.t.as_deref()) {
        return Ok(vec![Value::weight(tensor)]);
    }
    if let Some(number) = call.int("value_int") {
        return Ok(vec![Value::of_numbers(&[number], true)]);
    }
    if let Some(numbers) = call.ints("value_ints") {
        return Ok(vec![Value::of_numbers(numbers, false)]);
    }
    let count = match (call.attribute("value_floats"), call.attribute("value_strings")) {
        (Some(floats), _) => Some(floats.floats.len()),
        (_, Some(strings)) => Some(strings.strings.len()),
        _ => None,
    };
    let dims = count.map_or_else(Vec::new, |count| vec![Size::known(count as i64)]);
    Ok(vec![Value::new(Some(dims), Flow::Constant)])
}

/// The sizes that a vector of them gives, of which some may not be known.
pub(super) fn sizes(follower: &mut Follower<'_>, shape: &Value) -> Found<Vec<Size>> {
    if matches!(shape.flow, Flow::Rows(_) | Flow::Numbers(_) | Flow::Indexed(_)) {
        return Err(Fault::sizes("makes as much as rows say"));
    }
    let depends = shape.flow != Flow::Constant;
    if let Some(content) = &shape.content {
        let mut fresh = |size: &Option<Size>| size.clone().unwrap_or_else(|| follower.symbols.fresh(depends));
        return Ok(content.iter().map(&mut fresh).collect());
    }
    let count = shape.dims()?.first().and_then(Size::value).filter(|count| (0..32).contains(count));
    let count = count.ok_or_else(|| Fault::untraced("makes a tensor whose shape the graph does not show"))?;
    Ok((0..count).map(|_| follower.symbols.fresh(depends)).collect())
}

pub(super) fn of_shape(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let dims = sizes(follower, call.input(0)?)?;
    let fill = match call.attribute("value").and_then(|value| value.t.as_deref()) {
        Some(tensor) => Value::weight(tensor).content.and_then(|content| content.into_iter().next().flatten()),
        None => Some(Size::known(0)),
    };
    let count = dims.iter().try_fold(1, |count, size| size.value().map(|size| count * size.clamp(0, 1 << 16)));
    let count = count.and_then(|count: i64| usize::try_from(count).ok()).filter(|count| *count <= MOST_ELEMENTS);
    let content = count.map(|count| vec![fill; count]);
    Ok(vec![Value { content, ..Value::new(Some(dims), Flow::Constant) }])
}

pub(super) fn range(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (start, limit, step) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if call.all().any(|value| matches!(value.flow, Flow::Rows(_) | Flow::Numbers(_) | Flow::Indexed(_))) {
        return Err(Fault::sizes("makes as much as rows say"));
    }
    let placed = call.all().any(|value| value.flow != Flow::Constant);
    let element = |value: &Value| value.known().and_then(|all| all.into_iter().next());
    let (Some(start), Some(limit), Some(step)) = (element(start), element(limit), element(step)) else {
        let dims = vec![follower.symbols.fresh(placed)];
        return Ok(vec![Value::new(Some(dims), if placed { Flow::Placed } else { Flow::Constant })]);
    };
    if let (Some(start), Some(limit), Some(step)) = (start.value(), limit.value(), step.value()) {
        return numbers(follower, start, limit, step);
    }
    let long = follower.symbols.arithmetic(Arithmetic::Sub, &limit, &start);
    let size = long.filter(|_| step.is_one()).unwrap_or_else(|| follower.symbols.fresh(placed));
    let flow = match (placed, limit == Size::rows() && start.value() == Some(0) && step.is_one()) {
        (true, true) => Flow::Numbers(0),
        (true, false) => Flow::Placed,
        (false, _) => Flow::Constant,
    };
    Ok(vec![Value::new(Some(vec![size]), flow)])
}

fn numbers(follower: &mut Follower<'_>, start: i64, limit: i64, step: i64) -> Found<Vec<Value>> {
    let span = limit.checked_sub(start).filter(|_| step != 0 && step != i64::MIN);
    let span = span.ok_or_else(|| Fault::untraced("counts further than numbers go"))?;
    let count = if (span > 0) == (step > 0) { span.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
    let Some(count) = usize::try_from(count).ok().filter(|count| *count <= MOST_ELEMENTS) else {
        let size = i64::try_from(count).map_or_else(|_| follower.symbols.fresh(false), Size::known);
        return Ok(vec![Value::new(Some(vec![size]), Flow::Constant)]);
    };
    let all: Vec<i64> = (0..count as i64).map(|at| start + at * step).collect();
    Ok(vec![Value::of_numbers(&all, false)])
}

/// Ones where two dimensions meet.
pub(super) fn eye(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let dims = call.input(0)?.dims()?.to_vec();
    let placed = dims.iter().any(|size| follower.symbols.depends(size));
    Ok(vec![Value::new(Some(dims), if placed { Flow::Placed } else { Flow::Constant })])
}
