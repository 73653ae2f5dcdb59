//! How sessions on a GPU are set up, as operators may choose it.

/// Settings of the CUDA execution provider for one model's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CudaSettings {
    /// Most bytes of GPU memory that a session's arena takes; without one, all that is free.
    pub memory_limit: Option<u64>,
    /// How the arena grows.
    pub arena_extend: ArenaExtend,
    /// How a convolution's algorithm is chosen.
    pub conv_search: ConvSearch,
    /// Whether single-precision products may be rounded to TensorFloat-32: faster, and less exact.
    pub tf32: bool,
}

/// How a session's arena grows when it is too small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArenaExtend {
    /// By growing steps, so that shapes to come find room without another allocation.
    #[default]
    PowerOfTwo,
    /// By what is asked for: the least at first, fragments with many shapes.
    SameAsRequested,
}

/// How cuDNN's algorithm for a convolution of a new shape is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConvSearch {
    /// By cuDNN's rules of thumb: a new shape costs little.
    #[default]
    Heuristic,
    /// By trying all of them: the fastest runs, at the price of a slow first one for every new shape.
    Exhaustive,
    /// Always the same one.
    Default,
}
