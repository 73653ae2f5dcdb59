//! Operators that take one element at a time, with broadcasting.

use crate::graph::follow::{Call, Follower};
use crate::graph::size::{Arithmetic, Size, Symbols};
use crate::graph::value::{Fault, Flow, Found, MOST_ELEMENTS, Value};

/// One input, element by element.
pub(super) fn unary(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let keeps = matches!(&*call.node.op_type, "Identity" | "Cast" | "CastLike");
    let flow = match input.flow {
        Flow::Numbers(_) | Flow::Indexed(_) if !keeps => Flow::Placed,
        ref flow => flow.clone(),
    };
    let negative = |size: &Size| Size::known(-1).times(size);
    let content = input.content.as_ref().and_then(|all| {
        let each: Vec<Option<Size>> = match &*call.node.op_type {
            // Of whole numbers; truths stay 0 and 1.
            "Identity" | "Cast" | "CastLike" | "Floor" | "Ceil" | "Round" => all.clone(),
            "Neg" => all.iter().map(|size| size.as_ref().and_then(negative)).collect(),
            "Not" => all.iter().map(|size| truth(size.as_ref()?.value()? == 0)).collect(),
            _ => return None,
        };
        Some(each)
    });
    let origin = input.origin.filter(|_| keeps);
    Ok(vec![known(Value { dims: input.dims.clone(), flow, content, origin }, &follower.symbols)])
}

/// The first input, element by element; those from `others` on must be the same for all rows.
pub(super) fn first(follower: &Follower<'_>, call: &Call<'_, '_>, others: usize) -> Found<Vec<Value>> {
    let constant = |value: &Value| value.is_constant(&follower.symbols);
    match call.inputs.iter().skip(others).flatten().all(constant) || call.node.op_type == "CastLike" {
        true => unary(follower, call),
        false => Err(Fault::neighbours("takes settings that come from rows")),
    }
}

/// A value and two bounds.
pub(super) fn clip(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    several(follower, call)
}

pub(super) fn dropout(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let trains = call.given(2).is_some_and(|mode| mode.numbers().is_none_or(|mode| mode != [0]));
    if trains || call.int("is_test") == Some(0) {
        return Err(Fault::neighbours("is random"));
    }
    let input = unary(follower, call)?.remove(0);
    let mask = Value { content: None, origin: None, ..input.clone() };
    Ok(vec![input, mask])
}

/// A value, its scale and its zero point.
pub(super) fn quantized(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let constant = |value: &Value| value.is_constant(&follower.symbols);
    match call.inputs.iter().skip(1).flatten().all(constant) {
        true => {
            let input = call.input(0)?;
            Ok(vec![Value::new(input.dims.clone(), moved(&input.flow))])
        }
        false => Err(Fault::neighbours("takes a scale that comes from rows")),
    }
}

/// Two of the inputs with broadcasting, where the others are the same for all rows.
pub(super) fn pair(follower: &mut Follower<'_>, call: &Call<'_, '_>, a: usize, b: usize) -> Found<Vec<Value>> {
    let others = call.inputs.iter().enumerate().filter(|(at, _)| *at != a && *at != b);
    if !others.filter_map(|(_, value)| value.as_ref()).all(|value| value.is_constant(&follower.symbols)) {
        return Err(Fault::neighbours("takes a scale that comes from rows"));
    }
    let (dims, flow) = join(follower, &[call.input(a)?, call.input(b)?])?;
    Ok(vec![Value::new(dims, flow)])
}

/// All inputs, with broadcasting.
pub(super) fn several(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let inputs: Vec<&Value> = call.all().collect();
    let (dims, flow) = join(follower, &inputs)?;
    let content = content(&mut follower.symbols, &call.node.op_type, &inputs);
    Ok(vec![known(Value { dims, flow, content, origin: None }, &follower.symbols)])
}

/// A value whose flow follows from its elements where all of them are known.
fn known(value: Value, symbols: &Symbols) -> Value {
    match (&value.content, value.flow == Flow::Placed) {
        (Some(content), true) if content.iter().all(|size| size.as_ref().is_some_and(|n| !symbols.depends(n))) => {
            value.with_flow(Flow::Constant)
        }
        _ => value,
    }
}

/// The numbers of rows are numbers of rows no more once they were computed with.
fn moved(flow: &Flow) -> Flow {
    match flow {
        Flow::Numbers(_) | Flow::Indexed(_) => Flow::Placed,
        flow => flow.clone(),
    }
}

/// The sizes and the flow of what comes of several values by broadcasting.
pub(super) fn join(follower: &mut Follower<'_>, values: &[&Value]) -> Found<(Option<Vec<Size>>, Flow)> {
    if values.iter().any(|value| value.dims.is_none()) {
        let flows = || values.iter().map(|value| moved(&value.flow));
        return match flows().find(|flow| !matches!(flow, Flow::Constant | Flow::Placed)) {
            Some(_) => Err(Fault::untraced("takes a tensor whose shape the graph does not show")),
            None => Ok((None, flows().find(|flow| *flow == Flow::Placed).unwrap_or(Flow::Constant))),
        };
    }
    let shapes: Vec<&[Size]> = values.iter().filter_map(|value| value.dims.as_deref()).collect();
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let (mut rows, mut placed) = (None, false);
    for (value, shape) in values.iter().zip(&shapes) {
        match moved(&value.flow) {
            Flow::Rows(axis) => {
                let own = (axis + rank - shape.len(), &shape[axis]);
                if *rows.get_or_insert(own) != own {
                    return Err(Fault::neighbours("brings rows together with other rows"));
                }
            }
            Flow::Placed => placed = true,
            _ => {}
        }
    }
    let dims: Vec<Size> = (0..rank).map(|axis| broadcast(follower, &shapes, rank, axis)).collect();
    let flow = match (rows, placed) {
        (Some(_), true) => return Err(Fault::neighbours("takes the number of rows or their order into account")),
        (Some((axis, size)), false) => {
            let fits = |shape: &&[Size]| match (axis + shape.len()).checked_sub(rank) {
                Some(own) => shape[own] == *size || shape[own].is_one(),
                None => true,
            };
            match shapes.iter().all(fits) {
                true => Flow::Rows(axis),
                false => return Err(Fault::untraced("brings rows together with something of another size")),
            }
        }
        (None, true) => Flow::Placed,
        (None, false) => Flow::Constant,
    };
    Ok((Some(dims), flow))
}

/// The size of one dimension after broadcasting.
fn broadcast(follower: &mut Follower<'_>, shapes: &[&[Size]], rank: usize, axis: usize) -> Size {
    let own = |shape: &&[Size]| (axis + shape.len()).checked_sub(rank).map(|at| shape[at].clone());
    let sizes: Vec<Size> = shapes.iter().filter_map(own).filter(|size| !size.is_one()).collect();
    let Some(one) = sizes.first() else { return Size::known(1) };
    if sizes.iter().all(|size| size == one) {
        return one.clone();
    }
    // One that is not one is what all others are that are not.
    let fixed = sizes.iter().find(|size| size.value().is_some()).cloned();
    let depends = sizes.iter().any(|size| follower.symbols.depends(size));
    match fixed {
        Some(fixed) if !depends => {
            sizes.iter().for_each(|size| follower.needs(size, fixed.value()));
            fixed
        }
        _ => follower.symbols.fresh(depends),
    }
}

fn truth(is: bool) -> Option<Size> {
    Some(Size::known(i64::from(is)))
}

/// The elements of what comes of small tensors of whole numbers; `None` where they are not followed.
fn content(symbols: &mut Symbols, operator: &str, inputs: &[&Value]) -> Option<Vec<Option<Size>>> {
    let all: Vec<&Vec<Option<Size>>> = inputs.iter().map(|value| value.content.as_ref()).collect::<Option<_>>()?;
    let longest = all.iter().map(|all| all.len()).max()?;
    // Vectors and numbers alone: what is broadcast is one element.
    let flat = |value: &&Value| value.dims.as_ref().is_some_and(|dims| dims.len() <= 1);
    let same = all.iter().all(|all| all.len() == longest || all.len() == 1);
    let shaped = inputs.iter().all(|value| value.dims == inputs[0].dims);
    if !same || longest > MOST_ELEMENTS || !(inputs.iter().all(flat) || shaped) {
        return None;
    }
    let element = |at: usize| -> Vec<Option<Size>> {
        all.iter().map(|all| if all.len() == 1 { all[0].clone() } else { all[at].clone() }).collect()
    };
    Some((0..longest).map(|at| computed(symbols, operator, &element(at))).collect())
}

fn computed(symbols: &mut Symbols, operator: &str, elements: &[Option<Size>]) -> Option<Size> {
    let arithmetic = match operator {
        "Add" | "Sum" => Arithmetic::Add,
        "Sub" => Arithmetic::Sub,
        "Mul" => Arithmetic::Mul,
        "Div" => Arithmetic::Div,
        "Mod" => Arithmetic::Mod,
        "Min" => Arithmetic::Min,
        "Max" => Arithmetic::Max,
        _ => return compared(symbols, operator, elements),
    };
    let mut elements = elements.iter();
    let first = elements.next()?.clone()?;
    elements.try_fold(first, |so_far, next| symbols.arithmetic(arithmetic, &so_far, next.as_ref()?))
}

fn compared(symbols: &Symbols, operator: &str, elements: &[Option<Size>]) -> Option<Size> {
    if let ("Where", [condition, yes, no]) = (operator, elements) {
        return match condition.as_ref().and_then(Size::value) {
            Some(0) => no.clone(),
            Some(_) => yes.clone(),
            None => yes.clone().filter(|yes| no.as_ref() == Some(yes)),
        };
    }
    let [Some(a), Some(b)] = elements else { return None };
    if operator == "Equal" {
        return truth(symbols.equal(a, b)?);
    }
    let (a, b) = (a.value()?, b.value()?);
    truth(match operator {
        "Greater" => a > b,
        "GreaterOrEqual" => a >= b,
        "Less" => a < b,
        "LessOrEqual" => a <= b,
        "And" => a != 0 && b != 0,
        "Or" => a != 0 || b != 0,
        "Xor" => (a != 0) != (b != 0),
        _ => return None,
    })
}
