//! The families about GPUs, made anew of the last snapshot at each scrape.
//!
//! Decides names, units and labels. What is not known has no series; of a GPU that is gone only `up` stays.

use crate::gpu::{GpuNow, Sample, Shown};
use prometheus::Result;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::HashMap;

/// A value, with the label that it has besides those of its GPU.
type Series = (&'static str, f64);

/// A family: its name and help, the label that tells a GPU's own series apart (empty where there is one),
/// and how they follow from what was seen.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    series: fn(&GpuNow) -> Vec<Series>,
}

const fn one(name: &'static str, help: &'static str, series: fn(&GpuNow) -> Vec<Series>) -> Family {
    Family { name, help, label: "", series }
}

#[rustfmt::skip]
const FAMILIES: [Family; 15] = [
    one("up", "Whether the GPU can be reached.", |gpu| value(Some(f64::from(u8::from(gpu.up))))),
    one("utilization_ratio", "Share of time in which any kernel ran.", |gpu| value(gpu.sample.utilization)),
    one("memory_utilization_ratio", "Share of time in which memory was read or written.", |gpu| value(gpu.sample.memory_utilization)),
    one("memory_used_bytes", "Memory in use.", |gpu| value(gpu.sample.memory.map(|m| m.used as f64))),
    one("memory_total_bytes", "All memory.", |gpu| value(gpu.sample.memory.map(|m| m.total as f64))),
    one("process_memory_bytes", "Memory that this process has.", |gpu| value(gpu.sample.process_memory.map(|m| m as f64))),
    one("power_watts", "Power drawn.", |gpu| value(gpu.sample.power)),
    one("power_limit_watts", "The power limit that is enforced.", |gpu| value(gpu.sample.power_limit)),
    one("temperature_celsius", "Temperature.", |gpu| value(gpu.sample.temperature.map(f64::from))),
    one("clock_sm_hertz", "Clock of the processors.", |gpu| value(gpu.sample.clock_sm.map(hertz))),
    one("clock_memory_hertz", "Clock of the memory.", |gpu| value(gpu.sample.clock_memory.map(hertz))),
    Family { name: "throttle_reasons", help: "Why clocks are not higher: 1 for each reason that holds.", label: "reason", series: reasons },
    Family { name: "ecc_errors", help: "Errors of the memory since the driver was loaded.", label: "kind", series: |gpu| ecc(&gpu.sample) },
    Family { name: "retired_pages", help: "Pages of memory taken out of use.", label: "cause", series: |gpu| retired(&gpu.sample) },
    one("mig", "Whether the GPU is divided into MIG instances.", |gpu| value(gpu.sample.mig.map(|mig| f64::from(u8::from(mig))))),
];

fn value(value: Option<f64>) -> Vec<Series> {
    value.map(|value| ("", value)).into_iter().collect()
}

fn hertz(megahertz: u32) -> f64 {
    f64::from(megahertz) * 1e6
}

fn reasons(gpu: &GpuNow) -> Vec<Series> {
    let all = gpu.sample.reasons.into_iter().flat_map(|reasons| reasons.all());
    all.map(|(reason, holds)| (reason, f64::from(u8::from(holds)))).collect()
}

fn ecc(sample: &Sample) -> Vec<Series> {
    known([("corrected", sample.ecc_corrected), ("uncorrected", sample.ecc_uncorrected)])
}

fn retired(sample: &Sample) -> Vec<Series> {
    known([("single_bit", sample.retired_single), ("double_bit", sample.retired_double)])
}

fn known(counts: [(&'static str, Option<u64>); 2]) -> Vec<Series> {
    counts.into_iter().filter_map(|(label, count)| Some((label, count? as f64))).collect()
}

/// Reads the last snapshot at each scrape.
pub(super) struct GpuCollector {
    gpus: Shown,
    /// One a family.
    descs: Vec<Desc>,
}

impl GpuCollector {
    pub(super) fn new(gpus: Shown) -> Result<Self> {
        let desc = |family: &Family| {
            let labels = ["gpu", "uuid", family.label].into_iter().filter(|label| !label.is_empty());
            Desc::new(full(family), family.help.to_owned(), labels.map(str::to_owned).collect(), HashMap::new())
        };
        Ok(Self { gpus, descs: FAMILIES.iter().map(desc).collect::<Result<_>>()? })
    }
}

impl Collector for GpuCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.gpus.now();
        let written = |family: &Family| {
            let mut written = MetricFamily::default();
            written.set_name(full(family));
            written.set_help(family.help.to_owned());
            written.set_field_type(MetricType::GAUGE);
            let series = |gpu| (family.series)(gpu).into_iter().map(move |series| metric(gpu, family.label, series));
            written.set_metric(snapshot.gpus.iter().flat_map(series).collect());
            written
        };
        FAMILIES.iter().map(written).collect()
    }
}

fn full(family: &Family) -> String {
    format!("inferneo_gpu_{}", family.name)
}

/// Labels stand in the order of their names.
fn metric(gpu: &GpuNow, label: &str, (own, value): Series) -> Metric {
    let index = gpu.gpu.index.to_string();
    let mut labels = vec![("gpu", &*index), ("uuid", &*gpu.gpu.uuid), (label, own)];
    labels.retain(|(name, _)| !name.is_empty());
    labels.sort_unstable();
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
    metric.set_gauge(gauge);
    metric
}
