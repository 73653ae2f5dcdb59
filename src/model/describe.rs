//! A model's meaning in sentences, for `doctor` and the log.
//!
//! Decides what an operator is told and what counts as a warning. Prints nothing.

use super::{Batching, Dim, Folder, LeftOut, MadeUp, ModelSpec, Task, TensorSpec, TextInput, dims};

#[cfg(test)]
mod tests;

/// One line about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether something is worse than it could be.
    pub warning: bool,
    /// The sentence, with the mend where there is one.
    pub text: String,
}

impl Finding {
    fn ok(text: impl Into<String>) -> Self {
        Self { warning: false, text: text.into() }
    }

    fn warning(text: impl Into<String>) -> Self {
        Self { warning: true, text: text.into() }
    }
}

impl ModelSpec {
    /// Says what was understood of the model, one line a fact.
    #[must_use]
    pub fn describe(&self, folder: &Folder) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.inputs.iter().map(|i| Finding::ok(format!("input {i}"))).collect();
        findings.extend(self.outputs.iter().map(|o| Finding::ok(format!("output {o}"))));
        let left_out =
            |out: &LeftOut| Finding::warning(format!("left out: {}, {}, because {}", out.name, out.datatype, out.why));
        findings.extend(self.left_out.iter().map(left_out));
        findings.push(self.describe_batch());
        findings.push(self.describe_length(folder));
        findings.extend(self.describe_made_up());
        findings.extend(self.describe_task(folder));
        findings.extend(self.describe_max_length(folder));
        findings
    }

    fn describe_batch(&self) -> Finding {
        let Batching { why, mend, moved, .. } = &self.batching;
        let why = why.as_deref().unwrap_or("nothing stands against it");
        if self.batchable {
            let stacked = "requests are stacked along the first dimension";
            return match (&self.batching.why, moved) {
                (Some(why), _) => Finding::warning(format!("{stacked}: {why}")),
                (None, Some(0.0)) => Finding::ok(format!(
                    "safe to batch: {stacked}; made-up rows have the same answers in a batch as alone"
                )),
                (None, Some(most)) => Finding::ok(format!(
                    "safe to batch: {stacked}; made-up rows in a batch differ by at most {most:.1e} from the row alone"
                )),
                (None, None) => Finding::ok(stacked),
            };
        }
        if self.made_up.is_some() && dims::batch_symbol(&self.inputs, &self.outputs, None).is_ok() {
            return Finding::warning(format!("not safe to batch, so served one request at a time: {why}"));
        }
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        let dynamic = tensors.all(|t| matches!(t.dims.first(), Some(Dim::Free(_))));
        let mend = match mend {
            Some(setting) => format!("; {setting} under [batching] in model.toml stacks it, which made-up rows bear"),
            None if dynamic => String::new(),
            None => "; export it with a dynamic batch dimension".to_owned(),
        };
        Finding::warning(format!("no symbolic batch dimension: served one request at a time ({why}{mend})"))
    }

    /// What was found of made-up input: its size where the graph leaves that open, or why there is none.
    fn describe_made_up(&self) -> Option<Finding> {
        match &self.made_up {
            Some(MadeUp::Fails(why)) => Some(Finding::warning(format!(
                "no made-up input runs, so health checks wait for a caller's ({why}); give its shape by [inputs.NAME] sample \
                 in model.toml"
            ))),
            _ => {
                let sized = self.inputs.iter().filter_map(|i| Some(format!("{} {:?}", i.name, i.sample.as_ref()?)));
                let sized: Vec<String> = sized.collect();
                (!sized.is_empty()).then(|| Finding::ok(format!("made-up input runs at: {}", sized.join(", "))))
            }
        }
    }

    fn describe_length(&self, folder: &Folder) -> Finding {
        let with_length = self.inputs.iter().filter(|i| i.length_axis().is_some());
        let padded: Vec<String> = with_length.map(|i| format!("{} with {}", i.name, i.pad)).collect();
        let may_pad = self.batchable
            && !folder.settings.batching.exact
            && self.inputs.iter().any(|i| i.text_input() == Some(TextInput::Mask));
        match (padded.is_empty(), self.pads) {
            (true, _) => Finding::ok("no length dimension: only requests of equal shape share a batch"),
            (false, true) => Finding::ok(format!("rows are padded to the batch's longest: {}", padded.join(", "))),
            (false, false) if may_pad => Finding::warning(
                "rows are never padded, only equal lengths share a batch: the symbolic dimensions do not say that every \
                 text input and every output follows one length (if they do, name length_dim in model.toml)",
            ),
            (false, false) => Finding::ok("rows are never padded: only equal lengths share a batch"),
        }
    }

    fn describe_task(&self, folder: &Folder) -> Option<Finding> {
        Some(match &self.task {
            Task::Embedding { output, pooling, normalize, dimensions } => {
                let scaled = if *normalize { ", scaled to length one" } else { "" };
                let name = &self.outputs[*output].name;
                let pooling = format!("{pooling:?}").to_lowercase();
                Finding::ok(format!("embeds text: {dimensions} values from {name}, pooling {pooling}{scaled}"))
            }
            Task::Classifier { output, labels } => {
                let count = if labels.is_empty() { "unnamed".to_owned() } else { labels.len().to_string() };
                Finding::ok(format!("classifies text: {count} labels from {}", self.outputs[*output].name))
            }
            Task::Tensors if folder.has_tokenizer => Finding::warning(
                "tokenizer.json is there, but the model's inputs or outputs are not those of a text model: tensors only",
            ),
            Task::Tensors => return None,
        })
    }

    fn describe_max_length(&self, folder: &Folder) -> Option<Finding> {
        let named = folder.settings.text.max_length.map(u32::from);
        match (self.max_length, named) {
            (Some(max), Some(named)) if max < named => Some(Finding::warning(format!(
                "max_length = {named} in model.toml is more than the {max} positions of config.json: {max} is used"
            ))),
            (Some(max), _) => Some(Finding::ok(format!("a row has at most {max} tokens"))),
            (None, _) if self.task != Task::Tensors => {
                Some(Finding::warning("the longest row is not known: set [text] max_length in model.toml"))
            }
            (None, _) => None,
        }
    }
}

impl TensorSpec {
    /// Its dimensions for a reader, as in `[batch, length, 384]`; `?` where the graph has no name.
    #[must_use]
    pub fn shape_text(&self) -> String {
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(size) => size.to_string(),
            Dim::Batch => "batch".into(),
            Dim::Length => "length".into(),
            Dim::Free(symbol) if symbol.is_empty() => "?".into(),
            Dim::Free(symbol) => symbol.clone(),
        };
        if self.open {
            return "any shape".to_owned();
        }
        format!("[{}]", self.dims.iter().map(dim).collect::<Vec<_>>().join(", "))
    }
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.datatype.name(), self.shape_text())?;
        match self.labels.is_empty() {
            true => Ok(()),
            false => write!(f, ", columns {}", self.labels.join(", ")),
        }
    }
}
