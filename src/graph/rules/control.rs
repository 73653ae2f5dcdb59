//! Operators that hold graphs.

use crate::graph::follow::{Call, Follower, Scope};
use crate::graph::proto::{GraphProto, NodeProto};
use crate::graph::size::Size;
use crate::graph::value::{Fault, Flow, Found, Value};

/// What the graphs within a node take from around it.
pub(in crate::graph) fn captured<'s>(node: &NodeProto, scope: &'s Scope<'_, '_>) -> Vec<&'s Value> {
    let mut names = Vec::new();
    node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()).for_each(|graph| used(graph, &mut names));
    names.into_iter().filter_map(|name| scope.get(name)).collect()
}

/// Every name that a graph mentions; those of its own are not found around it, or mean the same there.
fn used<'g>(graph: &'g GraphProto, names: &mut Vec<&'g str>) {
    for node in &graph.node {
        names.extend(node.input.iter().map(|name| &**name));
        node.attribute.iter().filter_map(|attribute| attribute.g.as_deref()).for_each(|graph| used(graph, names));
    }
    names.extend(graph.output.iter().map(|output| &*output.name));
}

/// Follows the branch that is taken, or both where that is not known.
pub(super) fn branch<'g>(follower: &mut Follower<'g>, call: &Call<'_, 'g>) -> Found<Vec<Value>> {
    let condition = call.input(0)?;
    let known = condition.numbers().and_then(|all| all.first().copied());
    match (&condition.flow, known) {
        (_, Some(_)) | (Flow::Constant, None) => {}
        (Flow::Placed, None) => return Err(Fault::neighbours("chooses by the number of rows")),
        _ => return Err(Fault::sizes("chooses by what is in the rows of a batch")),
    }
    let mut follow = |name: &str| {
        let graph = call.attribute(name).and_then(|attribute| attribute.g.as_deref());
        let graph: &'g GraphProto = graph.ok_or_else(|| Fault::untraced("lacks a branch"))?;
        let mut scope = call.scope.inner();
        follower.body(graph, &mut scope);
        let made = graph.output.iter().map(|output| scope.get(&output.name).cloned());
        made.collect::<Option<Vec<Value>>>().ok_or_else(|| Fault::untraced("lacks an output of a branch"))
    };
    match known {
        Some(0) => follow("else_branch"),
        Some(_) => follow("then_branch"),
        None => {
            let (yes, no) = (follow("then_branch")?, follow("else_branch")?);
            yes.into_iter().zip(no).map(|(yes, no)| either(follower, yes, no)).collect()
        }
    }
}

/// What is known of a value that is one of two.
pub(super) fn either(follower: &mut Follower<'_>, yes: Value, no: Value) -> Found<Value> {
    if let (Flow::Broken(_), _) | (_, Flow::Broken(_)) = (&yes.flow, &no.flow) {
        return Ok(if matches!(yes.flow, Flow::Broken(_)) { yes } else { no });
    }
    let unclear = || Fault::untraced("makes one of two things whose rows lie differently");
    let (Some(a), Some(b)) = (&yes.dims, &no.dims) else {
        return match (&yes.flow, &no.flow) {
            (Flow::Constant, Flow::Constant) => Ok(Value::new(None, Flow::Constant)),
            _ => Err(unclear()),
        };
    };
    let flow = match (&yes.flow, &no.flow) {
        (a, b) if a == b => a.clone(),
        (Flow::Rows(axis), Flow::Constant) | (Flow::Constant, Flow::Rows(axis)) => Flow::Rows(*axis),
        (Flow::Constant | Flow::Placed, Flow::Constant | Flow::Placed) => Flow::Placed,
        _ => return Err(unclear()),
    };
    if a.len() != b.len() {
        return Err(unclear());
    }
    let mut one = |(a, b): (&Size, &Size)| match a == b {
        true => a.clone(),
        false => follower.symbols.fresh(follower.symbols.depends(a) || follower.symbols.depends(b)),
    };
    Ok(Value::new(Some(a.iter().zip(b).map(&mut one).collect()), flow))
}
