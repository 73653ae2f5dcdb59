//! Which GPUs CUDA will see, and under which numbers.
//!
//! Decides by the list of NVML, which is in the order of the PCI bus, and by CUDA's own settings. Asks
//! nobody: CUDA is not loaded for it. What cannot be known is not guessed.

use super::library::Gpu;

/// The settings of CUDA that decide what this process sees.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `CUDA_VISIBLE_DEVICES`.
    pub visible_devices: Option<String>,
    /// `CUDA_DEVICE_ORDER`.
    pub device_order: Option<String>,
}

impl Environment {
    /// Reads this process's: CUDA reads the same.
    #[must_use]
    pub fn of_process() -> Self {
        let read = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self { visible_devices: read("CUDA_VISIBLE_DEVICES"), device_order: read("CUDA_DEVICE_ORDER") }
    }
}

/// What CUDA will see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visible {
    /// How many devices; `None` where that is not known.
    pub count: Option<u32>,
    /// The devices in CUDA's order; empty where that is not known.
    pub seen: Vec<Seen>,
    /// What is not known, and what to set.
    pub warning: Option<&'static str>,
}

/// One device of CUDA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its GPU, by place in the list.
    pub gpu: usize,
    /// The MIG instance of that GPU, by place among its instances.
    pub instance: Option<usize>,
}

const NAME_THE_ORDER: &str = "GPUs of different kinds are here, and CUDA numbers them by speed: which is cuda:0 is not \
                              known; set CUDA_DEVICE_ORDER=PCI_BUS_ID";
const NAME_THE_INSTANCE: &str = "a GPU is in MIG mode, and which of its instances CUDA takes is not known: name it in \
                                 CUDA_VISIBLE_DEVICES by its UUID, MIG-…";

/// Works out what CUDA will see of `gpus`, which are all that NVML lists, in its order.
///
/// As CUDA reads its list: numbers, or `GPU-` or `MIG-` with as much of a UUID as is unique; the first
/// entry says which of them. An entry that is none, or names nothing, ends the list; a device named
/// twice empties it. One process sees one MIG instance, and nothing besides.
#[must_use]
pub fn visible(gpus: &[Gpu], environment: &Environment) -> Visible {
    let all: Vec<Seen> = (0..gpus.len()).map(whole).collect();
    let by_number = |chosen: Vec<Seen>| {
        let in_doubt = gpus.iter().any(|gpu| gpu.name.is_none() || gpu.name != gpus[0].name);
        let by_bus = environment.device_order.as_deref() == Some("PCI_BUS_ID");
        if in_doubt && !by_bus && gpus.len() > 1 { unordered(gpus, &chosen) } else { settled(gpus, chosen) }
    };
    let Some(text) = environment.visible_devices.as_deref() else { return by_number(all) };
    let entries = text.split(',').map(str::trim);
    if text.starts_with("MIG-") {
        settled(gpus, chosen(entries.map(|entry| instance(gpus, entry))))
    } else if text.starts_with("GPU-") {
        settled(gpus, chosen(entries.map(|entry| gpu(gpus, entry))))
    } else {
        by_number(chosen(entries.map(|entry| number(entry).filter(|n| *n < gpus.len()).map(whole))))
    }
}

const fn whole(gpu: usize) -> Seen {
    Seen { gpu, instance: None }
}

/// The entries up to the first that names nothing; none at all where two name the same.
fn chosen(entries: impl Iterator<Item = Option<Seen>>) -> Vec<Seen> {
    let chosen: Vec<Seen> = entries.map_while(|entry| entry).collect();
    let repeats = (1..chosen.len()).any(|at| chosen[..at].contains(&chosen[at]));
    if repeats { Vec::new() } else { chosen }
}

/// The digits that an entry begins with: CUDA does not look at what follows them.
fn number(entry: &str) -> Option<usize> {
    let end = entry.find(|c: char| !c.is_ascii_digit()).unwrap_or(entry.len());
    entry[..end].parse().ok()
}

fn gpu(gpus: &[Gpu], entry: &str) -> Option<Seen> {
    let is_meant = |uuid: &str| entry.starts_with("GPU-") && uuid.starts_with(entry);
    only(gpus.iter().enumerate().filter(|(_, gpu)| is_meant(&gpu.uuid)).map(|(at, _)| whole(at)))
}

fn instance(gpus: &[Gpu], entry: &str) -> Option<Seen> {
    let all = gpus.iter().enumerate().flat_map(|(gpu, of)| of.instances.iter().enumerate().map(move |i| (gpu, i)));
    let is_meant = |uuid: &str| entry.starts_with("MIG-") && uuid.starts_with(entry);
    let named = all.filter(|(_, (_, instance))| is_meant(&instance.uuid));
    only(named.map(|(gpu, (at, _))| Seen { gpu, instance: Some(at) }))
}

fn only(mut found: impl Iterator<Item = Seen>) -> Option<Seen> {
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// So many devices, in an order that is not known.
fn unordered(gpus: &[Gpu], chosen: &[Seen]) -> Visible {
    if gpus.iter().any(is_divided) {
        return Visible { warning: Some(NAME_THE_INSTANCE), ..Visible::default() };
    }
    let warning = (!chosen.is_empty()).then_some(NAME_THE_ORDER);
    Visible { count: Some(count(chosen)), seen: Vec::new(), warning }
}

/// These devices in this order, but for what MIG makes of them.
fn settled(gpus: &[Gpu], mut chosen: Vec<Seen>) -> Visible {
    if chosen.first().is_some_and(|first| first.instance.is_some()) {
        chosen.truncate(1);
    } else if chosen.iter().any(|seen| is_divided(&gpus[seen.gpu])) {
        let [Seen { gpu, .. }] = chosen[..] else {
            return Visible { warning: Some(NAME_THE_INSTANCE), ..Visible::default() };
        };
        chosen = match gpus[gpu].instances.len() {
            0 => Vec::new(),
            1 => vec![Seen { gpu, instance: Some(0) }],
            _ => return Visible { count: Some(1), seen: Vec::new(), warning: Some(NAME_THE_INSTANCE) },
        };
    }
    Visible { count: Some(count(&chosen)), seen: chosen, warning: None }
}

fn is_divided(gpu: &Gpu) -> bool {
    gpu.mig == Some(true)
}

fn count(seen: &[Seen]) -> u32 {
    u32::try_from(seen.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::library::Instance;
    use super::*;

    fn gpu(index: u32, uuid: &str, name: &str) -> Gpu {
        let (uuid, name) = (uuid.to_owned(), Some(name.to_owned()));
        Gpu { index, uuid, name, memory_total: None, mig: Some(false), instances: Vec::new() }
    }

    /// In MIG mode, with so many instances.
    fn divided(index: u32, uuid: &str, instances: u32) -> Gpu {
        let instance = |at| Instance { index: at, uuid: format!("MIG-{uuid}-{at}") };
        Gpu { mig: Some(true), instances: (0..instances).map(instance).collect(), ..gpu(index, uuid, "A100") }
    }

    fn twins() -> Vec<Gpu> {
        vec![gpu(0, "GPU-aa1", "L4"), gpu(1, "GPU-aa2", "L4"), gpu(2, "GPU-b", "L4")]
    }

    /// Looks with a list (`unset` for none) and an order; answers count, places and whether it warns.
    fn look(gpus: &[Gpu], list: &str, order: &str) -> (Option<u32>, Vec<usize>, bool) {
        let given = |text: &str| (text != "unset").then(|| text.to_owned());
        let seen = visible(gpus, &Environment { visible_devices: given(list), device_order: given(order) });
        (seen.count, seen.seen.iter().map(|seen| seen.gpu).collect(), seen.warning.is_some())
    }

    #[test]
    fn the_list_is_read_as_cuda_reads_it() {
        for (list, expected) in [
            ("unset", &[0, 1, 2][..]),
            ("", &[]),
            ("-1", &[]),
            ("NoDevFiles", &[]),
            ("2,0", &[2, 0]),
            (" 1 , 2", &[1, 2]),
            ("1gpu,2x", &[1, 2]),
            ("0,-1,1", &[0]),
            ("0,7,1", &[0]),
            ("0,,1", &[0]),
            ("0,0", &[]),
            ("0,GPU-b", &[0]),
            ("99999999999999999999", &[]),
            ("GPU-b,GPU-aa2", &[2, 1]),
            ("GPU-aa,GPU-b", &[]),
            ("GPU-b,0,GPU-aa1", &[2]),
            ("GPU-b,GPU-c,GPU-aa1", &[2]),
            ("GPU-b,GPU-b", &[]),
            ("gpu-b", &[]),
            ("MIG-GPU-b", &[]),
        ] {
            let count = Some(u32::try_from(expected.len()).unwrap());
            assert_eq!(look(&twins(), list, "unset"), (count, expected.to_vec(), false), "{list:?}");
        }
        assert_eq!(look(&[], "unset", "unset"), (Some(0), vec![], false));
        assert_eq!(look(&[], "0", "unset"), (Some(0), vec![], false));
    }

    #[test]
    fn numbers_of_unlike_gpus_are_known_by_the_bus_alone() {
        let mixed = [gpu(0, "GPU-a", "T4"), gpu(1, "GPU-b", "H100")];
        assert_eq!(look(&mixed, "unset", "unset"), (Some(2), vec![], true));
        assert_eq!(look(&mixed, "unset", "FASTEST_FIRST"), (Some(2), vec![], true));
        assert_eq!(look(&mixed, "1", "unset"), (Some(1), vec![], true));
        assert_eq!(look(&mixed, "", "unset"), (Some(0), vec![], false));
        assert_eq!(look(&mixed, "1,0", "PCI_BUS_ID"), (Some(2), vec![1, 0], false));
        // A UUID says which, whatever the order.
        assert_eq!(look(&mixed, "GPU-b", "unset"), (Some(1), vec![1], false));
        let mut nameless = twins();
        nameless[1].name = None;
        assert_eq!(look(&nameless, "unset", "unset"), (Some(3), vec![], true));
    }

    #[test]
    fn one_process_sees_one_mig_instance() {
        let alone = [divided(0, "GPU-a", 1)];
        let of = |gpus: &[Gpu], list: &str| {
            let list = (list != "unset").then(|| list.to_owned());
            visible(gpus, &Environment { visible_devices: list, device_order: None })
        };
        let first = |count, instance| (count, vec![Seen { gpu: 0, instance }], None);
        let parts = |seen: Visible| (seen.count, seen.seen, seen.warning);
        assert_eq!(parts(of(&alone, "unset")), first(Some(1), Some(0)));
        assert_eq!(parts(of(&alone, "0")), first(Some(1), Some(0)));
        let two = [divided(0, "GPU-a", 2), gpu(1, "GPU-b", "A100")];
        assert_eq!(parts(of(&two, "MIG-GPU-a-1,MIG-GPU-a-0")), first(Some(1), Some(1)));
        assert_eq!(parts(of(&two, "MIG-GPU-a")), (Some(0), vec![], None));
        assert_eq!(parts(of(&two, "unset")), (None, vec![], Some(NAME_THE_INSTANCE)));
        assert_eq!(parts(of(&two, "GPU-a")), (Some(1), vec![], Some(NAME_THE_INSTANCE)));
        assert_eq!(parts(of(&two, "GPU-b")), (Some(1), vec![whole(1)], None));
        assert_eq!(parts(of(&[divided(0, "GPU-a", 0)], "unset")), (Some(0), vec![], None));
    }
}
