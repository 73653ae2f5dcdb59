//! From a graph's declared tensors and its folder's words to a [`ModelSpec`].
//!
//! Decides what is stacked, what is padded and with what, and the longest row. Every fault of
//! `model.toml` that only shows beside the graph is found here.

use super::dims::{self, Length};
use super::{
    Batching, Datatype, Dim, Folder, FolderError, ModelSpec, RawDim, RawIo, RawTensor, Task, TensorSpec, TextInput,
    task,
};

#[cfg(test)]
mod tests;

impl ModelSpec {
    /// Interprets the graph's inputs and outputs with the help of the folder's files.
    ///
    /// # Errors
    /// [`FolderError::Field`] when `model.toml` or another file says what the graph contradicts.
    pub fn resolve(io: &RawIo, folder: &Folder) -> Result<Self, FolderError> {
        let mut inputs: Vec<TensorSpec> = io.inputs.iter().map(uninterpreted).collect();
        let mut outputs: Vec<TensorSpec> = io.outputs.iter().map(uninterpreted).collect();
        let (batch, unstackable) = match batch(&inputs, &outputs, folder)? {
            Ok(symbol) => (Some(symbol), None),
            Err(why) => (None, Some(why)),
        };
        let length = length(&inputs, &outputs, batch.as_deref(), folder)?;
        if batch.is_some() {
            inputs.iter_mut().chain(&mut outputs).for_each(|tensor| tensor.dims[0] = Dim::Batch);
        }
        if let Some(length) = &length {
            mark_length(&mut inputs, &mut outputs, length);
        }
        set_pads(&mut inputs, folder)?;
        set_samples(&mut inputs, folder)?;
        let pads = batch.is_some() && length.is_some_and(|l| l.pads) && !folder.settings.batching.exact;
        let mut spec = Self {
            max_length: max_length(&inputs, folder),
            inputs,
            outputs,
            left_out: io.left_out.clone(),
            batchable: batch.is_some(),
            pads,
            batching: match unstackable {
                None => Batching::default(),
                Some(why) => Batching::solo(why),
            },
            made_up: None,
            task: Task::Tensors,
        };
        spec.task = task::infer(&spec, folder)?;
        Ok(spec)
    }
}

impl ModelSpec {
    /// The setting that would name the batch dimension of a model whose names do not agree on one; `None` where no name
    /// can: every tensor's first dimension has to be open.
    #[must_use]
    pub fn batch_dim_to_name(&self) -> Option<String> {
        if self.batchable {
            return None;
        }
        let tensors = self.inputs.iter().chain(&self.outputs);
        let mut names = tensors.filter_map(|tensor| tensor.dims.first().and_then(dims::free));
        let named = |symbol: &&str| {
            !dims::anonymous(symbol) && dims::batch_symbol(&self.inputs, &self.outputs, Some(symbol)).is_ok()
        };
        names.find(named).map(|symbol| format!("batch_dim = \"{symbol}\""))
    }
}

fn uninterpreted(raw: &RawTensor) -> TensorSpec {
    let dim = |d: &RawDim| match d {
        RawDim::Fixed(size) => Dim::Fixed(*size),
        RawDim::Symbol(symbol) => Dim::Free(symbol.clone()),
    };
    let dims = raw.dims.iter().map(dim).collect();
    TensorSpec { open: raw.open, labels: raw.labels.clone(), ..TensorSpec::new(raw.name.clone(), raw.datatype, dims) }
}

/// The symbol of the batch dimension, or why there is none.
fn batch(
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
    folder: &Folder,
) -> Result<Result<String, String>, FolderError> {
    let Some(named) = folder.settings.batching.batch_dim.as_deref() else {
        return Ok(dims::batch_symbol(inputs, outputs, None));
    };
    const FIELD: &str = "[batching] batch_dim";
    let known: Vec<&str> = [dims::symbols(inputs), dims::symbols(outputs)].concat();
    if !known.contains(&named) {
        return Err(folder.fault(FIELD, unknown_symbol(named, known)));
    }
    dims::batch_symbol(inputs, outputs, Some(named)).map(Ok).map_err(|why| folder.fault(FIELD, why))
}

fn length(
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
    batch: Option<&str>,
    folder: &Folder,
) -> Result<Option<Length>, FolderError> {
    let Some(named) = folder.settings.batching.length_dim.as_deref() else {
        return Ok(dims::infer_length(inputs, outputs, batch));
    };
    const FIELD: &str = "[batching] length_dim";
    let known = dims::symbols(inputs);
    if !known.contains(&named) {
        return Err(folder.fault(FIELD, unknown_symbol(named, known)));
    }
    if batch == Some(named) {
        return Err(folder.fault(FIELD, format!("`{named}` is the batch dimension")));
    }
    let strings = |i: &&TensorSpec| i.datatype == Datatype::Bytes && dims::has(i, named);
    if let Some(input) = inputs.iter().find(strings).filter(|_| !folder.settings.batching.exact) {
        let why = format!("input `{}` has datatype BYTES, which cannot be padded; set exact = true", input.name);
        return Err(folder.fault(FIELD, why));
    }
    Ok(Some(Length { symbol: Some(named.to_owned()), pads: true }))
}

fn unknown_symbol(named: &str, mut known: Vec<&str>) -> String {
    known.sort_unstable();
    known.dedup();
    let known = if known.is_empty() { "the model names none".to_owned() } else { known.join(", ") };
    format!("the model has no symbolic dimension `{named}` there (allowed: {known})")
}

fn mark_length(inputs: &mut [TensorSpec], outputs: &mut [TensorSpec], length: &Length) {
    if !length.pads {
        // Only equal lengths share a batch, so it is safe to take the nameless ones for the same.
        let texts = inputs.iter_mut().filter(|i| i.text_input().is_some() && i.dims.len() == 2);
        for dim in texts.map(|i| &mut i.dims[1]) {
            if dims::free(dim).is_some_and(dims::anonymous) {
                *dim = Dim::Length;
            }
        }
    }
    let Some(symbol) = &length.symbol else { return };
    for dim in inputs.iter_mut().chain(outputs).flat_map(|t| &mut t.dims) {
        if dims::free(dim) == Some(symbol) {
            *dim = Dim::Length;
        }
    }
}

fn set_pads(inputs: &mut [TensorSpec], folder: &Folder) -> Result<(), FolderError> {
    if let Some(ids) = inputs.iter_mut().find(|i| i.text_input() == Some(TextInput::Ids)) {
        ids.pad = folder.hints.pad_id.map_or(0.0, f64::from);
    }
    for (name, settings) in &folder.settings.inputs {
        let Some(input) = inputs.iter_mut().find(|i| i.name == *name) else {
            let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let why = format!("the model has no input of this name (allowed: {})", known.join(", "));
            return Err(folder.fault(format!("[inputs.{name}]"), why));
        };
        let Some(pad) = settings.pad else { continue };
        if !holds(input.datatype, pad) {
            let why = format!("{pad} is no value of the input's datatype {}", input.datatype.name());
            return Err(folder.fault(format!("[inputs.{name}] pad"), why));
        }
        input.pad = pad;
    }
    Ok(())
}

/// The shapes of made-up input, as the operator gives them.
fn set_samples(inputs: &mut [TensorSpec], folder: &Folder) -> Result<(), FolderError> {
    for (name, settings) in &folder.settings.inputs {
        let (Some(sample), Some(input)) = (&settings.sample, inputs.iter_mut().find(|i| i.name == *name)) else {
            continue;
        };
        let fits = |(dim, size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => fixed == size,
            _ => *size > 0,
        };
        let fits = input.dims.iter().zip(sample).all(fits);
        if !input.open && (sample.len() != input.dims.len() || !fits) {
            let why = format!("{sample:?} is no shape of the input, which takes {}", input.shape_text());
            return Err(folder.fault(format!("[inputs.{name}] sample"), why));
        }
        input.sample = Some(sample.clone());
    }
    Ok(())
}

/// Whether a tensor of this type can have this value (floating-point types round it).
fn holds(datatype: Datatype, value: f64) -> bool {
    let whole = |low: f64, high: f64| value.fract() == 0.0 && (low..=high).contains(&value);
    match datatype {
        Datatype::Bool => whole(0.0, 1.0),
        Datatype::Uint8 => whole(0.0, f64::from(u8::MAX)),
        Datatype::Uint16 => whole(0.0, f64::from(u16::MAX)),
        Datatype::Uint32 => whole(0.0, f64::from(u32::MAX)),
        Datatype::Uint64 => whole(0.0, MAX_EXACT),
        Datatype::Int8 => whole(f64::from(i8::MIN), f64::from(i8::MAX)),
        Datatype::Int16 => whole(f64::from(i16::MIN), f64::from(i16::MAX)),
        Datatype::Int32 => whole(f64::from(i32::MIN), f64::from(i32::MAX)),
        Datatype::Int64 => whole(-MAX_EXACT, MAX_EXACT),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 => true,
        Datatype::Bytes => false,
    }
}

/// Every whole number up to this one has a double of its own (2⁵³).
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The longest row: the operator's word, else the files', never beyond the position embeddings. The
/// files speak of token rows only.
fn max_length(inputs: &[TensorSpec], folder: &Folder) -> Option<u32> {
    let named = folder.settings.text.max_length.map(u32::from);
    if !inputs.iter().any(|i| i.text_input() == Some(TextInput::Ids)) {
        return named;
    }
    let wanted = named.or(folder.hints.max_length);
    [wanted, folder.hints.max_positions].into_iter().flatten().min()
}
