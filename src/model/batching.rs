//! Whether requests of a model share runs, and why not where they do not.
//!
//! Decides nothing: what was found of a model is put here, for whoever asks.

/// How requests of a model run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Requests are stacked into batches.
    Stacked,
    /// Each request runs alone.
    Solo,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stacked, Self::Solo];

    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stacked => "stacked",
            Self::Solo => "solo",
        }
    }
}

/// What was found of a model's batching.
#[derive(Debug, Clone, PartialEq)]
pub struct Batching {
    /// How its requests run.
    pub mode: Mode,
    /// Why they are not stacked, or not padded, or stacked all the same; `None` where there is nothing to say.
    pub why: Option<String>,
    /// A setting with which its requests would be stacked, where that was tried.
    pub mend: Option<String>,
    /// The largest difference that was seen between a row's answer in a batch and alone, where that was tried.
    pub moved: Option<f64>,
}

impl Default for Batching {
    fn default() -> Self {
        Self { mode: Mode::Stacked, why: None, mend: None, moved: None }
    }
}

impl Batching {
    /// Each request alone, for this reason.
    #[must_use]
    pub fn solo(why: impl Into<String>) -> Self {
        Self { mode: Mode::Solo, why: Some(why.into()), mend: None, moved: None }
    }
}
