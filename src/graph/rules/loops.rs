//! Operators that run a graph of their own again and again.

use super::control::either;
use crate::graph::follow::{Call, Follower};
use crate::graph::proto::GraphProto;
use crate::graph::size::Size;
use crate::graph::value::{Fault, Flow, Found, Value, absolute};

/// Followings of a body before it is given up: what goes round is changed once by what joins it, if at all.
const FOLLOWINGS: usize = 4;

/// A body that takes tensors apart along a dimension and puts others together.
pub(super) fn scan<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    if call.version < 9 {
        return Err(Fault::untraced("is of a version that is not followed"));
    }
    let inputs: Vec<&Value> = (0..call.inputs.len()).map(|at| call.input(at)).collect::<Found<_>>()?;
    let taken = call.int("num_scan_inputs").and_then(|n| usize::try_from(n).ok());
    let states = taken.and_then(|taken| inputs.len().checked_sub(taken));
    let states = states.ok_or_else(|| Fault::untraced("lacks an input"))?;
    let axes = call.ints("scan_input_axes").unwrap_or_default();
    let mut slices = Vec::new();
    let mut trips = follower.symbols.fresh(false);
    for (at, value) in inputs[states..].iter().enumerate() {
        let axis = value.axis(axes.get(at).copied().unwrap_or(0))?;
        if value.rows() == Some(axis) {
            return Err(Fault::neighbours("goes from row to row"));
        }
        let mut dims = value.dims()?.to_vec();
        trips = dims.remove(axis);
        let flow = match value.flow {
            Flow::Rows(rows) => Flow::Rows(rows - usize::from(axis < rows)),
            Flow::Constant => Flow::Constant,
            _ => return Err(Fault::untraced("takes apart what the graph does not show")),
        };
        slices.push(Value::new(Some(dims), flow));
    }
    let first = inputs[..states].iter().copied().cloned().collect();
    let made = settled(follower, call, Vec::new(), first, &slices, 0)?;
    let axes = call.ints("scan_output_axes").unwrap_or_default();
    let whole = |(at, value): (usize, Value)| match at.checked_sub(states) {
        Some(at) => stacked(value, axes.get(at).copied().unwrap_or(0), &trips),
        None => Ok(value),
    };
    made.into_iter().enumerate().map(whole).collect()
}

/// A body that runs as often as a number says, and while its own condition holds.
pub(super) fn repeated<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    let says = |value: Option<&Value>| match value.map(|value| &value.flow) {
        None | Some(Flow::Constant) => Ok(()),
        Some(Flow::Placed) => Err(Fault::neighbours("runs as often as there are rows")),
        Some(_) => Err(Fault::sizes("repeats its body as values say")),
    };
    says(call.given(0))?;
    says(call.given(1))?;
    let plain = || Value::new(Some(Vec::new()), Flow::Constant);
    let first: Vec<Value> = call.inputs.iter().skip(2).flatten().cloned().collect();
    let states = first.len();
    let mut made = settled(follower, call, vec![plain(), plain()], first, &[], 1)?;
    if !matches!(made[0].flow, Flow::Broken(_)) {
        says(Some(&made[0]))?;
    }
    made.remove(0);
    let trips = follower.symbols.fresh(false);
    let whole = |(at, value)| if at < states { Ok(value) } else { stacked(value, 0, &trips) };
    made.into_iter().enumerate().map(whole).collect()
}

/// What a body makes once what goes round in it is the same kind of thing before and after. It is given `before`, the
/// states and `slices`; the states are among what it makes from `skip` on.
fn settled<'g>(
    follower: &mut Follower<'g>,
    call: &Call<'_, 'g>,
    before: Vec<Value>,
    first: Vec<Value>,
    slices: &[Value],
    skip: usize,
) -> Found<Vec<Value>> {
    let body = call.attribute("body").and_then(|attribute| attribute.g.as_deref());
    let body: &'g GraphProto = body.ok_or_else(|| Fault::untraced("lacks its body"))?;
    let mut states: Vec<Value> = first.into_iter().map(|state| Value::new(state.dims, state.flow)).collect();
    for _ in 0..FOLLOWINGS {
        let mut scope = call.scope.inner();
        let given = before.iter().chain(&states).chain(slices).cloned();
        scope.bind(body.input.iter().map(|input| &*input.name).zip(given));
        follower.body(body, &mut scope);
        let made: Option<Vec<Value>> = body.output.iter().map(|output| scope.get(&output.name).cloned()).collect();
        let made = made.ok_or_else(|| Fault::untraced("lacks an output of its body"))?;
        if let Some(broken) = made.iter().find(|value| matches!(value.flow, Flow::Broken(_))) {
            return Ok(made.iter().map(|_| broken.clone()).collect());
        }
        let mut next = Vec::new();
        for (state, made) in states.iter().zip(made.iter().skip(skip)) {
            if state.dims()? != made.dims()? {
                return Err(Fault::untraced("changes the shape of what goes round in it"));
            }
            next.push(either(follower, state.clone(), Value::new(made.dims.clone(), made.flow.clone()))?);
        }
        if next.len() == states.len() && next.iter().zip(&states).all(|(next, state)| next.flow == state.flow) {
            let state = |at: usize| at.checked_sub(skip).and_then(|at| states.get(at)).cloned();
            return Ok(made.into_iter().enumerate().map(|(at, value)| state(at).unwrap_or(value)).collect());
        }
        states = next;
    }
    Err(Fault::untraced("does not come to rest"))
}

/// One of these for each time that the body ran.
fn stacked(value: Value, axis: i64, trips: &Size) -> Found<Value> {
    if matches!(value.flow, Flow::Broken(_)) {
        return Ok(value);
    }
    let mut dims = value.dims()?.to_vec();
    let axis = absolute(axis, dims.len() + 1)?;
    dims.insert(axis, trips.clone());
    let flow = match value.flow {
        Flow::Rows(rows) => Flow::Rows(rows + usize::from(axis <= rows)),
        Flow::Constant => Flow::Constant,
        _ => return Err(Fault::untraced("puts together what the graph does not show")),
    };
    Ok(Value::new(Some(dims), flow))
}
