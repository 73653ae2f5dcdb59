//! Which dimension stacks requests, and which carries a row's length.
//!
//! Decides both from the symbols alone (docs/interface.md): nothing that the symbols leave open is guessed.
//! Does not know what the numbers in the tensors mean.

use super::{Dim, TensorSpec};

#[cfg(test)]
mod tests;

/// The inputs of text models whose dimension 1, where they have one, is the text's length.
pub(super) const TEXT_INPUTS: [&str; 4] = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];

/// The length dimension that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Length {
    /// Its symbol; `None` where `input_ids` has a nameless one.
    pub(super) symbol: Option<String>,
    /// Whether rows may be padded along it.
    pub(super) pads: bool,
}

/// Whether a symbol says nothing: empty, or numbered by an exporter that was given no name
/// (`unk__12`, `Addlast_hidden_state_dim_1`, `input_ids_dynamic_axes_2`).
///
/// Such symbols differ between tensors whose sizes are the same, and so compare equal to nothing.
pub(super) fn anonymous(symbol: &str) -> bool {
    let stem = symbol.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = ["unk__", "_dim_", "_dynamic_axes_"].iter().any(|end| stem.ends_with(end));
    symbol.is_empty() || (numbered && stem.len() < symbol.len())
}

/// Finds the batch dimension's symbol (empty where it is nameless), or says why there is none.
///
/// `named` is the operator's word: then a nameless first dimension counts as this one, and outputs may
/// call theirs anything.
pub(super) fn batch_symbol(
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
    named: Option<&str>,
) -> Result<String, String> {
    let first = inputs.first().ok_or("the model has no inputs")?;
    let symbol = match named {
        Some(symbol) => symbol,
        None => nameless_as_empty(first_symbol("input", first)?),
    };
    for input in inputs {
        let own = nameless_as_empty(first_symbol("input", input)?);
        if own != symbol && !(named.is_some() && own.is_empty()) {
            return Err(format!("input `{}` has `{own}` as its first dimension, not `{symbol}`", input.name));
        }
    }
    for output in outputs {
        let own = nameless_as_empty(first_symbol("output", output)?);
        let of_an_input = inputs.iter().any(|i| i.dims.iter().any(|d| is_symbol(d, own)));
        if own != symbol && !own.is_empty() && (named.is_none() || of_an_input) {
            return Err(format!("output `{}` has `{own}` as its first dimension, not `{symbol}`", output.name));
        }
    }
    let mixes = |t: &&TensorSpec| !symbol.is_empty() && t.dims.iter().skip(1).any(|d| is_symbol(d, symbol));
    match inputs.iter().chain(outputs).find(mixes) {
        Some(tensor) => Err(format!("`{}` has `{symbol}` beyond its first dimension too", tensor.name)),
        None => Ok(symbol.to_owned()),
    }
}

/// Finds the length dimension where the operator names none.
pub(super) fn infer_length(inputs: &[TensorSpec], outputs: &[TensorSpec], batch: Option<&str>) -> Option<Length> {
    let length_of = |name: &str| {
        let input = inputs.iter().find(|i| i.name == name && i.dims.len() == 2)?;
        free(&input.dims[1]).filter(|&symbol| batch.is_none_or(|batch| batch.is_empty() || batch != symbol))
    };
    let own = length_of("input_ids");
    if let Some(symbol) = length_of("attention_mask").filter(|s| !anonymous(s)) {
        let shared = inputs.iter().filter(|i| i.name != "attention_mask").any(|i| has(i, symbol));
        let texts_agree = inputs.iter().filter(|i| TEXT_INPUTS.contains(&i.name.as_str())).all(|i| has(i, symbol));
        if shared && texts_agree {
            let pads = outputs.iter().all(|output| is_trimmed(output, symbol, inputs));
            return Some(Length { symbol: Some(symbol.to_owned()), pads });
        }
    }
    own.map(|symbol| Length { symbol: (!anonymous(symbol)).then(|| symbol.to_owned()), pads: false })
}

/// The symbols of all dynamic dimensions, each once, for messages.
pub(super) fn symbols(tensors: &[TensorSpec]) -> Vec<&str> {
    let mut symbols: Vec<&str> = tensors.iter().flat_map(|t| &t.dims).filter_map(free).collect();
    symbols.retain(|s| !s.is_empty());
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

/// Whether `tensor` has a dynamic dimension with this symbol.
pub(super) fn has(tensor: &TensorSpec, symbol: &str) -> bool {
    tensor.dims.iter().any(|d| is_symbol(d, symbol))
}

/// The symbol of a dynamic dimension that has not been given a meaning.
pub(super) fn free(dim: &Dim) -> Option<&str> {
    match dim {
        Dim::Free(symbol) => Some(symbol),
        Dim::Fixed(_) | Dim::Batch | Dim::Length => None,
    }
}

/// Whether trimming along `symbol` makes a padded batch's output what the row alone would give.
///
/// An output whose size follows the length under another name could not be trimmed, so every dynamic
/// dimension must be the length, or one that all rows of a batch have in common.
fn is_trimmed(output: &TensorSpec, symbol: &str, inputs: &[TensorSpec]) -> bool {
    output
        .dims
        .iter()
        .skip(1)
        .filter_map(free)
        .all(|own| own == symbol || (!anonymous(own) && inputs.iter().any(|input| has(input, own))))
}

fn first_symbol<'a>(role: &str, tensor: &'a TensorSpec) -> Result<&'a str, String> {
    let name = &tensor.name;
    match tensor.dims.first() {
        Some(Dim::Free(symbol)) => Ok(symbol),
        Some(Dim::Batch) => Ok(""),
        Some(Dim::Length) => Err(format!("the first dimension of {role} `{name}` is its length")),
        Some(Dim::Fixed(size)) => Err(format!("the first dimension of {role} `{name}` is fixed at {size}")),
        None => Err(format!("{role} `{name}` is a scalar")),
    }
}

fn nameless_as_empty(symbol: &str) -> &str {
    if anonymous(symbol) { "" } else { symbol }
}

fn is_symbol(dim: &Dim, symbol: &str) -> bool {
    !symbol.is_empty() && free(dim) == Some(symbol)
}
