//! Layers of networks that take one sample after the other: the first dimension is theirs.

use crate::graph::follow::{Call, Follower};
use crate::graph::size::{Size, product};
use crate::graph::value::{Fault, Flow, Found, Value};

/// The size of the first dimension of all that holds rows, which must be the first of each; `None` where nothing does.
/// Everything else is the same for all rows.
fn samples(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Option<Size>> {
    let mut count: Option<Size> = None;
    for value in call.all() {
        match value.flow {
            Flow::Rows(0) => {
                let own = value.dims()?[0].clone();
                if count.get_or_insert_with(|| own.clone()) != &own {
                    return Err(Fault::untraced("takes different numbers of rows"));
                }
            }
            Flow::Rows(_) => return Err(Fault::neighbours("takes the rows of a batch for something else")),
            _ => {}
        }
    }
    let Some(rows) = count else { return Ok(None) };
    let fits = |value: &Value| {
        let first = value.dims.as_ref().and_then(|dims| dims.first());
        let own = value.flow == Flow::Constant && first == Some(&rows);
        own || value.flow == Flow::Rows(0) || value.is_constant(&follower.symbols)
    };
    match call.all().all(fits) {
        true => Ok(Some(rows)),
        false => Err(Fault::neighbours("takes the number of rows or their order into account")),
    }
}

/// An operator that keeps samples apart.
pub(super) fn sample(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let rows = samples(follower, call)?.ok_or_else(|| Fault::untraced("is not followed without rows"))?;
    let input = call.input(0)?;
    let dims = input.dims()?.to_vec();
    let operator = &*call.node.op_type;
    // Of a single dimension the elements are no samples.
    let least = if matches!(operator, "AffineGrid" | "EmbedLayerNormalization") { 1 } else { 2 };
    if input.flow != Flow::Rows(0) || dims.len() < least || operator == "CenterCropPad" {
        return Err(Fault::untraced("takes rows in a form that is not followed"));
    }
    let rest = match operator {
        "InstanceNormalization" | "GroupNormalization" | "LRN" | "RotaryEmbedding" => dims[1..].to_vec(),
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => {
            [&dims[1..2], &vec![Size::known(1); dims.len() - 2]].concat()
        }
        "AveragePool" | "LpPool" | "MaxPool" => {
            let kernel = call.ints("kernel_shape").unwrap_or_default().to_vec();
            [dims[1..2].to_vec(), windows(follower, call, &dims[2..], &kernel)].concat()
        }
        "AffineGrid" => fresh(follower, call.input(1)?.dims()?.first().and_then(Size::value).unwrap_or(4) as usize - 1),
        "EmbedLayerNormalization" => [dims[1..2].to_vec(), fresh(follower, 1)].concat(),
        "STFT" => fresh(follower, 3),
        "Col2Im" => {
            fresh(follower, call.input(1)?.dims()?.first().and_then(Size::value).unwrap_or(2).clamp(1, 8) as usize + 1)
        }
        _ => fresh(follower, dims.len() - 1),
    };
    let first = Value::new(Some([vec![rows.clone()], rest].concat()), Flow::Rows(0));
    Ok(match operator {
        "EmbedLayerNormalization" => {
            let mask = Value::new(Some(vec![rows]), Flow::Rows(0));
            vec![first.clone(), mask, first]
        }
        // The places of maxima are counted over the whole batch.
        _ => vec![first],
    })
}

fn fresh(follower: &mut Follower<'_>, count: usize) -> Vec<Size> {
    (0..count).map(|_| follower.symbols.fresh(false)).collect()
}

/// The sizes that windows of `kernel` leave of the sizes of a picture.
fn windows(follower: &mut Follower<'_>, call: &Call<'_, '_>, sizes: &[Size], kernel: &[i64]) -> Vec<Size> {
    let setting = |name: &str, at: usize, usual: i64| match call.ints(name) {
        Some(all) => all.get(at).copied().unwrap_or(usual),
        None => usual,
    };
    let automatic = call.text("auto_pad").unwrap_or("NOTSET");
    let up = call.int("ceil_mode").unwrap_or(0) != 0;
    let left = |at: usize| -> Option<i64> {
        let (size, kernel) = (sizes[at].value()?, *kernel.get(at)?);
        let (step, apart) = (setting("strides", at, 1), setting("dilations", at, 1));
        let wide = kernel.checked_sub(1)?.checked_mul(apart)?.checked_add(1)?;
        let pads = match automatic {
            "NOTSET" => setting("pads", at, 0).checked_add(setting("pads", at + sizes.len(), 0))?,
            "VALID" => 0,
            _ => return size.checked_add(step)?.checked_sub(1)?.checked_div(step),
        };
        let span = size.checked_add(pads)?.checked_sub(wide)?;
        let span = if up { span.checked_add(step)?.checked_sub(1)? } else { span };
        span.checked_div(step)?.checked_add(1)
    };
    let found: Vec<Option<i64>> = (0..sizes.len()).map(left).collect();
    found.into_iter().map(|size| size.map_or_else(|| follower.symbols.fresh(false), Size::known)).collect()
}

/// A convolution: what comes after its input is weights, but for the offsets and masks of a deformable one.
pub(super) fn convolution(follower: &mut Follower<'_>, call: &Call<'_, '_>, weights: usize) -> Found<Vec<Value>> {
    let kernel = call.input(weights)?;
    if !kernel.is_constant(&follower.symbols) {
        return Err(Fault::neighbours("takes weights that come from rows"));
    }
    let rows = samples(follower, call)?.ok_or_else(|| Fault::untraced("is not followed without rows"))?;
    let input = call.input(0)?;
    let dims = input.dims()?.to_vec();
    if input.flow != Flow::Rows(0) || dims.len() < 3 {
        return Err(Fault::untraced("takes rows in a form that is not followed"));
    }
    let group = call.int("group").unwrap_or(1);
    let own = |axis: usize| kernel.dims.as_ref().and_then(|dims| dims.get(axis)?.value());
    let grouped = own(1).and_then(|count| count.checked_mul(group));
    let channels = match &*call.node.op_type {
        "ConvTranspose" => grouped,
        "NhwcConv" | "NhwcFusedConv" => None,
        _ => {
            follower.needs(&dims[1], grouped);
            own(0)
        }
    };
    let plain = matches!(&*call.node.op_type, "Conv" | "ConvInteger" | "FusedConv" | "QLinearConv");
    let wide: Option<Vec<i64>> = kernel.dims.as_ref().and_then(|dims| dims.iter().skip(2).map(Size::value).collect());
    let mut made = vec![rows, channels.map_or_else(|| follower.symbols.fresh(false), Size::known)];
    made.extend(match wide.filter(|_| plain) {
        Some(wide) => windows(follower, call, &dims[2..], &wide),
        None => fresh(follower, dims.len() - 2),
    });
    Ok(vec![Value::new(Some(made), Flow::Rows(0))])
}

pub(super) fn batch_normalization(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let learns = call.int("training_mode").unwrap_or(0) != 0 || (call.version < 7 && call.int("is_test") != Some(1));
    if learns {
        return Err(Fault::neighbours("takes the mean of the whole batch"));
    }
    let input = call.input(0)?;
    let constant = |value: &Value| value.is_constant(&follower.symbols);
    if !call.inputs.iter().skip(1).flatten().all(constant) || input.rows() == Some(1) {
        return Err(Fault::untraced("takes rows in a form that is not followed"));
    }
    Ok(vec![Value::new(input.dims.clone(), input.flow.clone())])
}

/// `LSTM`, `GRU` and `RNN`.
pub(super) fn recurrent(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?.to_vec();
    let batch_first = call.int("layout").unwrap_or(0) != 0;
    let (samples, steps) = if batch_first { (0, 1) } else { (1, 0) };
    match input.flow {
        Flow::Rows(axis) if axis == steps => return Err(Fault::neighbours("goes from row to row of a batch")),
        Flow::Rows(axis) if axis == samples && dims.len() == 3 => {}
        _ => return Err(Fault::untraced("takes rows in a form that is not followed")),
    }
    let rows = dims[samples].clone();
    for (at, value) in call.inputs.iter().enumerate().skip(1) {
        let Some(value) = value else { continue };
        // Lengths, and the states to begin with.
        let axis = match at {
            4 => Some(0),
            5 | 6 => Some(samples),
            _ => None,
        };
        let as_long = axis.and_then(|axis| value.dims.as_ref()?.get(axis)).is_some_and(|size| *size == rows);
        let own = as_long && (value.flow == Flow::Constant || value.rows() == axis);
        if !own && !value.is_constant(&follower.symbols) {
            return Err(Fault::untraced("takes states whose rows are not followed"));
        }
    }
    let of_weights = |at: usize, axis: usize| call.given(at).and_then(|value| value.dims.as_ref()?.get(axis).cloned());
    let directions = of_weights(1, 0).unwrap_or_else(|| follower.symbols.fresh(false));
    let hidden = call.int("hidden_size").map(Size::known).or_else(|| of_weights(2, 2));
    let hidden = hidden.unwrap_or_else(|| follower.symbols.fresh(false));
    let steps = dims[steps].clone();
    let (all, last, at) = match batch_first {
        true => (vec![rows.clone(), steps, directions.clone(), hidden.clone()], vec![rows, directions, hidden], (0, 0)),
        false => {
            (vec![steps, directions.clone(), rows.clone(), hidden.clone()], vec![directions, rows, hidden], (2, 1))
        }
    };
    let last = Value::new(Some(last), Flow::Rows(at.1));
    Ok(vec![Value::new(Some(all), Flow::Rows(at.0)), last.clone(), last])
}

pub(super) fn reverse(follower: &Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (input, lengths) = (call.input(0)?, call.input(1)?);
    let rows = input.axis(call.int("batch_axis").unwrap_or(1))?;
    let own = lengths.flow == Flow::Rows(0) || lengths.is_constant(&follower.symbols) || lengths.flow == Flow::Constant;
    match input.flow {
        Flow::Rows(axis) if axis == rows && own => Ok(vec![Value::new(input.dims.clone(), input.flow.clone())]),
        _ => Err(Fault::neighbours("turns the order of rows around")),
    }
}

/// A Fourier transform along one dimension, the last of which holds complex numbers.
pub(super) fn fourier(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let mut dims = input.dims()?.to_vec();
    let axis = match (call.version >= 20, call.given(2).map(Value::numbers)) {
        (false, _) => call.int("axis").unwrap_or(1),
        (true, None) => -2,
        (true, Some(axis)) => {
            let axis = axis.and_then(|axis| axis.first().copied());
            axis.ok_or_else(|| Fault::untraced("takes a dimension that the graph does not show"))?
        }
    };
    let (axis, last) = (input.axis(axis)?, dims.len().saturating_sub(1));
    if input.rows().is_some_and(|rows| rows == axis || rows == last) {
        return Err(Fault::neighbours("transforms along the rows of a batch"));
    }
    if product(&dims[axis..=axis]).is_some_and(|size| follower.symbols.depends(&size)) {
        return Err(Fault::neighbours("takes the number of rows into account"));
    }
    dims[axis] = follower.symbols.fresh(false);
    dims[last] = follower.symbols.fresh(false);
    Ok(vec![Value::new(Some(dims), input.flow.clone())])
}
