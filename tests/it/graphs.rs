//! ONNX files made here: rows of [`WIDTH`] numbers come in, and go through one step after another.

use inferneo::graph::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSet, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use prost::Message;

/// Numbers in a row.
pub(crate) const WIDTH: usize = 6;
/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
pub(crate) const BOOL: i64 = 9;

/// An attribute's value.
pub(crate) enum Set {
    Float(f32),
    Int(i64),
    Ints(&'static [i64]),
    Text(&'static str),
    Texts(&'static [&'static str]),
    Floats(Vec<f32>),
    Graph(GraphProto),
}

/// A graph, and the value at which it goes on.
pub(crate) struct Build {
    graph: GraphProto,
    /// Rows of [`WIDTH`] numbers.
    pub(crate) top: String,
    names: u32,
    /// Numbers that look like weights.
    weights: u32,
}

impl Build {
    /// A graph of inputs with these names, added up; `seed` chooses its weights.
    pub(crate) fn new(inputs: &[&str], rows: &str, seed: u32) -> Self {
        let declared = inputs.iter().map(|name| declared(name, FLOAT, &[rows, "6"])).collect();
        let mut this = Self::of(declared, seed);
        for other in &inputs[1..] {
            this.top = this.op("Add", &[&this.top.clone(), other], vec![]);
        }
        this
    }

    /// A graph of these inputs, which goes on at the first.
    pub(crate) fn of(input: Vec<ValueInfoProto>, seed: u32) -> Self {
        let top = input[0].name.clone();
        let graph = GraphProto { name: "net".to_owned(), input, ..GraphProto::default() };
        Self { graph, top, names: 0, weights: seed }
    }

    /// The body of an operator that holds graphs: of one output, made by one operator of the values around it.
    pub(crate) fn body(op: &str, inputs: &[&str]) -> GraphProto {
        GraphProto {
            name: "body".to_owned(),
            node: vec![node(op, inputs, &["inner"], vec![])],
            output: vec![declared("inner", FLOAT, &["any_rows", "6"])],
            ..GraphProto::default()
        }
    }

    /// The body of a loop or scan.
    pub(crate) fn looped(
        inputs: Vec<ValueInfoProto>,
        nodes: Vec<NodeProto>,
        outputs: Vec<ValueInfoProto>,
    ) -> GraphProto {
        GraphProto { name: "body".to_owned(), node: nodes, input: inputs, output: outputs, ..GraphProto::default() }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// Adds an operator of one output; answers that.
    pub(crate) fn op(&mut self, op: &str, inputs: &[&str], set: Vec<(&str, Set)>) -> String {
        self.ops(op, inputs, 1, set).remove(0)
    }

    /// Adds an operator; answers its outputs.
    pub(crate) fn ops(&mut self, op: &str, inputs: &[&str], outputs: usize, set: Vec<(&str, Set)>) -> Vec<String> {
        let names: Vec<String> = (0..outputs).map(|_| self.fresh()).collect();
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        self.graph.node.push(node(op, inputs, &outputs, set));
        names
    }

    /// Adds an operator of the value at which the graph goes on.
    pub(crate) fn then(&mut self, op: &str, others: &[&str], set: Vec<(&str, Set)>) {
        let top = self.top.clone();
        let inputs: Vec<&str> = std::iter::once(&*top).chain(others.iter().copied()).collect();
        self.top = self.op(op, &inputs, set);
    }

    /// Weights between -1 and 1.
    pub(crate) fn weight(&mut self, dims: &[usize]) -> String {
        let mut next = || {
            self.weights = self.weights.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.weights >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let numbers: Vec<f32> = (0..dims.iter().product()).map(|_| next()).collect();
        self.floats(dims, &numbers)
    }

    /// Constant numbers.
    pub(crate) fn floats(&mut self, dims: &[usize], numbers: &[f32]) -> String {
        let data = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.constant(FLOAT, dims, data)
    }

    /// Constant whole numbers: a vector.
    pub(crate) fn ints(&mut self, numbers: &[i64]) -> String {
        self.shaped(&[numbers.len()], numbers)
    }

    /// Constant whole numbers of a shape.
    pub(crate) fn shaped(&mut self, dims: &[usize], numbers: &[i64]) -> String {
        self.constant(INT64, dims, numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    }

    fn constant(&mut self, data_type: i32, dims: &[usize], data: Vec<u8>) -> String {
        let name = self.fresh();
        let dims = dims.iter().map(|size| *size as i64).collect();
        let raw_data = data.into();
        self.graph.initializer.push(TensorProto {
            dims,
            data_type,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        name
    }

    /// Gives the value at which the graph goes on another shape.
    pub(crate) fn reshape(&mut self, shape: &[i64]) {
        let shape = self.ints(shape);
        self.then("Reshape", &[&shape], vec![]);
    }

    /// How many rows there are: a vector of one number.
    pub(crate) fn rows(&mut self) -> String {
        let (top, first) = (self.top.clone(), self.ints(&[0]));
        let shape = self.op("Shape", &[&top], vec![]);
        self.op("Gather", &[&shape, &first], vec![("axis", Set::Int(0))])
    }

    /// Has the value at which the graph goes on be an output of this name, type and declared shape.
    pub(crate) fn output(&mut self, output: &str, elements: i32, shape: &[&str]) {
        self.graph.node.push(node("Identity", &[&self.top], &[output], vec![]));
        self.graph.output.push(declared(output, elements, shape));
    }

    /// Has an operator of the value at which the graph goes on be an output, whose type is the runtime's to find out.
    pub(crate) fn untyped(&mut self, output: &str, op: &str, set: Vec<(&str, Set)>) {
        self.graph.node.push(node(op, &[&self.top], &[output], set));
        self.graph.output.push(ValueInfoProto { name: output.to_owned(), r#type: None });
    }

    /// Has the weight that was made last be an input that need not be given.
    pub(crate) fn default_input(&mut self, name: &str, shape: &[&str]) {
        if let Some(weight) = self.graph.initializer.last_mut() {
            let before = std::mem::replace(&mut weight.name, name.to_owned());
            let named = self.graph.node.iter_mut().flat_map(|node| &mut node.input);
            named.filter(|input| **input == before).for_each(|input| name.clone_into(input));
            self.graph.input.push(declared(name, FLOAT, shape));
        }
    }

    /// The file, whose one output has this name, type and declared shape.
    pub(crate) fn end(mut self, output: &str, elements: i32, shape: &[&str]) -> Vec<u8> {
        self.output(output, elements, shape);
        self.file()
    }

    /// The file.
    pub(crate) fn file(self) -> Vec<u8> {
        let domains = [("", 17), ("ai.onnx.ml", 3)];
        let import = |(domain, version): (&str, i64)| OperatorSet { domain: domain.to_owned(), version };
        let opset_import = domains.map(import).to_vec();
        ModelProto { ir_version: 8, graph: Some(self.graph), opset_import, functions: Vec::new() }.encode_to_vec()
    }
}

/// A declared input or output; a size is a number or a name.
pub(crate) fn declared(name: &str, elem_type: i32, shape: &[&str]) -> ValueInfoProto {
    let value = |size: &&str| match size.parse() {
        Ok(size) => DimensionValue::Size(size),
        Err(_) => DimensionValue::Name((*size).to_owned()),
    };
    let dim = shape.iter().map(|size| DimensionProto { value: Some(value(size)) }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

/// An operator; one of another domain is written `domain:Operator`.
pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], set: Vec<(&str, Set)>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let attribute = set.into_iter().map(|(name, value)| {
        let mut attribute = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
        match value {
            Set::Float(f) => (attribute.r#type, attribute.f) = (1, f),
            Set::Int(i) => (attribute.r#type, attribute.i) = (2, i),
            Set::Text(text) => (attribute.r#type, attribute.s) = (3, text.as_bytes().into()),
            Set::Graph(graph) => (attribute.r#type, attribute.g) = (5, Some(Box::new(graph))),
            Set::Floats(floats) => (attribute.r#type, attribute.floats) = (6, floats),
            Set::Texts(texts) => {
                (attribute.r#type, attribute.strings) = (8, texts.iter().map(|text| text.as_bytes().into()).collect());
            }
            Set::Ints(ints) => (attribute.r#type, attribute.ints) = (7, ints.to_vec()),
        }
        attribute
    });
    let attribute = attribute.collect();
    let (domain, op) = op.rsplit_once(':').unwrap_or(("", op));
    NodeProto {
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..NodeProto::default()
    }
}
