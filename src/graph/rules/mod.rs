//! What each operator does with the rows of a batch.
//!
//! Decides by ONNX's own descriptions of its operators, and ONNX Runtime's of those that it adds. An operator that is
//! not listed is not followed.

mod classical;
mod control;
mod elementwise;
mod gathering;
mod layers;
mod loops;
mod making;
mod products;
mod reducing;
mod shaping;

use super::follow::{Call, Follower};
use super::value::{Fault, Found, Value};
pub(super) use control::captured;

/// What an operator makes of what it is given: a value for each output, from the first on.
pub(super) fn apply<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    match &*call.node.domain {
        "" | "ai.onnx" => onnx(follower, call),
        "ai.onnx.ml" => classical::apply(follower, call),
        "com.microsoft" => microsoft(follower, call),
        domain => Err(Fault::untraced(format!("is an operator of `{domain}`, which is not known"))),
    }
}

#[rustfmt::skip]
fn onnx<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    match &*call.node.op_type {
        "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Cast" | "Ceil" | "Celu" | "Cos"
        | "Cosh" | "Elu" | "Erf" | "Exp" | "Floor" | "Gelu" | "HardSigmoid" | "HardSwish" | "Identity" | "IsInf" | "IsNaN"
        | "LeakyRelu" | "Log" | "Mish" | "Neg" | "Not" | "Reciprocal" | "RegexFullMatch" | "Relu" | "Round" | "Selu"
        | "Shrink" | "Sigmoid" | "Sign" | "Sin" | "Sinh" | "Softplus" | "Softsign" | "Sqrt" | "Swish" | "Tan" | "Tanh"
        | "ThresholdedRelu" => elementwise::unary(follower, call),
        "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Equal" | "Greater"
        | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max" | "Mean" | "Min" | "Mod" | "Mul" | "Or" | "PRelu" | "Pow"
        | "StringConcat" | "Sub" | "Sum" | "Where" | "Xor" => elementwise::several(follower, call),
        "CastLike" => elementwise::first(follower, call, 1),
        "Clip" => elementwise::clip(follower, call),
        "Dropout" => elementwise::dropout(follower, call),
        "QuantizeLinear" | "DequantizeLinear" => elementwise::quantized(follower, call),
        "Concat" => shaping::concat(follower, call),
        "DepthToSpace" | "SpaceToDepth" => layers::sample(follower, call),
        "Expand" => shaping::expand(follower, call),
        "Flatten" => shaping::flatten(follower, call),
        "Pad" => shaping::pad(follower, call),
        "Reshape" => shaping::reshape(follower, call),
        "Resize" | "Upsample" => shaping::resize(follower, call),
        "Shape" => shaping::shape(follower, call),
        "Size" => shaping::size(follower, call),
        "Slice" => shaping::slice(follower, call),
        "Split" => shaping::split(follower, call),
        "Squeeze" => shaping::squeeze(follower, call),
        "Tile" => shaping::tile(follower, call),
        "Transpose" => shaping::transpose(call),
        "Unsqueeze" => shaping::unsqueeze(call),
        "Compress" => gathering::compress(follower, call),
        "Gather" => gathering::gather(follower, call),
        "GatherElements" | "ScatterElements" | "Scatter" => gathering::elements(follower, call),
        "GatherND" => gathering::gather_nd(follower, call),
        "ScatterND" => gathering::scatter_nd(follower, call),
        "OneHot" => gathering::one_hot(follower, call),
        _ => computing(follower, call),
    }
}

/// Those of ONNX's operators that look at more than one element at a time.
#[rustfmt::skip]
fn computing<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    match &*call.node.op_type {
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean" | "ReduceMin"
        | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => reducing::reduce(follower, call),
        "ArgMax" | "ArgMin" => reducing::arg(follower, call),
        "CumSum" | "CumProd" => reducing::cumulate(follower, call),
        "Softmax" | "LogSoftmax" | "Hardmax" => reducing::softmax(follower, call),
        "LpNormalization" => reducing::along(follower, call, -1),
        "MeanVarianceNormalization" => reducing::mean_variance(follower, call),
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => reducing::layer(follower, call),
        "TopK" => reducing::top(follower, call),
        "Trilu" | "Det" => reducing::last_two(follower, call),
        "MatMul" | "MatMulInteger" => products::matmul(follower, call, 0, 1),
        "QLinearMatMul" => products::matmul(follower, call, 0, 3),
        "Gemm" => products::gemm(follower, call),
        "Einsum" => products::einsum(follower, call),
        "Conv" | "ConvInteger" | "ConvTranspose" | "DeformConv" => layers::convolution(follower, call, 1),
        "QLinearConv" => layers::convolution(follower, call, 3),
        "BatchNormalization" => layers::batch_normalization(follower, call),
        "AveragePool" | "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" | "GroupNormalization"
        | "InstanceNormalization" | "LRN" | "LpPool" | "MaxPool" | "GridSample" | "AffineGrid" | "STFT" | "Attention"
        | "RotaryEmbedding" | "Col2Im" | "CenterCropPad" => layers::sample(follower, call),
        "LSTM" | "GRU" | "RNN" => layers::recurrent(follower, call),
        "ReverseSequence" => layers::reverse(follower, call),
        "DFT" => layers::fourier(follower, call),
        "Constant" => making::constant(call),
        "ConstantOfShape" => making::of_shape(follower, call),
        "Range" => making::range(follower, call),
        "EyeLike" => making::eye(follower, call),
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Bernoulli" | "Multinomial" =>
            Err(Fault::neighbours("is random")),
        "DynamicQuantizeLinear" => Err(Fault::neighbours("has one scale for all rows of a batch")),
        "NonMaxSuppression" | "NonZero" | "Unique" | "StringNormalizer" | "StringSplit" =>
            Err(Fault::sizes("makes as many rows as it finds, over all rows of a batch")),
        "If" => control::branch(follower, call),
        "Loop" => loops::repeated(follower, call),
        "Scan" => loops::scan(follower, call),
        "SequenceMap" => Err(Fault::sizes("repeats its body as values say")),
        "TfIdfVectorizer" => layers::sample(follower, call),
        _ => Err(Fault::untraced("is an operator that is not followed")),
    }
}

#[rustfmt::skip]
fn microsoft<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    match &*call.node.op_type {
        "Gelu" | "QuickGelu" => elementwise::unary(follower, call),
        "FastGelu" | "BiasGelu" | "BiasAdd" | "BiasSplitGelu" => elementwise::several(follower, call),
        "LayerNormalization" | "SimplifiedLayerNormalization" => reducing::layer(follower, call),
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => reducing::skip(follower, call),
        "FusedMatMul" | "TransposeMatMul" => products::fused(follower, call),
        "MatMulIntegerToFloat" | "MatMulNBits" | "MatMulBnb4" | "MatMulInteger16" => products::matmul(follower, call, 0, 1),
        "FusedGemm" => products::gemm(follower, call),
        "QAttention" | "Attention" | "MultiHeadAttention" | "EmbedLayerNormalization" | "RotaryEmbedding" =>
            layers::sample(follower, call),
        "FusedConv" | "NhwcConv" | "NhwcFusedConv" => layers::convolution(follower, call, 1),
        "QLinearAdd" | "QLinearMul" => elementwise::pair(follower, call, 0, 3),
        "QLinearSigmoid" | "QLinearLeakyRelu" => elementwise::first(follower, call, 1),
        "QuantizeLinear" | "DequantizeLinear" => elementwise::quantized(follower, call),
        "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM" =>
            Err(Fault::neighbours("has one scale for all rows of a batch")),
        _ => Err(Fault::untraced("is an operator that is not followed")),
    }
}
