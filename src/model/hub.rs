//! What the files that exporters leave beside a graph say: `config.json`, `tokenizer_config.json` and
//! the sentence-transformers files.
//!
//! Decides which file wins where two speak of the same thing. Does not know the graph; `model.toml`
//! overrides all of it later.

use super::FolderError;
use super::json::Json;
use crate::text::Pooling;
use std::path::Path;

#[cfg(test)]
mod tests;

/// What the files say; everything is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Hints {
    /// How token vectors are pooled. A way that cannot be done here is kept as its fault: it matters
    /// only if it comes to pooling.
    pub(super) pooling: Option<Result<Pooling, FolderError>>,
    /// Whether the model's last module scales its vectors.
    pub(super) normalize: bool,
    /// Longest row that the tokenizer or the model's author gives.
    pub(super) max_length: Option<u32>,
    /// Longest row that the position embeddings allow.
    pub(super) max_positions: Option<u32>,
    /// Id of the padding token.
    pub(super) pad_id: Option<u32>,
    /// Width of a token vector.
    pub(super) hidden: Option<usize>,
    /// Class names of the training library.
    pub(super) architectures: Vec<String>,
    /// Label names of a classifier, by index.
    pub(super) labels: Vec<String>,
}

/// Models whose positions start behind the padding id, so that this many are never used.
const OFFSET_POSITIONS: [&str; 11] = [
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

/// Lengths above this stand for "no limit" in `tokenizer_config.json`.
const ABSURD_LENGTH: f64 = 1e9;

/// Reads all of them.
pub(super) fn read_hints(root: &Path) -> Result<Hints, FolderError> {
    let config = Json::object(root, "config.json")?;
    let tokenizer = Json::object(root, "tokenizer_config.json")?;
    let sentence = Json::object(root, "sentence_bert_config.json")?;
    let mut hints = Hints {
        pad_id: tokenizer.uint("pad_token_id")?.or(config.uint("pad_token_id")?),
        hidden: config.uint("hidden_size")?.map(|n| n as usize),
        architectures: config.strings("architectures")?.unwrap_or_default(),
        labels: labels(config.numbered_strings("id2label")?.unwrap_or_default()),
        max_length: sentence.uint("max_seq_length")?.filter(|&n| n > 0).or(tokenizer_length(&tokenizer)?),
        max_positions: positions(&config)?,
        ..Hints::default()
    };
    read_modules(root, &mut hints)?;
    Ok(hints)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie within 1 to 1e9")]
fn tokenizer_length(tokenizer: &Json) -> Result<Option<u32>, FolderError> {
    let length = tokenizer.number("model_max_length")?;
    Ok(length.filter(|n| (1.0..=ABSURD_LENGTH).contains(n)).map(|n| n as u32))
}

fn positions(config: &Json) -> Result<Option<u32>, FolderError> {
    let kind = config.string("model_type")?.unwrap_or_default();
    let unused = match OFFSET_POSITIONS.contains(&kind.as_str()) {
        true => config.uint("pad_token_id")?.unwrap_or(1).saturating_add(1),
        false => 0,
    };
    let count = config.uint("max_position_embeddings")?;
    Ok(count.map(|n| n.saturating_sub(unused)).filter(|&n| n > 0))
}

/// Names by index; an index without a name gets the training library's own substitute.
fn labels(named: Vec<(usize, String)>) -> Vec<String> {
    const MOST: usize = 1 << 20;
    let mut labels: Vec<String> = Vec::new();
    for (index, name) in named.into_iter().filter(|(index, _)| *index < MOST) {
        while labels.len() < index {
            labels.push(format!("LABEL_{}", labels.len()));
        }
        if labels.len() == index {
            labels.push(name);
        }
    }
    labels
}

/// The sentence-transformers pipeline: what follows the transformer.
fn read_modules(root: &Path, hints: &mut Hints) -> Result<(), FolderError> {
    let Some(modules) = Json::list(root, "modules.json")? else {
        hints.pooling = pooling(&Json::object(root, "1_Pooling/config.json")?)?;
        return Ok(());
    };
    let mut foreign = None;
    for module in &modules {
        let kind = module.string("type")?.unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Dropout" => {}
            "Normalize" => hints.normalize = true,
            "Pooling" => {
                let folder = module.string("path")?.unwrap_or_else(|| "1_Pooling".into());
                hints.pooling = pooling(&Json::object(root, &format!("{folder}/config.json"))?)?;
            }
            _ => foreign = Some(module.fault("type", foreign_module(&kind))),
        }
    }
    if let Some(fault) = foreign {
        hints.pooling = Some(Err(fault));
    }
    Ok(())
}

fn foreign_module(kind: &str) -> String {
    format!(
        "module `{kind}` cannot be run here (allowed: Transformer, Pooling, Normalize, Dropout); set [text] pooling in \
         model.toml to answer without it"
    )
}

/// The mode of a pooling module, in the present form (`pooling_mode`) or the older one (a flag each).
fn pooling(config: &Json) -> Result<Option<Result<Pooling, FolderError>>, FolderError> {
    const FLAGS: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    let (field, modes) = if let Some(modes) = config.strings("pooling_mode")? {
        ("pooling_mode", modes)
    } else {
        let mut modes = Vec::new();
        for (flag, mode) in FLAGS {
            if config.bool(flag)?.unwrap_or(false) {
                modes.push(mode.to_owned());
            }
        }
        ("pooling_mode_…", modes)
    };
    let one = match modes.as_slice() {
        [] => return Ok(None),
        [one] => one.as_str(),
        _ => "",
    };
    Ok(Some(match one {
        "mean" => Ok(Pooling::Mean),
        "cls" => Ok(Pooling::Cls),
        "lasttoken" | "last" => Ok(Pooling::Last),
        _ => Err(config
            .fault(field, format!("is `{}`; exactly one of mean, cls, lasttoken can be run here", modes.join(" + ")))),
    }))
}
