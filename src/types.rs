//! The words every room shares: identifiers, the core's own time, priorities, shape classes, a lock.
//!
//! Decides nothing. Knows nothing of clocks, tensors, HTTP or policies.

use std::fmt;
use std::ops::{Add, Sub};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod cuda;
mod guard;

pub use cuda::{ArenaExtend, ConvSearch, CudaSettings};
pub use guard::{fenced, words};

/// An instant on the process's own monotonic clock, in nanoseconds since an arbitrary origin.
///
/// A plain number, because an `Instant` cannot be written to a golden file or a trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// A time no event ever reaches.
    pub const NEVER: Time = Time(u64::MAX);

    /// The duration since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole microseconds since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub fn micros_since(self, earlier: Time) -> u64 {
        u64::try_from(self.since(earlier).as_micros()).unwrap_or(u64::MAX)
    }

    /// Builds a time from whole milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One caller's request, unique for the life of the process.
    RequestId(u64)
);
id!(
    /// One run of a model, unique for the life of the process.
    BatchId(u64)
);
id!(
    /// A model in the live table.
    ModelId(u32)
);
id!(
    /// One session of one model on one device.
    WorkerId(u32)
);
id!(
    /// A [`Device`], as a number that is cheap to compare.
    DeviceId(u32)
);
id!(
    /// Everything about a row's shape but its batch and length dimensions, hashed.
    ///
    /// Rows of different classes never share a batch.
    ShapeClass(u64)
);

impl ShapeClass {
    /// A class that nothing else is of, for what must run alone.
    #[must_use]
    pub fn alone() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut hash = Fnv::default();
        hash.word(u64::MAX);
        hash.word(NEXT.fetch_add(1, Ordering::Relaxed));
        Self(hash.value())
    }
}

/// Where a session runs. Devices share nothing: what runs on one does not slow another.
///
/// Written `cpu`, `cpu:1`, `cuda:0`. There is one CPU; further numbers stand for parts of it that are
/// scheduled as devices of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The CPU, or a numbered part of it.
    Cpu(u32),
    /// A GPU, by CUDA's number among those this process may see.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(0) => f.write_str("cpu"),
            Self::Cpu(part) => write!(f, "cpu:{part}"),
            Self::Cuda(gpu) => write!(f, "cuda:{gpu}"),
        }
    }
}

/// A text that names no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADevice;

impl FromStr for Device {
    type Err = NotADevice;
    fn from_str(text: &str) -> Result<Self, NotADevice> {
        let (kind, number) = text.split_once(':').unwrap_or((text, "0"));
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| plain).ok_or(NotADevice)?;
        match kind {
            "cpu" => Ok(Self::Cpu(number)),
            "cuda" if text != kind => Ok(Self::Cuda(number)),
            _ => Err(NotADevice),
        }
    }
}

/// A request's urgency level: 1 is the most urgent, 0 means "not given" (the middle level).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u32);

impl Priority {
    /// The level in `1..=levels`: absent is the middle one, above the maximum clamps.
    #[must_use]
    pub fn level(self, levels: u32) -> u32 {
        if self.0 == 0 { levels.div_ceil(2).max(1) } else { self.0.clamp(1, levels.max(1)) }
    }
}

/// Whether a text can be the name of a request or a tenant: at most 128 visible ASCII characters, as a header
/// carries them unchanged.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A file that the operator named, and where: messages about it say both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// The flag, the variable, or the place in a file that names it.
    pub by: String,
}

/// Locks what is whole whenever it is free: a panic of another holder left nothing half done.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// FNV-1a, 64 bits: the same in every build and process, so that traces and golden files keep.
#[derive(Debug, Clone, Copy)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// Takes in a number, as eight little-endian bytes.
    pub fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }

    /// The hash of all that was taken in.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}
