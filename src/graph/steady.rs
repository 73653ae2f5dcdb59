//! What follows from a file's operators alone, without following anything.

use super::proto::{GraphProto, ModelProto, NodeProto};
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

impl ModelProto {
    /// Whether what a run takes follows from the shapes of its inputs, by all that the file says.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let is_known = |node: &NodeProto| matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml");
        let is_steady = |node: &NodeProto| is_known(node) && !BY_VALUE.contains(&&*node.op_type);
        self.functions.is_empty() && self.graph.as_ref().is_some_and(|graph| graph.node.iter().all(is_steady))
    }
}

impl GraphProto {
    /// The names of what is only ever the right side of a matrix product.
    #[must_use]
    pub fn multipliers(&self) -> HashSet<&str> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::proto::FunctionProto;

    fn node(op_type: &str, domain: &str, input: &[&str]) -> NodeProto {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        NodeProto { input, op_type: op_type.to_owned(), domain: domain.to_owned(), ..NodeProto::default() }
    }

    fn graph(node: Vec<NodeProto>) -> GraphProto {
        GraphProto { node, ..GraphProto::default() }
    }

    fn model(node: Vec<NodeProto>) -> ModelProto {
        ModelProto { graph: Some(graph(node)), ..ModelProto::default() }
    }

    #[test]
    fn a_graph_is_steady_whose_operators_are_known_to_follow_shapes() {
        let steady = |node| model(vec![node]).is_steady();
        assert!(steady(node("MatMul", "", &[])) && steady(node("Scaler", "ai.onnx.ml", &[])));
        assert!(!steady(node("Mine", "my.own", &[])), "nobody knows what it does");
        assert!(BY_VALUE.iter().all(|op| !steady(node(op, "", &[]))));
        assert!(!ModelProto::default().is_steady());
        let functions = vec![FunctionProto::default()];
        assert!(!ModelProto { functions, ..model(Vec::new()) }.is_steady());
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
