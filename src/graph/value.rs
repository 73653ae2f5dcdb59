//! What is known of one tensor of a graph while it is followed.

use super::proto::TensorProto;
use super::size::{Size, Symbols};
use std::fmt;
use std::rc::Rc;

/// More elements than this are no shape, and are not followed.
pub(super) const MOST_ELEMENTS: usize = 64;

/// Where a tensor comes from, as far as the rows of a batch are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing of a request's is in it.
    Constant,
    /// It depends on how many rows there are or on their order, and on nothing that is in them.
    Placed,
    /// The numbers of the rows, from zero, along this dimension.
    Numbers(usize),
    /// Indices whose first component is the row's own number, along this dimension.
    Indexed(usize),
    /// The rows lie along this dimension, one after the other, each made of its own row of the inputs alone.
    Rows(usize),
    /// It depends on more than one row, or nobody knows on what.
    Broken(Rc<Cause>),
}

/// Why rows cannot be told apart behind an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind of reason it is.
    pub kind: Kind,
    /// The operator.
    pub operator: String,
    /// The node's name, or where it has none that of its first output.
    pub node: String,
    /// What the operator does.
    pub why: String,
}

/// What kind of reason stands against stacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The number of rows that come out depends on what is in them.
    Sizes,
    /// A row's answer depends on the other rows of its batch.
    Neighbours,
    /// The graph does not show where the rows go.
    Untraced,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.node {
            "" => write!(f, "{} {}", self.operator, self.why),
            node => write!(f, "{} `{node}` {}", self.operator, self.why),
        }
    }
}

/// A fault found by a rule, not yet placed in the graph.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn sizes(why: impl Into<String>) -> Self {
        Self { kind: Kind::Sizes, why: why.into() }
    }

    pub(super) fn neighbours(why: impl Into<String>) -> Self {
        Self { kind: Kind::Neighbours, why: why.into() }
    }

    pub(super) fn untraced(why: impl Into<String>) -> Self {
        Self { kind: Kind::Untraced, why: why.into() }
    }
}

/// What a rule finds.
pub(super) type Found<T = Value> = Result<T, Fault>;

/// One tensor.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// Its sizes; `None` where not even their number is known.
    pub(super) dims: Option<Vec<Size>>,
    pub(super) flow: Flow,
    /// Its elements, where they are few whole numbers (truths are 0 and 1), as far as each is known.
    pub(super) content: Option<Vec<Option<Size>>>,
    /// The input of the graph whose elements these are, in whatever shape.
    pub(super) origin: Option<usize>,
}

impl Value {
    pub(super) fn new(dims: Option<Vec<Size>>, flow: Flow) -> Self {
        Self { dims, flow, content: None, origin: None }
    }

    /// A vector of sizes.
    pub(super) fn sizes(content: Vec<Option<Size>>, dims: Vec<Size>, flow: Flow, symbols: &Symbols) -> Self {
        let known = content.iter().flatten().count() == content.len();
        let depends = content.iter().flatten().any(|size| symbols.depends(size));
        let flow = match (known, depends) {
            (true, false) => Flow::Constant,
            (true, true) => Flow::Placed,
            (false, _) => flow,
        };
        Self { dims: Some(dims), flow, content: Some(content), origin: None }
    }

    pub(super) fn with_flow(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }

    /// Its sizes.
    pub(super) fn dims(&self) -> Found<&[Size]> {
        self.dims.as_deref().ok_or_else(|| Fault::untraced("takes a tensor whose shape the graph does not show"))
    }

    pub(super) fn rank(&self) -> Found<usize> {
        self.dims().map(<[Size]>::len)
    }

    /// A dimension counted from the end where it is negative.
    pub(super) fn axis(&self, axis: i64) -> Found<usize> {
        absolute(axis, self.rank()?)
    }

    /// All of its elements, where each is known.
    pub(super) fn known(&self) -> Option<Vec<Size>> {
        self.content.as_ref()?.iter().cloned().collect()
    }

    /// All of its elements as numbers, where each is known.
    pub(super) fn numbers(&self) -> Option<Vec<i64>> {
        self.content.as_ref()?.iter().map(|size| size.as_ref()?.value()).collect()
    }

    /// Whether it holds rows, or the numbers of rows.
    pub(super) fn rows(&self) -> Option<usize> {
        match self.flow {
            Flow::Rows(axis) => Some(axis),
            _ => None,
        }
    }

    /// Whether neither its elements nor its sizes depend on the batch.
    pub(super) fn is_constant(&self, symbols: &Symbols) -> bool {
        let free = |size: &Size| !symbols.depends(size);
        self.flow == Flow::Constant && self.dims.as_ref().is_some_and(|dims| dims.iter().all(free))
    }

    /// A weight.
    pub(super) fn weight(tensor: &TensorProto) -> Self {
        let dims = tensor.dims.iter().map(|size| Size::known(*size)).collect();
        let content = elements(tensor).map(|all| all.into_iter().map(|element| element.map(Size::known)).collect());
        Self { content, ..Self::new(Some(dims), Flow::Constant) }
    }

    /// Whole numbers that a node holds; a scalar where there is one alone.
    pub(super) fn of_numbers(numbers: &[i64], scalar: bool) -> Self {
        let dims = if scalar { Vec::new() } else { vec![Size::known(numbers.len() as i64)] };
        let content = numbers.iter().map(|number| Some(Size::known(*number))).collect::<Vec<_>>();
        let content = Some(content).filter(|all| all.len() <= MOST_ELEMENTS);
        Self { content, ..Self::new(Some(dims), Flow::Constant) }
    }
}

/// A dimension of so many, counted from the end where it is negative.
pub(super) fn absolute(axis: i64, rank: usize) -> Found<usize> {
    let from = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let axis = from.and_then(|axis| usize::try_from(axis).ok()).filter(|axis| *axis < rank.max(1));
    axis.ok_or_else(|| Fault::untraced("names a dimension that its input has not"))
}

/// The elements of a small tensor: those that are whole numbers.
fn elements(tensor: &TensorProto) -> Option<Vec<Option<i64>>> {
    let count = tensor.dims.iter().try_fold(1_i64, |count, size| count.checked_mul(*size))?;
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST_ELEMENTS)?;
    let raw = &*tensor.raw_data;
    let whole = |n: f64| (n.fract() == 0.0 && n.abs() < 9e15).then_some(n as i64);
    fn each<const N: usize>(raw: &[u8], element: impl Fn([u8; N]) -> Option<i64>) -> Vec<Option<i64>> {
        raw.as_chunks().0.iter().map(|bytes| element(*bytes)).collect()
    }
    // `TensorProto.DataType`
    let found: Vec<Option<i64>> = match (tensor.data_type, raw.is_empty()) {
        (1, false) => each(raw, |b| whole(f32::from_le_bytes(b).into())),
        (1, true) => each(&tensor.float_data, |b| whole(f32::from_le_bytes(b).into())),
        (11, false) => each(raw, |b| whole(f64::from_le_bytes(b))),
        (7, false) => each(raw, |b| Some(i64::from_le_bytes(b))),
        (7, true) => varints(&tensor.int64_data)?,
        (6, false) => each(raw, |b| Some(i32::from_le_bytes(b).into())),
        (2 | 9, false) => each(raw, |b| Some(u8::from_le_bytes(b).into())),
        (3, false) => each(raw, |b| Some(i8::from_le_bytes(b).into())),
        (2..=6 | 9, true) => varints(&tensor.int32_data)?,
        _ => return None,
    };
    (found.len() == count).then_some(found)
}

/// Packed whole numbers.
fn varints(mut packed: &[u8]) -> Option<Vec<Option<i64>>> {
    let mut numbers = Vec::new();
    while !packed.is_empty() {
        numbers.push(Some(prost::encoding::decode_varint(&mut packed).ok()?.cast_signed()));
        if numbers.len() > MOST_ELEMENTS {
            return None;
        }
    }
    Some(numbers)
}
