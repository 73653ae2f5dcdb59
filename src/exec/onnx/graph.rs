//! The little of an ONNX file that is read here: its weights' places, and what its nodes are.
//!
//! Decides what follows from the nodes alone. `onnx.proto3` gives the numbers of the fields; the runtime reads the rest.

use bytes::Bytes;
use prost::Message;
use std::collections::HashSet;

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

#[derive(Message)]
pub(super) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    /// Operators of the file's own; what they are is not read.
    #[prost(bytes = "bytes", repeated, tag = "25")]
    functions: Vec<Bytes>,
}

impl ModelProto {
    /// Whether what a run takes follows from the shapes of its inputs, by all that the file says.
    pub(super) fn is_steady(&self) -> bool {
        let is_known = |node: &NodeProto| matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml");
        let is_steady = |node: &NodeProto| is_known(node) && !BY_VALUE.contains(&&*node.op_type);
        self.functions.is_empty() && self.graph.as_ref().is_some_and(|graph| graph.node.iter().all(is_steady))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str, domain: &str, input: &[&str]) -> NodeProto {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { input, op_type: op_type.to_owned(), domain: domain.to_owned() }
    }

    fn graph(node: Vec<NodeProto>) -> GraphProto {
        GraphProto { node, ..GraphProto::default() }
    }

    #[test]
    fn a_graph_is_steady_whose_operators_are_known_to_follow_shapes() {
        let steady = |node| ModelProto { graph: Some(graph(vec![node])), functions: Vec::new() }.is_steady();
        assert!(steady(node("MatMul", "", &[])) && steady(node("Scaler", "ai.onnx.ml", &[])));
        assert!(!steady(node("Mine", "my.own", &[])), "nobody knows what it does");
        assert!(BY_VALUE.iter().all(|op| !steady(node(op, "", &[]))));
        assert!(!ModelProto { graph: None, functions: Vec::new() }.is_steady());
        let functions = vec![Bytes::from_static(b"one")];
        assert!(!ModelProto { graph: Some(graph(Vec::new())), functions }.is_steady());
    }

    #[test]
    fn multipliers_are_what_only_products_take_on_their_right() {
        let nodes = vec![
            node("MatMul", "", &["x", "a"]),
            node("Gemm", "", &["y", "b", "bias"]),
            node("MatMul", "", &["z", "tied"]),
            node("Gather", "", &["tied", "ids"]),
            node("MatMul", "", &["left", "left"]),
        ];
        assert_eq!(graph(nodes).multipliers(), HashSet::from(["a", "b"]));
    }
}
