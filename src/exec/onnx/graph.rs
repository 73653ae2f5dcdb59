//! The little of an ONNX file that is read here: its weights' places, and what its nodes are.
//!
//! Decides what follows from the nodes alone. `onnx.proto3` gives the numbers of the fields; the runtime reads the rest.

use crate::exec::process::Mapped;
use bytes::Bytes;
use prost::Message;
use std::collections::HashSet;
use std::path::Path;

/// Operators whose time or output no shape tells: control flow, and those that make as much as a value says.
const BY_VALUE: [&str; 12] = [
    "ConstantOfShape",
    "Expand",
    "If",
    "Loop",
    "OneHot",
    "Optional",
    "Pad",
    "Range",
    "Resize",
    "Scan",
    "SequenceMap",
    "Tile",
];

/// Whether what a run takes follows from the shapes of its inputs, by all that the file says. Blocks.
#[must_use]
pub fn is_steady(path: &Path) -> bool {
    let Ok(file) = Mapped::open(path) else { return false };
    let model = ModelProto::decode(Bytes::from_static(file.bytes()));
    file.rest();
    let Ok(ModelProto { graph: Some(graph), functions }) = model else { return false };
    let is_known = |node: &NodeProto| matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml");
    functions.is_empty() && graph.node.iter().all(|node| is_known(node) && !BY_VALUE.contains(&&*node.op_type))
}

#[derive(Message)]
pub(super) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    /// Operators of the file's own; what they are is not read.
    #[prost(bytes = "bytes", repeated, tag = "25")]
    functions: Vec<Bytes>,
}

#[derive(Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
}

impl GraphProto {
    /// The names of what is only ever the right side of a matrix product.
    pub(super) fn multipliers(&self) -> HashSet<&str> {
        let is_product = |node: &NodeProto| matches!(&*node.op_type, "MatMul" | "Gemm");
        let products = self.node.iter().filter(|node| is_product(node));
        let mut names: HashSet<&str> = products.filter_map(|node| node.input.get(1)).map(String::as_str).collect();
        for node in &self.node {
            for (at, name) in node.input.iter().enumerate() {
                if at != 1 || !is_product(node) {
                    names.remove(&**name);
                }
            }
        }
        names
    }
}

#[derive(Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// A weight. One that lies in another file, or in fields of its type, has no `raw_data`.
#[derive(Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) raw_data: Bytes,
}
