//! Graphs whose rows stay apart and others whose rows do not, each as small as it goes.

use super::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSet, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::{Cause, Kind};

/// A graph under construction.
struct Build {
    model: ModelProto,
}

/// An attribute's value.
enum Set {
    Int(i64),
    Ints(&'static [i64]),
    Text(&'static str),
    Graph(GraphProto),
}

use Set::{Graph, Int, Ints, Text};

fn dims(shape: &str) -> Vec<DimensionProto> {
    let value = |name: &str| match name.parse() {
        Ok(size) => DimensionValue::Size(size),
        Err(_) => DimensionValue::Name(name.to_owned()),
    };
    shape.split_whitespace().map(|name| DimensionProto { value: Some(value(name)) }).collect()
}

fn declared(name: &str, shape: &str) -> ValueInfoProto {
    let shape = Some(TensorShapeProto { dim: dims(shape) });
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

impl Build {
    /// Of inputs `name: sizes`, the first of which are the rows.
    fn new(inputs: &[(&str, &str)]) -> Self {
        let input = inputs.iter().map(|(name, shape)| declared(name, shape)).collect();
        let graph = GraphProto { input, ..GraphProto::default() };
        let opset_import = vec![OperatorSet { domain: String::new(), version: 17 }];
        Self { model: ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() } }
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    /// A weight of FP32.
    fn weight(mut self, name: &str, dims: &[i64]) -> Self {
        let tensor = TensorProto { dims: dims.to_vec(), data_type: 1, name: name.to_owned(), ..TensorProto::default() };
        self.graph().initializer.push(tensor);
        self
    }

    /// A vector of whole numbers, or one number alone.
    fn numbers(mut self, name: &str, numbers: &[i64], scalar: bool) -> Self {
        let raw_data = numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into();
        let dims = if scalar { Vec::new() } else { vec![numbers.len() as i64] };
        let tensor = TensorProto { dims, data_type: 7, name: name.to_owned(), raw_data, ..TensorProto::default() };
        self.graph().initializer.push(tensor);
        self
    }

    /// An operator: `Op a b -> c d`, with attributes.
    fn node(mut self, line: &str, set: Vec<(&str, Set)>) -> Self {
        self.graph().node.push(node(line, set));
        self
    }

    /// What stands against one output.
    fn fault(&self, output: &str) -> Option<Cause> {
        let graph = self.model.graph.as_ref().unwrap();
        let inputs: Vec<&str> = graph.input.iter().map(|input| &*input.name).collect();
        self.model.read(&inputs, &[output]).faults.remove(0)
    }

    fn sound(&self, output: &str) {
        let fault = self.fault(output);
        assert!(fault.is_none(), "{}", fault.unwrap());
    }

    fn unsound(&self, output: &str, kind: Kind, operator: &str) {
        let fault = self.fault(output).expect("rows that do not stay apart");
        assert_eq!((fault.kind, &*fault.operator), (kind, operator), "{fault}");
    }
}

fn node(line: &str, set: Vec<(&str, Set)>) -> NodeProto {
    let (before, after) = line.split_once("->").unwrap();
    let names = |part: &str| part.split_whitespace().map(|n| n.trim_matches('_').to_owned()).collect::<Vec<_>>();
    let (mut input, output) = (names(before), names(after));
    let operator = input.remove(0);
    let (domain, op_type) = operator.rsplit_once(':').unwrap_or(("", &operator));
    let attribute = set.into_iter().map(|(name, value)| {
        let mut attribute = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
        match value {
            Int(i) => attribute.i = i,
            Ints(ints) => attribute.ints = ints.to_vec(),
            Text(text) => attribute.s = text.as_bytes().into(),
            Graph(graph) => attribute.g = Some(Box::new(graph)),
        }
        attribute
    });
    let attribute = attribute.collect();
    NodeProto { op_type: op_type.to_owned(), domain: domain.to_owned(), input, output, attribute, name: String::new() }
}

fn x() -> Build {
    Build::new(&[("x", "batch 4")])
}

#[test]
fn what_takes_rows_one_by_one_keeps_them_apart() {
    x().weight("w", &[4, 3]).node("MatMul x w -> h", vec![]).node("Relu h -> y", vec![]).sound("y");
    x().node("Softmax x -> y", vec![("axis", Int(-1))]).sound("y");
    x().node("ReduceMax x -> y", vec![("axes", Ints(&[1])), ("keepdims", Int(0))]).sound("y");
    x().node("TopK x k -> y z", vec![]).numbers("k", &[2], false).sound("z");
    Build::new(&[("x", "batch 3 h w")])
        .weight("w", &[8, 3, 3, 3])
        .node("Conv x w -> c", vec![])
        .node("GlobalAveragePool c -> p", vec![])
        .node("Flatten p -> y", vec![])
        .sound("y");
    x().node("ai.onnx.ml:TreeEnsembleClassifier x -> label p", vec![]).sound("p");
}

#[test]
fn what_looks_at_all_rows_mixes_them() {
    let neighbours = |build: Build, operator: &str| build.unsound("y", Kind::Neighbours, operator);
    neighbours(x().node("ReduceMax x -> t", vec![]).node("Sub x t -> y", vec![]), "ReduceMax");
    neighbours(x().node("Softmax x -> y", vec![("axis", Int(0))]), "Softmax");
    neighbours(x().node("CumSum x a -> y", vec![]).numbers("a", &[0], true), "CumSum");
    neighbours(
        x().node("Transpose x -> t", vec![]).node("MatMul x t -> s", vec![]).node("MatMul s x -> y", vec![]),
        "MatMul",
    );
    neighbours(
        x().node("Transpose x -> t", vec![])
            .weight("w", &[4, 4])
            .node("MatMul w t -> s", vec![])
            .node("MatMul s x -> y", vec![]),
        "MatMul",
    );
    neighbours(
        x().node("ReduceSum x a -> s", vec![("keepdims", Int(0))])
            .numbers("a", &[1], false)
            .node("Add x s -> y", vec![]),
        "Add",
    );
    neighbours(x().node("Einsum x x -> y", vec![("equation", Text("ij,kj->ik"))]), "Einsum");
    neighbours(x().node("DynamicQuantizeLinear x -> y s z", vec![]), "DynamicQuantizeLinear");
    neighbours(x().node("MeanVarianceNormalization x -> y", vec![("axes", Ints(&[0]))]), "MeanVarianceNormalization");
    neighbours(x().node("Slice x s e -> y", vec![]).numbers("s", &[0], false).numbers("e", &[1], false), "Slice");
    neighbours(x().node("Gather x i -> y", vec![]).numbers("i", &[0, 0], false), "Gather");
    neighbours(x().node("Concat x x -> y", vec![("axis", Int(0))]), "Concat");
    let lstm = |input: &str| Build::new(&[("x", input)]).weight("w", &[1, 16, 4]).weight("r", &[1, 16, 4]);
    neighbours(lstm("batch 5 4").node("LSTM x w r -> y", vec![("hidden_size", Int(4))]), "LSTM");
}

#[test]
fn what_finds_as_much_as_there_is_makes_no_rows() {
    x().node("NonZero x -> n", vec![]).node("Transpose n -> y", vec![]).unsound("y", Kind::Sizes, "NonZero");
    x().node("Unique x -> y", vec![]).unsound("y", Kind::Sizes, "Unique");
    x().node("TopK x k -> y z", vec![("axis", Int(0))]).numbers("k", &[2], false).unsound("y", Kind::Sizes, "TopK");
    x().node("Greater x t -> g", vec![]).numbers("t", &[0], true).node("Compress x g -> y", vec![]).unsound(
        "y",
        Kind::Sizes,
        "Compress",
    );
    let boxes = Build::new(&[("boxes", "batch 4 4"), ("scores", "batch 1 4")]);
    boxes.node("NonMaxSuppression boxes scores -> y", vec![]).unsound("y", Kind::Sizes, "NonMaxSuppression");
    let same = GraphProto {
        node: vec![node("Identity x -> b", vec![])],
        output: vec![declared("b", "")],
        ..GraphProto::default()
    };
    let either = |build: Build| {
        let branches = vec![("then_branch", Graph(same.clone())), ("else_branch", Graph(same.clone()))];
        build.node("If c -> y", branches)
    };
    let hot = x().node("ReduceMax x -> m", vec![("axes", Ints(&[1]))]).node("Greater m x -> c", vec![]);
    either(hot).unsound("y", Kind::Sizes, "If");
    either(x().numbers("c", &[1], true)).sound("y");
}

#[test]
fn a_body_that_goes_along_a_row_keeps_rows_apart_and_one_from_row_to_row_does_not() {
    let body = |shape: &str, nodes: Vec<NodeProto>| GraphProto {
        node: nodes,
        input: vec![declared("sum", shape), declared("next", shape)],
        output: vec![declared("sum_out", shape), declared("seen", shape)],
        ..GraphProto::default()
    };
    let add = || vec![node("Add sum next -> sum_out", vec![]), node("Identity sum_out -> seen", vec![])];
    let scan = |build: Build, nodes: Vec<NodeProto>, axis: &'static [i64]| {
        let mut set = vec![("body", Graph(body("n", nodes))), ("num_scan_inputs", Int(1))];
        set.extend([("scan_input_axes", Ints(axis)), ("scan_output_axes", Ints(axis))]);
        build.node("Scan start x -> last y", set)
    };
    let column = || x().node("Gather x first -> start", vec![("axis", Int(1))]).numbers("first", &[0], true);
    scan(column(), add(), &[1]).sound("y");
    scan(column(), add(), &[-1]).sound("last");
    scan(x().weight("start", &[4]), add(), &[0]).unsound("y", Kind::Neighbours, "Scan");
    let mixed = || vec![node("CumSum next axis -> sum_out", vec![]), node("Identity sum -> seen", vec![])];
    scan(column().numbers("axis", &[0], true), mixed(), &[1]).unsound("y", Kind::Neighbours, "CumSum");
}

#[test]
fn a_loop_is_followed_where_nothing_in_the_rows_says_how_often_it_runs() {
    let body = |go_on: &str| GraphProto {
        node: vec![
            node(go_on, vec![]),
            node("Sin state -> state_out", vec![]),
            node("ReduceMax state -> seen", vec![("axes", Ints(&[1])), ("keepdims", Int(0))]),
        ],
        input: vec![declared("round", ""), declared("go_on", ""), declared("state", "n 4")],
        output: vec![declared("go_on_out", ""), declared("state_out", "n 4"), declared("seen", "n")],
        ..GraphProto::default()
    };
    let repeat = |build: Build, go_on: &str| build.node("Loop times _ x -> y seen", vec![("body", Graph(body(go_on)))]);
    let constant = "Identity go_on -> go_on_out";
    let thrice = || x().numbers("times", &[3], true);
    repeat(thrice(), constant).sound("y");
    // What was seen in each round lies in front of the rows.
    repeat(thrice(), constant).node("Transpose seen -> z", vec![("perm", Ints(&[1, 0]))]).sound("z");
    repeat(thrice(), "ReduceMax state -> go_on_out").unsound("y", Kind::Neighbours, "ReduceMax");
    repeat(x().node("ReduceMax x -> times", vec![]), constant).unsound("y", Kind::Neighbours, "ReduceMax");
    let rows = x().node("Shape x -> s", vec![]).numbers("first", &[0], true).node("Gather s first -> times", vec![]);
    repeat(rows, constant).unsound("y", Kind::Neighbours, "Loop");
}

#[test]
fn rows_are_found_again_behind_new_shapes() {
    // [batch, length, 8] by heads and back, as exporters write it.
    let heads = || {
        Build::new(&[("x", "batch length 8")])
            .node("Shape x -> s", vec![])
            .numbers("zero", &[0], false)
            .numbers("one", &[1], false)
            .numbers("heads", &[2], false)
            .numbers("open", &[-1], false)
            .numbers("wide", &[8], false)
            .node("Gather s zero -> b", vec![])
            .node("Gather s one -> l", vec![])
            .node("Concat b l heads open -> apart", vec![("axis", Int(0))])
            .node("Reshape x apart -> split", vec![])
            .node("Transpose split -> turned", vec![("perm", Ints(&[0, 2, 1, 3]))])
            .node("Transpose turned -> back", vec![("perm", Ints(&[0, 2, 1, 3]))])
            .node("Concat b l wide -> together", vec![("axis", Int(0))])
            .node("Reshape back together -> y", vec![])
    };
    heads().sound("y");
    heads()
        .node("Concat open wide -> flat", vec![("axis", Int(0))])
        .node("Reshape y flat -> f", vec![])
        .node("Reshape f together -> z", vec![])
        .sound("z");
    let uneven = x().numbers("s", &[2, -1], false).node("Reshape x s -> y", vec![]);
    uneven.unsound("y", Kind::Untraced, "Reshape");
    let merged = x().numbers("s", &[-1, 8], false).node("Reshape x s -> y", vec![]);
    merged.unsound("y", Kind::Untraced, "Reshape");
    let apart = x().numbers("s", &[-1, 2], false).node("Reshape x s -> y", vec![]);
    assert!(apart.fault("y").unwrap().why.contains("several rows"));
}

#[test]
fn what_depends_on_how_many_rows_there_are_is_told_from_what_does_not() {
    let counted = || x().node("Shape x -> s", vec![]).numbers("zero", &[0], true).node("Gather s zero -> n", vec![]);
    let divided = counted().node("Cast n -> f", vec![]).node("Div x f -> y", vec![]);
    divided.unsound("y", Kind::Neighbours, "Div");
    let numbered = counted()
        .numbers("one", &[1], true)
        .numbers("axis", &[1], false)
        .node("Range zero n one -> r", vec![])
        .node("Unsqueeze r axis -> c", vec![])
        .node("Add x c -> y", vec![]);
    numbered.unsound("y", Kind::Neighbours, "Add");
    // The class token of a vision transformer: a weight repeated as often as there are rows.
    let token = Build::new(&[("x", "batch n 8")])
        .weight("token", &[1, 1, 8])
        .numbers("zero", &[0], false)
        .numbers("rest", &[1, 8], false)
        .node("Shape x -> s", vec![])
        .node("Gather s zero -> b", vec![])
        .node("Concat b rest -> shape", vec![("axis", Int(0))])
        .node("Expand token shape -> all", vec![])
        .node("Concat all x -> y", vec![("axis", Int(1))]);
    token.sound("y");
    // What a row's own number takes of its own row: the last token's vector, say.
    let own = Build::new(&[("x", "batch length 8"), ("ids", "batch length")])
        .node("Shape x -> s", vec![])
        .numbers("zero", &[0], true)
        .numbers("one", &[1], true)
        .numbers("last", &[-1], false)
        .node("Gather s zero -> n", vec![])
        .node("Range zero n one -> r", vec![])
        .node("Unsqueeze r last -> rows", vec![])
        .node("ArgMax ids -> best", vec![("axis", Int(1))])
        .node("Concat rows best -> places", vec![("axis", Int(1))])
        .node("GatherND x places -> y", vec![]);
    own.sound("y");
}

#[test]
fn an_operator_that_is_not_known_is_not_trusted() {
    x().node("my.own:Mystery x -> y", vec![]).unsound("y", Kind::Untraced, "Mystery");
    x().weight("w", &[4]).node("my.own:Mystery w -> v", vec![]).node("Add x v -> y", vec![]).unsound(
        "y",
        Kind::Untraced,
        "Add",
    );
    assert!(x().node("Relu x -> y", vec![]).fault("z").is_some(), "nobody makes it");
    x().weight("w", &[4]).node("Identity w -> y", vec![]).fault("y").unwrap();
}

#[test]
fn what_indices_choose_from_and_what_sizes_must_be_is_noted() {
    let build = Build::new(&[("ids", "batch 2048"), ("x", "batch open")])
        .weight("table", &[257, 8])
        .node("Cast ids -> whole", vec![])
        .node("Gather table whole -> e", vec![])
        .weight("w", &[80, 4])
        .node("MatMul x w -> y", vec![]);
    let reading = build.model.read(&["ids", "x"], &["e", "y"]);
    assert_eq!(reading.faults, [None, None]);
    assert_eq!(reading.bounds.into_iter().collect::<Vec<_>>(), [(0, 257)]);
    assert_eq!(reading.needs.into_iter().collect::<Vec<_>>(), [("open".to_owned(), vec![80])]);
}
