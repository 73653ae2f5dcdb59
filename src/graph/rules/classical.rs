//! `ai.onnx.ml`: trees, linear models, and what prepares their features.

use super::{elementwise, shaping};
use crate::graph::follow::{Call, Follower};
use crate::graph::size::Size;
use crate::graph::value::{Fault, Flow, Found, Value};

#[rustfmt::skip]
pub(super) fn apply<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    match &*call.node.op_type {
        "Binarizer" | "CategoryMapper" | "LabelEncoder" => elementwise::unary(follower, call),
        // Of a vector, the elements are the features of one sample.
        "Imputer" | "Scaler" | "Normalizer" => samples(follower, call, |dims| dims.to_vec()),
        "OneHotEncoder" => wider(follower, call),
        "LinearRegressor" | "SVMRegressor" | "TreeEnsembleRegressor" | "TreeEnsemble" => {
            let scores = follower.symbols.fresh(false);
            samples(follower, call, |dims| vec![dims[0].clone(), scores])
        }
        "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => {
            let classes = follower.symbols.fresh(false);
            let labels = samples(follower, call, |dims| vec![dims[0].clone()])?;
            let scores = samples(follower, call, |dims| vec![dims[0].clone(), classes])?;
            Ok([labels, scores].concat())
        }
        "ZipMap" => samples(follower, call, |dims| dims.to_vec()),
        "FeatureVectorizer" => features(follower, call),
        "ArrayFeatureExtractor" => extract(follower, call),
        _ => Err(Fault::untraced("is an operator that is not followed")),
    }
}

/// Rows of a matrix, one sample each.
fn samples(
    follower: &Follower<'_>,
    call: &Call<'_, '_>,
    sizes: impl FnOnce(&[Size]) -> Vec<Size>,
) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let dims = input.dims()?;
    let flow = match input.flow {
        Flow::Rows(0) if dims.len() >= 2 => Flow::Rows(0),
        Flow::Constant if input.is_constant(&follower.symbols) && !dims.is_empty() => Flow::Constant,
        _ => return Err(Fault::neighbours("takes all rows of a batch for one sample")),
    };
    Ok(vec![Value::new(Some(sizes(dims)), flow)])
}

/// A dimension more, at the end.
fn wider(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let input = call.input(0)?;
    let mut dims = input.dims()?.to_vec();
    dims.push(follower.symbols.fresh(false));
    let flow = match input.flow {
        Flow::Rows(axis) => Flow::Rows(axis),
        Flow::Constant if input.is_constant(&follower.symbols) => Flow::Constant,
        _ => Flow::Placed,
    };
    Ok(vec![Value::new(Some(dims), flow)])
}

/// Features side by side.
fn features(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let wide = follower.symbols.fresh(false);
    let first = call.input(0)?.dims()?.first().cloned();
    let own = |value: &Value| value.rows() == Some(0) && value.dims.as_ref().is_some_and(|dims| dims.len() == 2);
    match first
        .filter(|first| call.all().all(|v| own(v) && v.dims.as_ref().and_then(|dims| dims.first()) == Some(first)))
    {
        Some(rows) => Ok(vec![Value::new(Some(vec![rows, wide]), Flow::Rows(0))]),
        None => Err(Fault::neighbours("takes all rows of a batch for one sample")),
    }
}

/// Some of the last dimension.
fn extract(follower: &mut Follower<'_>, call: &Call<'_, '_>) -> Found<Vec<Value>> {
    let (input, chosen) = (call.input(0)?, call.input(1)?);
    let mut dims = input.dims()?.to_vec();
    let last = dims.len().saturating_sub(1);
    if !chosen.is_constant(&follower.symbols) || shaping::along(&input.flow) == Some(last) || dims.len() < 2 {
        return Err(Fault::neighbours("takes some rows of a batch by their number"));
    }
    dims[last] = follower.symbols.fresh(false);
    Ok(vec![Value::new(Some(dims), input.flow.clone())])
}
