//! Every metric of the program, in one typed place.
//!
//! Decides names, labels and buckets, and bounds the tenants that get a label of their own. Does not
//! know when something happens: its users tell it, through handles resolved once for each model.

mod device;
mod families;
mod gpu;
mod labels;
mod model;
mod seen;
mod window;

pub use device::DeviceMetrics;
pub use labels::{Outcome, Protocol, SloResult, TenantLabel};
pub use model::{BatchObserved, ModelMetrics, Total};
pub use seen::{BatchesSeen, Bucket, Seen};
pub use window::{MINUTE, Percentiles, SLOT};

use crate::gpu::Shown;
use crate::types::{Time, locked};
use arc_swap::ArcSwap;
use families::Families;
use gpu::GpuCollector;
use prometheus::{Encoder, IntGauge, TextEncoder};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// The label of requests whose model is not known to this process.
const UNKNOWN_MODEL: &str = "unknown";

/// Most tenants that ever get a label of their own in the life of the process; each keeps its series.
const MOST_TENANTS: usize = 1_000;

/// The program's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: prometheus::Registry,
    families: Families,
    models: RwLock<HashMap<Arc<str>, Arc<ModelMetrics>>>,
    /// The tenants that have a label of their own now.
    tenants: ArcSwap<HashSet<Arc<str>>>,
    named: Mutex<Named>,
    /// The policies that are shown as live.
    policies: Mutex<HashSet<[Box<str>; 3]>>,
    performance: bool,
}

/// Who names the tenants that get a label of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The live policies.
    Policies,
    /// The API keys.
    Keys,
}

/// The tenants that are named.
#[derive(Debug, Default)]
struct Named {
    by_policies: Vec<Arc<str>>,
    by_keys: Vec<Arc<str>>,
    /// Those that ever had a label.
    labelled: HashSet<Arc<str>>,
}

/// One request that was answered or refused.
#[derive(Debug, Clone, Copy)]
pub struct RequestObserved<'a> {
    /// The model it was for; `None` when it named none that exists.
    pub model: Option<&'a ModelMetrics>,
    /// The tenant's name as given; empty when none was.
    pub tenant: &'a str,
    /// How it came.
    pub protocol: Protocol,
    /// How it ended.
    pub outcome: Outcome,
    /// From the end of its head to the start of its answer.
    pub duration: Duration,
    /// When it ended.
    pub now: Time,
}

impl Metrics {
    /// Builds and registers every family.
    ///
    /// # Errors
    /// When two families share a name: a mistake in this room.
    pub fn new() -> prometheus::Result<Self> {
        Self::with_performance(true)
    }

    /// As [`new`](Self::new); without `performance`, nothing about batches is recorded or exported.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_performance(performance: bool) -> prometheus::Result<Self> {
        let registry = prometheus::Registry::new();
        let families = Families::register(&registry, performance)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        for ok in [true, false] {
            families.policy_reloads.with_label_values(&[reload_outcome(ok)]).reset();
        }
        families.policy_last_reload_ok.set(1);
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            registry,
            families,
            models: RwLock::default(),
            tenants: ArcSwap::default(),
            named: Mutex::default(),
            policies: Mutex::default(),
            performance,
        })
    }

    /// Exports what is seen of GPUs from then on.
    ///
    /// # Errors
    /// At a second call: GPUs are exported once.
    pub fn show_gpus(&self, gpus: Shown) -> prometheus::Result<()> {
        self.registry.register(Box::new(GpuCollector::new(gpus)?))
    }

    /// Whether what happens to batches is recorded.
    #[must_use]
    pub fn performance(&self) -> bool {
        self.performance
    }

    /// The handles of one model, made at the first call. `name` must be a configured model's.
    #[must_use]
    pub fn model(&self, name: &str) -> Arc<ModelMetrics> {
        if let Some(found) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(found);
        }
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let name: Arc<str> = name.into();
        let make = || Arc::new(ModelMetrics::new(Arc::clone(&name), &self.families, self.performance));
        Arc::clone(models.entry(Arc::clone(&name)).or_insert_with(make))
    }

    /// Counts a request that was answered or refused.
    pub fn request_done(&self, seen: &RequestObserved<'_>) {
        let model = seen.model.map_or(UNKNOWN_MODEL, ModelMetrics::name);
        let tenant = self.tenant_label(seen.tenant);
        let labels = [model, tenant.as_str(), seen.protocol.label(), seen.outcome.label()];
        self.families.requests.with_label_values(&labels).inc();
        if let Some(model) = seen.model {
            model.request_done(seen.now, seen.outcome, seen.duration);
        }
    }

    /// The bounded label of a tenant: its own name only where a policy or a key names it.
    #[must_use]
    pub fn tenant_label(&self, tenant: &str) -> TenantLabel {
        if tenant.is_empty() {
            return TenantLabel::Default;
        }
        self.tenants.load().get(tenant).map_or(TenantLabel::Other, |known| TenantLabel::Named(Arc::clone(known)))
    }

    /// Replaces the tenants that have a label of their own because they are named there.
    ///
    /// What was counted under a label stays. So that renaming tenants for ever does not add series for
    /// ever, only the first thousand names get a label, those of one set in order; later ones are `other`.
    pub fn set_tenants(&self, by: NamedBy, tenants: impl IntoIterator<Item = Arc<str>>) {
        let mut named = locked(&self.named);
        let Named { by_policies, by_keys, labelled } = &mut *named;
        let place = match by {
            NamedBy::Policies => &mut *by_policies,
            NamedBy::Keys => &mut *by_keys,
        };
        *place = tenants.into_iter().collect();
        let mut may = |tenant: &Arc<str>| {
            labelled.contains(tenant) || labelled.len() < MOST_TENANTS && labelled.insert(Arc::clone(tenant))
        };
        let mut tenants = [&by_policies[..], &by_keys[..]].concat();
        tenants.sort_unstable();
        self.tenants.store(Arc::new(tenants.into_iter().filter(|tenant| may(tenant)).collect()));
    }

    /// Rows waiting or running in the whole program: what autoscalers read.
    #[must_use]
    pub fn inflight_rows(&self) -> &IntGauge {
        &self.families.inflight_rows
    }

    /// Publishes the live policy set: its generation, and each policy's name, strategy and hash. What stays
    /// is there at every moment.
    pub fn set_policies<'a>(&self, generation: u64, policies: impl IntoIterator<Item = [&'a str; 3]>) {
        self.families.policy_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        let mut shown = locked(&self.policies);
        let live: HashSet<[Box<str>; 3]> = policies.into_iter().map(|labels| labels.map(Into::into)).collect();
        for labels in &live {
            self.families.policy_info.with_label_values(labels).set(1);
            if &*labels[1] == "custom" {
                drop(self.families.custom_fallbacks.with_label_values(&labels[..1]));
            }
        }
        for labels in shown.difference(&live) {
            // It is there: nobody else takes one away.
            drop(self.families.policy_info.remove_label_values(labels));
            if !live.iter().any(|other| other[0] == labels[0]) {
                drop(self.families.custom_fallbacks.remove_label_values(&labels[..1]));
            }
        }
        *shown = live;
    }

    /// Counts a decision that was made as `adaptive` makes it, for the policy's script failed.
    pub fn custom_fell_back(&self, policy: &str) {
        self.families.custom_fallbacks.with_label_values(&[policy]).inc();
    }

    /// Counts a reading of the policy folder: `ok` when its policies went live, else the last good ones stay.
    pub fn policy_reloaded(&self, ok: bool) {
        self.families.policy_reloads.with_label_values(&[reload_outcome(ok)]).inc();
        self.families.policy_last_reload_ok.set(i64::from(ok));
    }

    /// Publishes that there are API keys, and that those of the file hold.
    pub fn keys_read(&self) {
        for ok in [true, false] {
            self.families.keys_reloads.with_label_values(&[reload_outcome(ok)]).reset();
        }
        self.families.keys_last_reload_ok.with_label_values::<&str>(&[]).set(1);
    }

    /// Counts a reading of the keys file: `ok` when its keys hold from then on, else the last good ones stay.
    pub fn keys_reloaded(&self, ok: bool) {
        self.families.keys_reloads.with_label_values(&[reload_outcome(ok)]).inc();
        self.families.keys_last_reload_ok.with_label_values::<&str>(&[]).set(i64::from(ok));
    }

    /// Publishes how a device is: each condition by its label, and whether it holds.
    pub fn device_condition(&self, device: &str, condition: [(&str, bool); 2]) {
        for (label, holds) in condition {
            self.families.device_condition.with_label_values(&[device, label]).set(i64::from(holds));
        }
    }

    /// The Prometheus text form of everything.
    ///
    /// # Errors
    /// When a metric cannot be written as text: a mistake in this room.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The content type of [`Metrics::text`].
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;
}

const fn reload_outcome(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

#[cfg(test)]
mod tests;
