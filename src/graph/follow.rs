//! The way of a batch's rows through a graph, operator by operator.
//!
//! Decides the order and what is known of each tensor; what an operator does with rows is told by `rules`. Executes
//! nothing.

use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSet};
use super::rules;
use super::size::{Size, Symbol, Symbols};
use super::value::{Cause, Fault, Flow, Found, Kind, Value};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Operators of a file's own are read so deep within one another.
const DEEPEST: usize = 24;

/// Versions of the operators in use, by domain.
type Versions<'g> = HashMap<&'g str, i64>;

/// What a call gives a function, by name.
pub(super) type Attributes<'g> = HashMap<&'g str, &'g AttributeProto>;

/// One operator with what goes into it.
pub(super) struct Call<'a, 'g> {
    pub(super) node: &'g NodeProto,
    /// `None` for what it is not given.
    pub(super) inputs: Vec<Option<Value>>,
    /// Of its domain.
    pub(super) version: i64,
    pub(super) scope: &'a Scope<'a, 'g>,
}

impl<'g> Call<'_, 'g> {
    /// A setting; `None` where the operator's own default holds.
    pub(super) fn attribute(&self, name: &str) -> Option<&'g AttributeProto> {
        let own = self.node.attribute.iter().find(|attribute| attribute.name == name)?;
        match &*own.ref_attr_name {
            "" => Some(own),
            of_call => self.scope.attributes.get(of_call).copied(),
        }
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'g [i64]> {
        self.attribute(name).map(|attribute| &*attribute.ints)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'g str> {
        self.attribute(name).and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
    }

    /// An input that it may be given.
    pub(super) fn given(&self, at: usize) -> Option<&Value> {
        self.inputs.get(at).and_then(Option::as_ref)
    }

    /// An input that it must be given.
    pub(super) fn input(&self, at: usize) -> Found<&Value> {
        self.given(at).ok_or_else(|| Fault::untraced("lacks an input"))
    }

    /// All that it is given.
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.inputs.iter().flatten()
    }

    /// Numbers that are an attribute in old versions and an input in new ones; `None` where neither is there.
    pub(super) fn numbers(&self, name: &str, at: usize) -> Found<Option<Vec<i64>>> {
        if let Some(numbers) = self.ints(name) {
            return Ok(Some(numbers.to_vec()));
        }
        let Some(input) = self.given(at) else { return Ok(None) };
        let numbers = input.numbers();
        numbers.map(Some).ok_or_else(|| Fault::untraced(format!("takes `{name}` that the graph does not show")))
    }
}

/// The tensors that are known at a place, and those around it.
pub(super) struct Scope<'a, 'g> {
    values: HashMap<&'g str, Value>,
    outer: Option<&'a Scope<'a, 'g>>,
    versions: &'a Versions<'g>,
    attributes: &'a Attributes<'g>,
}

impl<'a, 'g> Scope<'a, 'g> {
    /// The scope of a graph within this one.
    pub(super) fn inner(&'a self) -> Self {
        Self { values: HashMap::new(), outer: Some(self), versions: self.versions, attributes: self.attributes }
    }

    /// Gives values their names here.
    pub(super) fn bind(&mut self, named: impl Iterator<Item = (&'g str, Value)>) {
        self.values.extend(named);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).or_else(|| self.outer?.get(name))
    }
}

/// What follows rows through a file.
pub(super) struct Follower<'g> {
    functions: HashMap<(&'g str, &'g str), &'g FunctionProto>,
    pub(super) symbols: Symbols,
    /// For inputs of the graph that are indices: how many there are to choose from.
    pub(super) bounds: BTreeMap<usize, i64>,
    /// Sizes that the graph needs where a dimension is open.
    pub(super) needs: BTreeMap<Symbol, Vec<i64>>,
    depth: usize,
}

impl<'g> Follower<'g> {
    pub(super) fn new(model: &'g ModelProto) -> Self {
        let functions = model.functions.iter().map(|f| ((&*f.domain, &*f.name), f)).collect();
        Self { functions, symbols: Symbols::default(), bounds: BTreeMap::new(), needs: BTreeMap::new(), depth: 0 }
    }

    /// Follows the whole graph from its inputs, and returns what is known of `outputs`.
    pub(super) fn graph(
        &mut self,
        model: &'g ModelProto,
        graph: &'g GraphProto,
        inputs: Vec<(&'g str, Value)>,
        outputs: &[&str],
    ) -> Vec<Option<Value>> {
        let (versions, attributes) = (versions(&model.opset_import), Attributes::new());
        let values = inputs.into_iter().collect();
        let mut scope = Scope { values, outer: None, versions: &versions, attributes: &attributes };
        self.body(graph, &mut scope);
        outputs.iter().map(|name| scope.get(name).cloned()).collect()
    }

    /// Follows the operators of a graph.
    pub(super) fn body(&mut self, graph: &'g GraphProto, scope: &mut Scope<'_, 'g>) {
        for tensor in &graph.initializer {
            // What a request gives has the word.
            scope.values.entry(&tensor.name).or_insert_with(|| Value::weight(tensor));
        }
        for sparse in &graph.sparse_initializer {
            let Some(values) = &sparse.values else { continue };
            let dims = sparse.dims.iter().map(|size| Size::known(*size)).collect();
            scope.values.insert(&values.name, Value::new(Some(dims), Flow::Constant));
        }
        self.nodes(&graph.node, scope);
    }

    fn nodes(&mut self, nodes: &'g [NodeProto], scope: &mut Scope<'_, 'g>) {
        for node in nodes {
            let made = self.node(node, scope);
            let named = node.output.iter().zip(made).filter(|(name, _)| !name.is_empty());
            scope.values.extend(named.map(|(name, value)| (&**name, value)));
        }
    }

    /// What an operator makes, one value an output.
    fn node(&mut self, node: &'g NodeProto, scope: &Scope<'_, 'g>) -> Vec<Value> {
        let inputs: Vec<Option<Value>> = node.input.iter().map(|name| scope.get(name).cloned()).collect();
        let broken = inputs.iter().flatten().find(|value| matches!(value.flow, Flow::Broken(_)));
        if let Some(broken) = broken {
            return all(node, &Value::new(None, broken.flow.clone()));
        }
        let version = scope.versions.get(plain(&node.domain)).copied().unwrap_or(1);
        let call = Call { node, inputs, version, scope };
        let found = match self.functions.get(&(&*node.domain, &*node.op_type)) {
            Some(function) => self.function(function, &call),
            None => rules::apply(self, &call),
        };
        match found {
            Ok(values) => self.checked(&call, values),
            Err(fault) => all(node, &self.unknown(&call, fault)),
        }
    }

    /// Follows an operator that the file defines itself.
    fn function(&mut self, function: &'g FunctionProto, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
        if self.depth >= DEEPEST {
            return Err(Fault::untraced("calls functions too deep within one another"));
        }
        let mut attributes: Attributes<'g> = function.attribute_proto.iter().map(|a| (&*a.name, a)).collect();
        let given = call.node.attribute.iter().filter_map(|a| Some((&*a.name, call.attribute(&a.name)?)));
        attributes.extend(given);
        let versions = match function.opset_import.is_empty() {
            true => call.scope.versions.clone(),
            false => versions(&function.opset_import),
        };
        let inputs = function.input.iter().zip(&call.inputs);
        let values = inputs.filter_map(|(name, value)| Some((&**name, value.clone()?))).collect();
        let mut scope = Scope { values, outer: None, versions: &versions, attributes: &attributes };
        self.depth += 1;
        self.nodes(&function.node, &mut scope);
        self.depth -= 1;
        let made = function.output.iter().map(|name| scope.get(name).cloned());
        made.collect::<Option<Vec<_>>>().ok_or_else(|| Fault::untraced("lacks an output of its function"))
    }

    /// What is left to say of an operator that no rule can follow: nothing of it matters where no row goes in.
    fn unknown(&self, call: &Call<'_, 'g>, fault: Fault) -> Value {
        let captured = rules::captured(call.node, call.scope);
        let inputs = || call.all().chain(captured.iter().copied());
        if inputs().any(|value| matches!(value.flow, Flow::Rows(_) | Flow::Broken(_))) {
            return Value::new(None, Flow::Broken(Rc::new(placed(call.node, fault))));
        }
        let fixed = |value: &Value| value.flow == Flow::Constant && !self.grows(value);
        Value::new(None, if inputs().all(fixed) { Flow::Constant } else { Flow::Placed })
    }

    /// Takes note that an open size has to be this.
    pub(super) fn needs(&mut self, size: &Size, value: Option<i64>) {
        if let (Some(symbol), Some(value)) = (size.symbol(), value) {
            self.needs.entry(symbol).or_default().push(value);
        }
    }

    /// Takes note that elements of `indices` choose one of so many.
    pub(super) fn chooses(&mut self, indices: &Value, among: &Size) {
        if let (Some(input), Some(count)) = (indices.origin, among.value()) {
            let least = self.bounds.entry(input).or_insert(count);
            *least = count.min(*least);
        }
    }

    /// Whether a size of it depends on the number of rows.
    fn grows(&self, value: &Value) -> bool {
        value.dims.as_ref().is_some_and(|dims| dims.iter().any(|size| self.symbols.depends(size)))
    }

    /// Rows lie along one dimension, which is as long as there are rows, and no other depends on their number.
    fn checked(&self, call: &Call<'_, 'g>, values: Vec<Value>) -> Vec<Value> {
        let check = |value: Value| {
            let (Some(axis), Some(dims)) = (value.rows(), &value.dims) else { return value };
            let fault = match dims.get(axis) {
                Some(rows) if rows.counts_rows(&self.symbols) => {
                    let mut others = dims.iter().enumerate().filter(|(at, _)| *at != axis);
                    let grows = others.any(|(_, size)| self.symbols.depends(size));
                    grows.then(|| Fault::neighbours("makes a second dimension that grows with the number of rows"))
                }
                _ => Some(Fault::untraced("makes as many rows as the graph does not show")),
            };
            match fault {
                Some(fault) => Value::new(None, Flow::Broken(Rc::new(placed(call.node, fault)))),
                None => value,
            }
        };
        values.into_iter().map(check).collect()
    }
}

/// The same value for every output.
fn all(node: &NodeProto, value: &Value) -> Vec<Value> {
    node.output.iter().map(|_| value.clone()).collect()
}

/// A fault with its place in the graph.
fn placed(node: &NodeProto, fault: Fault) -> Cause {
    let Fault { kind, why } = fault;
    let name = if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
    Cause { kind, operator: node.op_type.clone(), node: name, why }
}

/// What stands against an output whose rows are not where they must be.
pub(super) fn misplaced(why: &str) -> Cause {
    Cause { kind: Kind::Untraced, operator: "the graph".into(), node: String::new(), why: why.into() }
}

fn versions(imports: &[OperatorSet]) -> Versions<'_> {
    imports.iter().map(|set| (plain(&set.domain), set.version)).collect()
}

/// ONNX's own operators have a domain of two names.
fn plain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
