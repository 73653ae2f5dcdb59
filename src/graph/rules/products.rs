//! Products of matrices.

use super::elementwise::join;
use super::shaping::along;
use crate::graph::follow::{Call, Follower};
use crate::graph::size::Size;
use crate::graph::value::{Fault, Flow, Found, Value};

fn summed() -> Fault {
    Fault::neighbours("adds up over the rows of a batch")
}

/// The product of two of the inputs; all others are scales, the same for all rows.
pub(super) fn matmul(follower: &mut Follower<'_>, call: &Call<'_, '_>, a: usize, b: usize) -> Found<Vec<Value>> {
    let (left, right) = (call.input(a)?, call.input(b)?);
    scales(follower, call, &[a, b])?;
    // Weights that are packed, of which the shape says nothing.
    let packed = matches!(&*call.node.op_type, "MatMulNBits" | "MatMulBnb4");
    if packed {
        let wide = call.int("N").map(Size::known).unwrap_or_else(|| follower.symbols.fresh(false));
        let right = Value::new(Some(vec![follower.symbols.fresh(false), wide]), right.flow.clone());
        return Ok(vec![multiplied(follower, left, &right)?]);
    }
    Ok(vec![multiplied(follower, left, right)?])
}

fn scales(follower: &Follower<'_>, call: &Call<'_, '_>, but: &[usize]) -> Found<()> {
    let others = call.inputs.iter().enumerate().filter(|(at, _)| !but.contains(at));
    match others.filter_map(|(_, value)| value.as_ref()).all(|value| value.is_constant(&follower.symbols)) {
        true => Ok(()),
        false => Err(Fault::untraced("takes scales that are not constant")),
    }
}

/// `numpy.matmul`.
fn multiplied(follower: &mut Follower<'_>, left: &Value, right: &Value) -> Found<Value> {
    let (a, b) = (left.dims()?.to_vec(), right.dims()?.to_vec());
    if a.is_empty() || b.is_empty() {
        return Err(Fault::untraced("multiplies a number that is no matrix"));
    }
    // A vector is a matrix of one row or column, which the result has not.
    let (vector_a, vector_b) = (a.len() == 1, b.len() == 1);
    let wide = |value: &Value, dims: Vec<Size>, left: bool| match (dims.len(), left) {
        (1, true) => Value::new(Some(vec![Size::known(1), dims[0].clone()]), shift(&value.flow, 1)),
        (1, false) => Value::new(Some(vec![dims[0].clone(), Size::known(1)]), value.flow.clone()),
        _ => Value::new(Some(dims), value.flow.clone()),
    };
    let (a, b) = (wide(left, a, true), wide(right, b, false));
    let (da, db) = (a.dims()?.to_vec(), b.dims()?.to_vec());
    let (ra, rb) = (da.len(), db.len());
    if along(&a.flow) == Some(ra - 1) || along(&b.flow) == Some(rb - 2) {
        return Err(summed());
    }
    let grows = follower.symbols.depends(&da[ra - 1]) || follower.symbols.depends(&db[rb - 2]);
    follower.needs(&da[ra - 1], db[rb - 2].value());
    follower.needs(&db[rb - 2], da[ra - 1].value());
    // Each side in the shape of the result, with a one where the other has its word.
    let with = |dims: &[Size], last: [Size; 2]| [&dims[..dims.len() - 2], &last].concat();
    let left = Value::new(Some(with(&da, [da[ra - 2].clone(), Size::known(1)])), a.flow);
    let right = Value::new(Some(with(&db, [Size::known(1), db[rb - 1].clone()])), b.flow);
    let (dims, flow) = join(follower, &[&left, &right])?;
    let flow = match flow {
        Flow::Rows(_) if grows => return Err(summed()),
        Flow::Constant if grows => Flow::Placed,
        flow => flow,
    };
    let mut dims = dims.ok_or_else(|| Fault::untraced("multiplies matrices of unknown shape"))?;
    let (mut flow, rank) = (flow, dims.len());
    if vector_b {
        dims.remove(rank - 1);
    }
    if vector_a {
        dims.remove(rank - 2);
        flow = match flow {
            Flow::Rows(rows) if rows == rank - 1 => Flow::Rows(rows - 1),
            flow => flow,
        };
    }
    Ok(Value::new(Some(dims), flow))
}

fn shift(flow: &Flow, by: usize) -> Flow {
    super::shaping::shifted(flow, |axis| axis + by)
}

/// A matrix with its last two dimensions swapped.
fn turned(value: &Value) -> Found<Value> {
    let mut dims = value.dims()?.to_vec();
    let rank = dims.len();
    if rank < 2 {
        return Ok(value.clone());
    }
    dims.swap(rank - 1, rank - 2);
    let flow = super::shaping::shifted(&value.flow, |axis| match axis {
        axis if axis + 1 == rank => rank - 2,
        axis if axis + 2 == rank => rank - 1,
        axis => axis,
    });
    Ok(Value::new(Some(dims), flow))
}

pub(super) fn gemm(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let side = |at: usize, turns: &str| {
        let value = call.input(at)?;
        if call.int(turns).unwrap_or(0) != 0 { turned(value) } else { Ok(value.clone()) }
    };
    let result = multiplied(follower, &side(0, "transA")?, &side(1, "transB")?)?;
    let Some(bias) = call.given(2) else { return Ok(vec![result]) };
    let (dims, flow) = join(follower, &[&result, bias])?;
    Ok(vec![Value::new(dims, flow)])
}

/// ONNX Runtime's own, with both sides turned as its attributes say.
pub(super) fn fused(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    if call.int("transBatchA").unwrap_or(0) != 0 || call.int("transBatchB").unwrap_or(0) != 0 {
        return Err(Fault::untraced("turns its batches, which is not followed"));
    }
    let side = |at: usize, turns: &str| {
        let value = call.input(at)?;
        if call.int(turns).unwrap_or(0) != 0 { turned(value) } else { Ok(value.clone()) }
    };
    Ok(vec![multiplied(follower, &side(0, "transA")?, &side(1, "transB")?)?])
}

/// Sums over letters: rows must keep theirs.
pub(super) fn einsum(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let equation = call.text("equation").unwrap_or_default().replace(' ', "");
    let unclear = || Fault::untraced("has an equation that is not followed");
    let (sides, result) = equation.split_once("->").filter(|_| !equation.contains("...")).ok_or_else(unclear)?;
    let (mut rows, mut sizes) = (None, std::collections::BTreeMap::new());
    let (mut placed, mut grows) = (false, false);
    for (letters, value) in sides.split(',').zip(call.all()) {
        let (letters, dims) = (letters.as_bytes(), value.dims()?);
        if letters.len() != dims.len() || sides.split(',').count() != call.inputs.len() {
            return Err(unclear());
        }
        match &value.flow {
            Flow::Rows(axis) => match rows.replace(letters[*axis]) {
                Some(other) if other != letters[*axis] => {
                    return Err(Fault::neighbours("brings rows together with other rows"));
                }
                _ => {}
            },
            Flow::Constant => {}
            _ => placed = true,
        }
        for (letter, size) in letters.iter().zip(dims) {
            grows |= follower.symbols.depends(size) && !result.as_bytes().contains(letter);
            if !sizes.contains_key(letter) || size.value().is_none_or(|size| size > 1) {
                sizes.insert(*letter, size.clone());
            }
        }
    }
    let dims: Option<Vec<Size>> = result.bytes().map(|letter| sizes.get(&letter).cloned()).collect();
    let dims = dims.ok_or_else(unclear)?;
    let flow = match rows {
        Some(letter) => match result.bytes().filter(|own| *own == letter).count() {
            1 if !placed && !grows => Flow::Rows(result.bytes().position(|own| own == letter).unwrap_or(0)),
            _ => return Err(summed()),
        },
        None if placed || grows => Flow::Placed,
        None => Flow::Constant,
    };
    // A letter that stands for rows on one side must do so on the other, or be one there.
    let as_rows = |(letters, value): (&str, &Value)| {
        let at = rows.and_then(|rows| letters.bytes().position(|letter| letter == rows));
        let Some((at, dims)) = at.zip(value.dims.as_ref()) else { return true };
        along(&value.flow) == Some(at) || dims[at].is_one() || dims[at].counts_rows(&follower.symbols)
    };
    match sides.split(',').zip(call.all()).all(as_rows) {
        true => Ok(vec![Value::new(Some(dims), flow)]),
        false => Err(Fault::untraced("brings rows together with something of another size")),
    }
}
