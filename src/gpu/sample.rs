//! One look at one GPU.
//!
//! Decides which answers of NVML mean "not known here", "this GPU is lost" and "the driver is away".
//! Keeps nothing but which functions it has complained of.

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::{MemoryInfo, ProcessInfo};
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_RETIRED_DBE, NVML_FI_DEV_RETIRED_SBE};
use std::collections::HashSet;

/// A count of processes or pages above it is an error of the driver's.
const MOST_LISTED: u64 = 65_536;
/// As above, for degrees Celsius.
const HOTTEST: u32 = 1000;

/// What was sampled; each `None` where this GPU, driver or user has no such value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// The share of time in which any kernel ran, 0 to 1. It says nothing of how much of the GPU was used.
    pub utilization: Option<f64>,
    /// The share of time in which memory was read or written, 0 to 1.
    pub memory_utilization: Option<f64>,
    /// Its memory, or that of the MIG instance CUDA sees.
    pub memory: Option<Memory>,
    /// Bytes that this process has of it.
    pub process_memory: Option<u64>,
    /// Power drawn, in watts.
    pub power: Option<f64>,
    /// The limit that is enforced, in watts.
    pub power_limit: Option<f64>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Clock of the processors, in MHz.
    pub clock_sm: Option<u32>,
    /// Clock of the memory, in MHz.
    pub clock_memory: Option<u32>,
    /// Why its clocks are not higher.
    pub reasons: Option<Reasons>,
    /// Errors of its memory since the driver was loaded, that were corrected.
    pub ecc_corrected: Option<u64>,
    /// As above, that were not.
    pub ecc_uncorrected: Option<u64>,
    /// Pages taken out of use for several single-bit errors.
    pub retired_single: Option<u64>,
    /// Pages taken out of use for a double-bit error.
    pub retired_double: Option<u64>,
    /// Whether it is divided into MIG instances.
    pub mig: Option<bool>,
}

/// Memory in bytes; what the driver keeps for itself is neither used nor free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In use, by whomever.
    pub used: u64,
    /// Left.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// Why clocks are not higher: NVML's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reasons(pub u64);

/// NVML's reasons, and how they are called here.
const REASONS: [(ThrottleReasons, &str); 9] = [
    (ThrottleReasons::GPU_IDLE, "gpu_idle"),
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting"),
];

impl Reasons {
    /// Every reason NVML knows, and whether it holds.
    pub fn all(self) -> impl Iterator<Item = (&'static str, bool)> {
        REASONS.into_iter().map(move |(reason, name)| (name, self.0 & reason.bits() != 0))
    }

    /// The names of those that hold.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.all().filter(|(_, holds)| *holds).map(|(name, _)| name)
    }

    /// Whether the GPU is slower than what was learned of it: by heat, a power brake, or a hardware slowdown.
    ///
    /// A power cap kept by software is how a busy GPU usually runs, so the learned cost has it in it; the
    /// settings of clocks do not come and go; idleness is none.
    #[must_use]
    pub fn slow_down(self) -> bool {
        let slow = ThrottleReasons::HW_SLOWDOWN
            | ThrottleReasons::SW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_THERMAL_SLOWDOWN
            | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
        self.0 & slow.bits() != 0
    }
}

/// Why there is no sample.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The GPU cannot be reached, by anybody.
    Lost(NvmlError),
    /// NVML does not answer for the GPU; what runs on it need not have noticed.
    Silent(NvmlError),
    /// NVML has no driver behind it any more.
    Driver(NvmlError),
}

/// Reads answers; says of each function once that it has none.
#[derive(Debug, Default)]
pub(super) struct Reader {
    complained: HashSet<(u32, &'static str)>,
    /// The GPU that is read, for the log.
    gpu: u32,
}

impl Reader {
    /// Reads everything of a GPU; `memory` is the MIG instance, or the GPU itself.
    pub(super) fn sample(&mut self, gpu: u32, device: &Device<'_>, memory: &Device<'_>) -> Result<Sample, Trouble> {
        self.gpu = gpu;
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
        let utilization = self.value("utilization", device.utilization_rates())?;
        let mig = self.value("MIG mode", device.mig_mode())?;
        let memory_info = self.value("memory", memory.memory_info())?;
        let errors = |kind| device.total_ecc_errors(kind, EccCounter::Volatile);
        Ok(Sample {
            utilization: utilization.as_ref().and_then(|u| ratio(u.gpu)),
            memory_utilization: utilization.as_ref().and_then(|u| ratio(u.memory)),
            memory: memory_info.as_ref().and_then(Memory::of),
            process_memory: self.value("processes", processes(memory))?.and_then(own),
            power: self.value("power", device.power_usage())?.map(watts),
            power_limit: self.value("power limit", device.enforced_power_limit())?.map(watts),
            temperature: self
                .value("temperature", device.temperature(TemperatureSensor::Gpu))?
                .filter(|degrees| *degrees <= HOTTEST),
            clock_sm: self.value("SM clock", device.clock_info(Clock::SM))?,
            clock_memory: self.value("memory clock", device.clock_info(Clock::Memory))?,
            reasons: self
                .value("throttle reasons", device.current_throttle_reasons())?
                .map(|reasons| Reasons(reasons.bits())),
            ecc_corrected: self.value("corrected ECC errors", errors(MemoryError::Corrected))?,
            ecc_uncorrected: self.value("uncorrected ECC errors", errors(MemoryError::Uncorrected))?,
            retired_single: self.value("retired pages", retired(device, NVML_FI_DEV_RETIRED_SBE))?,
            retired_double: self.value("retired pages", retired(device, NVML_FI_DEV_RETIRED_DBE))?,
            mig: mig.map(|mode| mode.current != 0),
        })
    }

    /// An answer; nothing where there is none here.
    pub(super) fn value<T>(&mut self, what: &'static str, answer: Result<T, NvmlError>) -> Result<Option<T>, Trouble> {
        match need(answer) {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Silent(error)) => {
                if self.complained.insert((self.gpu, what)) {
                    tracing::debug!(gpu = self.gpu, "NVML has no {what}: {error}");
                }
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }
}

/// An answer without which there is no sample.
pub(super) fn need<T>(answer: Result<T, NvmlError>) -> Result<T, Trouble> {
    answer.map_err(|error| match error {
        NvmlError::GpuLost | NvmlError::ResetRequired => Trouble::Lost(error),
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch => {
            Trouble::Driver(error)
        }
        _ => Trouble::Silent(error),
    })
}

impl Memory {
    /// `None` where that cannot be.
    fn of(info: &MemoryInfo) -> Option<Self> {
        let can_be = info.used.max(info.free) <= info.total;
        can_be.then_some(Self { used: info.used, free: info.free, total: info.total })
    }
}

/// A share of a percentage; `None` where that cannot be.
fn ratio(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

/// A count that NVML gives, where it can be believed.
fn believed(count: u64) -> Result<u64, NvmlError> {
    if count > MOST_LISTED { Err(NvmlError::Unknown) } else { Ok(count) }
}

/// The processes of a GPU. They are counted first, because the list makes room for as many as NVML says.
fn processes(device: &Device<'_>) -> Result<Vec<ProcessInfo>, NvmlError> {
    believed(device.running_compute_processes_count()?.into())?;
    device.running_compute_processes()
}

/// A field that counts retired pages: their list would make room for as many as NVML says.
fn retired(device: &Device<'_>, field: u32) -> Result<u64, NvmlError> {
    let answer = device.field_values_for(&[FieldId(field)])?.pop().ok_or(NvmlError::NotFound)??;
    match answer.value? {
        SampleValue::U32(pages) => believed(pages.into()),
        SampleValue::U64(pages) => believed(pages),
        SampleValue::I64(_) | SampleValue::F64(_) => Err(NvmlError::Unknown),
    }
}

/// What this process has. It is not in the list where its numbers are of a PID namespace of its own: then
/// that is not known.
fn own(processes: Vec<ProcessInfo>) -> Option<u64> {
    let own = processes.into_iter().filter(|process| process.pid == std::process::id());
    own.map(|process| match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    })
    .reduce(|a, b| a?.checked_add(b?))
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_names_and_few_of_them_slow_down() {
        let names = |bits| Reasons(bits).names().collect::<Vec<_>>();
        assert_eq!(names(0x0), [""; 0]);
        assert_eq!(names(0x1 | 0x4), ["gpu_idle", "sw_power_cap"]);
        assert_eq!(names(0x8 | 0x40), ["hw_slowdown", "hw_thermal_slowdown"]);
        assert_eq!(Reasons(u64::MAX).all().count(), 9);
        for bit in [0x8, 0x20, 0x40, 0x80] {
            assert!(Reasons(bit).slow_down(), "{bit:#x}");
        }
        assert!(!Reasons(0x1 | 0x2 | 0x4 | 0x10 | 0x100).slow_down());
    }

    #[test]
    fn memory_of_this_process_is_summed_or_not_known() {
        let process =
            |pid, used| ProcessInfo { pid, used_gpu_memory: used, gpu_instance_id: None, compute_instance_id: None };
        let (me, used) = (std::process::id(), UsedGpuMemory::Used);
        assert_eq!(own(vec![process(me, used(3)), process(me + 1, used(9)), process(me, used(4))]), Some(7));
        assert_eq!(own(vec![process(me + 1, used(9))]), None);
        assert_eq!(own(vec![process(me, UsedGpuMemory::Unavailable)]), None);
        assert_eq!(own(vec![process(me, used(u64::MAX - 1)), process(me, used(9))]), None);
    }

    #[test]
    fn what_cannot_be_is_not_known() {
        assert_eq!([ratio(0), ratio(100), ratio(101), ratio(u32::MAX)], [Some(0.0), Some(1.0), None, None]);
        let memory = |used, free| Memory::of(&MemoryInfo { used, free, total: 10, reserved: 0, version: 2 });
        assert_eq!(memory(10, 0), Some(Memory { used: 10, free: 0, total: 10 }));
        assert_eq!([memory(11, 0), memory(0, 11)], [None, None]);
        assert_eq!(believed(65_536).ok(), Some(65_536));
        assert!(believed(65_537).is_err());
    }
}
