//! Which devices a model runs on: what was asked for, held against what there is.
//!
//! Decides what `auto` and `cuda` mean here. Does not know how a GPU is tried out.

use crate::config::Placement;
use crate::types::Device;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Most GPUs that are looked for where nothing counts them.
const MOST: u32 = 64;

/// What is known of the GPUs; each is tried out once, when a model asks for it.
pub(super) struct Gpus<F> {
    /// How many this process may see, where that can be told.
    count: Option<u32>,
    look: F,
    seen: BTreeMap<u32, Result<(), String>>,
}

/// The devices of one model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// At least one.
    pub(super) devices: Vec<Device>,
    /// What `auto` would have taken, and why it could not.
    pub(super) fallback: Option<String>,
}

impl<F, E: Display> Gpus<F>
where
    F: FnMut(u32) -> Result<(), E>,
{
    /// `look` tries a GPU out, by its number.
    pub(super) fn new(count: Option<u32>, look: F) -> Self {
        Self { count, look, seen: BTreeMap::new() }
    }

    /// Finds the devices of a model: `auto` takes every GPU that works and else the CPU; all others must work.
    ///
    /// # Errors
    /// Why a device that was asked for cannot be had, and the mend.
    pub(super) fn place(&mut self, wanted: &Placement) -> Result<Site, String> {
        let devices = match wanted {
            Placement::On(devices) => devices.clone(),
            Placement::Auto | Placement::Cuda => self.all(),
        };
        let (mut there, mut faults) = (Vec::new(), Vec::new());
        for device in devices {
            match device {
                Device::Cpu(_) => there.push(device),
                Device::Cuda(gpu) => match self.look_at(gpu) {
                    Ok(()) => there.push(device),
                    Err(why) => faults.push(format!("{device}: {why}")),
                },
            }
        }
        if self.count == Some(0) && there.is_empty() && faults.is_empty() {
            faults.push(
                "this process can see no GPU: let the container have one, and look at CUDA_VISIBLE_DEVICES".into(),
            );
        }
        let fault = (!faults.is_empty()).then(|| faults.join("; "));
        match (wanted, fault) {
            (_, None) => Ok(Site { devices: there, fallback: None }),
            (Placement::Auto, fallback) if there.is_empty() => Ok(Site { devices: vec![Device::Cpu(0)], fallback }),
            (Placement::Auto, fallback) => Ok(Site { devices: there, fallback }),
            (_, Some(fault)) => {
                Err(format!("{fault}; or set device = \"auto\" to run on the CPU where there is no GPU"))
            }
        }
    }

    /// Every GPU this process may see. Uncounted ones are numbered from 0 without a gap, so the first that does
    /// not work ends them.
    fn all(&mut self) -> Vec<Device> {
        let count =
            self.count.unwrap_or_else(|| (0..MOST).take_while(|gpu| self.look_at(*gpu).is_ok()).count().max(1) as u32);
        (0..count).map(Device::Cuda).collect()
    }

    fn look_at(&mut self, gpu: u32) -> Result<(), String> {
        self.seen.entry(gpu).or_insert_with(|| (self.look)(gpu).map_err(|why| why.to_string())).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two GPUs, those with an even number work.
    fn place(count: Option<u32>, wanted: &Placement) -> Result<Site, String> {
        Gpus::new(count, |gpu| if gpu % 2 == 0 { Ok(()) } else { Err("it burns") }).place(wanted)
    }

    fn on(devices: &[Device]) -> Placement {
        Placement::On(devices.to_vec())
    }

    #[test]
    fn auto_takes_what_works_and_tells_what_does_not() {
        let site = place(Some(2), &Placement::Auto).unwrap();
        assert_eq!((site.devices, site.fallback), (vec![Device::Cuda(0)], Some("cuda:1: it burns".into())));
        assert_eq!(place(None, &Placement::Auto).unwrap(), Site { devices: vec![Device::Cuda(0)], fallback: None });
        let none = place(Some(0), &Placement::Auto).unwrap();
        assert_eq!(none.devices, [Device::Cpu(0)]);
        assert!(none.fallback.unwrap().contains("no GPU"));
        let broken = Gpus::new(Some(2), |_| Err("it burns")).place(&Placement::Auto).unwrap();
        assert_eq!(broken.devices, [Device::Cpu(0)]);
        assert_eq!(broken.fallback.unwrap(), "cuda:0: it burns; cuda:1: it burns");
    }

    #[test]
    fn what_is_asked_for_by_name_must_work() {
        assert_eq!(place(Some(1), &Placement::Cuda).unwrap().devices, [Device::Cuda(0)]);
        assert_eq!(place(None, &Placement::Cuda).unwrap().devices, [Device::Cuda(0)]);
        let both = place(Some(2), &Placement::Cuda).unwrap_err();
        assert!(both.starts_with("cuda:1: it burns; or set device = \"auto\""), "{both}");
        assert!(place(Some(0), &Placement::Cuda).unwrap_err().contains("no GPU"));
        let mixed = on(&[Device::Cuda(2), Device::Cpu(0)]);
        assert_eq!(place(None, &mixed).unwrap().devices, [Device::Cuda(2), Device::Cpu(0)]);
        assert!(place(None, &on(&[Device::Cuda(1)])).unwrap_err().contains("it burns"));
    }

    #[test]
    fn uncounted_gpus_are_found_by_trying() {
        let three = |gpu| if gpu < 3 { Ok(()) } else { Err("no such device") };
        let site = Gpus::new(None, three).place(&Placement::Cuda).unwrap();
        assert_eq!(site.devices, [Device::Cuda(0), Device::Cuda(1), Device::Cuda(2)]);
        assert!(
            Gpus::new(None, |_| Err("no driver")).place(&Placement::Cuda).unwrap_err().starts_with("cuda:0: no driver")
        );
    }

    #[test]
    fn a_gpu_is_tried_out_once_and_only_where_it_is_asked_for() {
        let mut tried = Vec::new();
        let mut gpus = Gpus::new(Some(8), |gpu| {
            tried.push(gpu);
            Ok::<_, String>(())
        });
        gpus.place(&on(&[Device::Cpu(0), Device::Cpu(1)])).unwrap();
        for _ in 0..3 {
            gpus.place(&on(&[Device::Cuda(1)])).unwrap();
        }
        assert_eq!(tried, [1]);
    }
}
