//! How a session is set up: threads, memory, and the execution provider of its device.
//!
//! Decides the options. Does not know what will run in the session.

use super::runtime::Runtime;
use crate::types::{ArenaExtend, ConvSearch, CudaSettings, Device};
use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch, cuda::ConvAlgorithmSearch};
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};

/// What is chosen for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// Where it runs.
    pub device: Device,
    /// Threads within an operator, for what runs on the CPU.
    pub threads: usize,
    /// Whether those threads keep their cores for a while when there is nothing to do.
    pub spin: bool,
    /// For a session on a GPU.
    pub cuda: CudaSettings,
}

impl SessionSettings {
    /// A session on the CPU with so many threads an operator.
    #[must_use]
    pub fn cpu(threads: usize) -> Self {
        Self { device: Device::Cpu(0), threads, spin: false, cuda: CudaSettings::default() }
    }
}

/// Session options: one operator at a time, threads that sleep when idle unless told to spin (which starves
/// everything else on a small machine), and no memory plan, which fits one shape only.
///
/// On a GPU the provider must be there: the runtime would else take the CPU and say nothing.
pub(super) fn builder(
    runtime: &Runtime,
    settings: &SessionSettings,
    level: GraphOptimizationLevel,
) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(runtime.environment())?
        .with_optimization_level(level)?
        .with_intra_threads(settings.threads.max(1))?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(settings.spin)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(false)?;
    Ok(match settings.device {
        Device::Cpu(_) => builder.with_auto_device(AutoDevicePolicy::PreferCPU)?,
        Device::Cuda(gpu) => builder.with_execution_providers([cuda(gpu, &settings.cuda)])?,
    })
}

fn cuda(gpu: u32, settings: &CudaSettings) -> ExecutionProviderDispatch {
    let provider = ep::CUDA::default()
        .with_device_id(i32::try_from(gpu).unwrap_or(i32::MAX))
        .with_arena_extend_strategy(match settings.arena_extend {
            ArenaExtend::PowerOfTwo => ArenaExtendStrategy::NextPowerOfTwo,
            ArenaExtend::SameAsRequested => ArenaExtendStrategy::SameAsRequested,
        })
        .with_conv_algorithm_search(match settings.conv_search {
            ConvSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            ConvSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
            ConvSearch::Default => ConvAlgorithmSearch::Default,
        })
        .with_tf32(settings.tf32);
    let limit = settings.memory_limit.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let provider = match limit {
        Some(bytes) => provider.with_memory_limit(bytes),
        None => provider,
    };
    provider.build().error_on_failure()
}
