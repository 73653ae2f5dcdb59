//! JSON tensor data to a datatype's bytes, in one pass.
//!
//! The text has been skimmed as valid JSON before, so this reader only tells elements from brackets.
//! It keeps a counter for each open bracket and never recurses. Numbers are read by the standard
//! library, which rounds correctly; a number that its datatype cannot hold is an error, never a clamp.

use crate::model::Datatype;
use crate::request::push_element;
use half::{bf16, f16};
use std::fmt;

/// Reads `data`, flat or nested as `shape` says, into the bytes of [`Tensor`](crate::request::Tensor).
///
/// `count` is the product of `shape`.
///
/// # Errors
/// A sentence that says what is wrong; the caller names the input.
pub(super) fn read(data: &str, datatype: Datatype, shape: &[usize], count: usize) -> Result<Vec<u8>, String> {
    let reader = Reader::new(data, shape, count, datatype);
    match datatype {
        Datatype::Bool => reader.run(push_bool),
        Datatype::Uint8 => reader.run(|t, out| push(t, out, u8::to_le_bytes)),
        Datatype::Uint16 => reader.run(|t, out| push(t, out, u16::to_le_bytes)),
        Datatype::Uint32 => reader.run(|t, out| push(t, out, u32::to_le_bytes)),
        Datatype::Uint64 => reader.run(|t, out| push(t, out, u64::to_le_bytes)),
        Datatype::Int8 => reader.run(|t, out| push(t, out, i8::to_le_bytes)),
        Datatype::Int16 => reader.run(|t, out| push(t, out, i16::to_le_bytes)),
        Datatype::Int32 => reader.run(|t, out| push(t, out, i32::to_le_bytes)),
        Datatype::Int64 => reader.run(|t, out| push(t, out, i64::to_le_bytes)),
        Datatype::Fp16 => {
            reader.run(|t, out| push_float(t, out, |v: f64| f16::from_f64(v), f16::is_finite, f16::to_le_bytes))
        }
        Datatype::Bf16 => {
            reader.run(|t, out| push_float(t, out, |v: f64| bf16::from_f64(v), bf16::is_finite, bf16::to_le_bytes))
        }
        Datatype::Fp32 => reader.run(|t, out| push_float(t, out, |v: f32| v, f32::is_finite, f32::to_le_bytes)),
        Datatype::Fp64 => reader.run(|t, out| push_float(t, out, |v: f64| v, f64::is_finite, f64::to_le_bytes)),
        Datatype::Bytes => reader.run(push_text),
    }
}

/// One element's text is appended as bytes, or refused.
type Pushed = Result<(), Bad>;

/// Why an element was refused.
enum Bad {
    /// Not of this datatype, or outside its range.
    Value,
    /// A string that is no text.
    Text,
}

fn push<T: std::str::FromStr, const N: usize>(token: &str, out: &mut Vec<u8>, bytes: fn(T) -> [u8; N]) -> Pushed {
    let value = token.parse().map_err(|_| Bad::Value)?;
    out.extend_from_slice(&bytes(value));
    Ok(())
}

fn push_float<P: std::str::FromStr, T: Copy, const N: usize>(
    token: &str,
    out: &mut Vec<u8>,
    convert: impl Fn(P) -> T,
    is_finite: impl Fn(T) -> bool,
    bytes: impl Fn(T) -> [u8; N],
) -> Pushed {
    // The standard parser also takes the words inf and nan, which skimmed JSON cannot hold; `true`,
    // `null` and strings it refuses.
    let value = convert(token.parse().map_err(|_| Bad::Value)?);
    if !is_finite(value) {
        return Err(Bad::Value);
    }
    out.extend_from_slice(&bytes(value));
    Ok(())
}

fn push_bool(token: &str, out: &mut Vec<u8>) -> Pushed {
    out.push(match token {
        "true" | "1" => 1,
        "false" | "0" => 0,
        _ => return Err(Bad::Value),
    });
    Ok(())
}

fn push_text(token: &str, out: &mut Vec<u8>) -> Pushed {
    let inner = token.strip_prefix('"').and_then(|t| t.strip_suffix('"')).ok_or(Bad::Value)?;
    if inner.contains('\\') {
        let text: String = serde_json::from_str(token).map_err(|_| Bad::Text)?;
        return push_element(out, text.as_bytes()).map_err(|_| Bad::Value);
    }
    push_element(out, inner.as_bytes()).map_err(|_| Bad::Value)
}

struct Reader<'a> {
    data: &'a str,
    shape: &'a [usize],
    count: usize,
    datatype: Datatype,
    out: Vec<u8>,
    /// Elements seen.
    total: usize,
    /// Children seen in each open bracket.
    open: Vec<usize>,
    /// Depth of the first element; all others must be at the same.
    leaf: Option<usize>,
    /// Deepest bracket so far.
    deepest: usize,
}

impl<'a> Reader<'a> {
    fn new(data: &'a str, shape: &'a [usize], count: usize, datatype: Datatype) -> Self {
        // Elements take at least a digit and a comma: a huge shape cannot make a huge allocation.
        let capacity = count.min(data.len().div_ceil(2)).saturating_mul(datatype.size().unwrap_or(8));
        let out = Vec::with_capacity(capacity);
        Self { data, shape, count, datatype, out, total: 0, open: Vec::new(), leaf: None, deepest: 0 }
    }

    fn run(mut self, push: impl Fn(&str, &mut Vec<u8>) -> Pushed) -> Result<Vec<u8>, String> {
        let bytes = self.data.as_bytes();
        if bytes.first() != Some(&b'[') {
            return Err("data must be an array".to_owned());
        }
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' => {}
                b'[' => self.enter()?,
                b']' => self.leave()?,
                b'{' => return Err("data must hold no objects".to_owned()),
                _ => {
                    let end = if byte == b'"' { end_of_string(bytes, at) } else { end_of_word(bytes, at) };
                    let token = self.data.get(at - 1..end).unwrap_or_default();
                    at = end;
                    self.element()?;
                    if self.total <= self.count {
                        push(token, &mut self.out).map_err(|bad| self.refuse(&bad, token))?;
                    }
                }
            }
        }
        if self.total != self.count {
            let (total, shape, count) = (self.total, Shape(self.shape), self.count);
            return Err(format!("data has {total} elements, shape {shape} needs {count}"));
        }
        Ok(self.out)
    }

    fn enter(&mut self) -> Result<(), String> {
        if let Some(children) = self.open.last_mut() {
            *children += 1;
        }
        self.open.push(0);
        self.deepest = self.deepest.max(self.open.len());
        if self.open.len() > self.shape.len().max(1) {
            return Err(format!("data is nested deeper than shape {}", Shape(self.shape)));
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), String> {
        let children = self.open.pop().unwrap_or_default();
        let level = self.open.len();
        match self.shape.get(level) {
            // Flat data is counted as a whole.
            Some(&size) if self.deepest > 1 && size != children => {
                let shape = Shape(self.shape);
                Err(format!("data has {children} elements at nesting level {level}, shape {shape} needs {size}"))
            }
            _ => Ok(()),
        }
    }

    fn element(&mut self) -> Result<(), String> {
        let depth = self.open.len();
        let is_flat = depth == 1 && self.deepest == 1;
        if *self.leaf.get_or_insert(depth) != depth || !(is_flat || depth == self.shape.len()) {
            return Err(format!("data must be flat, or nested as shape {} says", Shape(self.shape)));
        }
        if let Some(children) = self.open.last_mut() {
            *children += 1;
        }
        self.total += 1;
        Ok(())
    }

    fn refuse(&self, bad: &Bad, token: &str) -> String {
        let index = self.total - 1;
        match bad {
            Bad::Value => {
                let shown: String = token.chars().take(32).collect();
                format!("element {index}, {shown}, is not a value of {}", self.datatype.name())
            }
            Bad::Text => format!("element {index} is a string that is not valid Unicode"),
        }
    }
}

/// The index after the closing quote of the string whose inside starts at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The index after the number or word that goes on at `at`.
fn end_of_word(bytes: &[u8], at: usize) -> usize {
    let is_end = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'[' | b'{' | b'"');
    bytes.get(at..).unwrap_or_default().iter().position(is_end).map_or(bytes.len(), |n| at + n)
}

/// A shape as messages show it.
pub(super) struct Shape<'a>(pub(super) &'a [usize]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
