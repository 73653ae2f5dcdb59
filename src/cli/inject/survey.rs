//! What a manifest holds before anything is injected into it.
//!
//! Decides which ConfigMaps of an earlier injection are replaced; the others of them stay.

use super::kinds::{self, Pods, Type};
use super::node::Node;
use super::sidecar::{self, Sidecar};
use super::{names, pod};
use std::collections::{HashMap, HashSet};

/// Where a ConfigMap is: its namespace, empty where the manifest names none, and its name.
pub(super) type Place = (String, String);

/// The ConfigMaps and the objects of a manifest, as far as an injection depends on them.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Kind, namespace and name of every object.
    objects: HashSet<(String, Place)>,
    /// ConfigMaps that no injection added.
    foreign: HashSet<Place>,
    /// The data of ConfigMaps that an earlier injection added.
    added: HashMap<Place, Node>,
    /// ConfigMaps that this injection makes, or that stand for some that it makes under another name.
    replaced: HashSet<Place>,
}

/// Where `object` is.
pub(super) fn place(object: &Node) -> Place {
    let metadata = |key: &str| object.get("metadata").map_or("", |metadata| metadata.str_at(key)).to_owned();
    (metadata("namespace"), metadata("name"))
}

impl Survey {
    /// Adds an object, and those in it where it is a list.
    pub(super) fn add(&mut self, object: &Node, list: Option<&Type>, instance: Option<&str>) {
        let of = Type::of(object, list);
        let at = place(object);
        match kinds::pods(object, &of) {
            Pods::List => object.items("items").for_each(|item| self.add(item, Some(&of), instance)),
            Pods::Template(_) => {
                let named = instance.map_or_else(|| names::instance(&of.kind, &at.1), |name| Ok(name.to_owned()));
                // Without a name it is refused later, with its place.
                for name in named.iter().flat_map(|named| [sidecar::config_name(named), sidecar::policies_name(named)])
                {
                    self.replaced.insert((at.0.clone(), name));
                }
                for volume in [sidecar::CONFIG, sidecar::POLICIES] {
                    let mounted = of.pod(object).and_then(|pod| pod::mounted(pod, volume));
                    self.replaced.extend(mounted.map(|name| (at.0.clone(), name.to_owned())));
                }
            }
            Pods::None if of.is_config_map() => match pod::is_marked(object) {
                true => {
                    let data = object.get("data").filter(|data| !data.is_null()).cloned();
                    self.added.insert(at.clone(), data.unwrap_or_else(|| Node::Map(Vec::new())));
                }
                false => _ = self.foreign.insert(at.clone()),
            },
            Pods::None | Pods::Owned(..) | Pods::LeftOut(_) => {}
        }
        self.objects.insert((of.kind, at));
    }

    /// Whether the manifest has an object of this kind and name.
    pub(super) fn has(&self, kind: &str, at: &Place) -> bool {
        self.objects.contains(&(kind.to_owned(), at.clone()))
    }

    /// Whether a ConfigMap was added by an earlier injection and goes.
    pub(super) fn is_replaced(&self, at: &Place, sidecar: &Sidecar) -> bool {
        self.added.contains_key(at) && self.replaced.contains(at) && sidecar.policies.as_ref() != Some(&at.1)
    }

    /// Whether a ConfigMap is somebody else's.
    pub(super) fn is_foreign(&self, at: &Place) -> bool {
        self.foreign.contains(at)
    }

    /// The policies that an earlier injection's ConfigMap holds by now.
    pub(super) fn policies(&self, at: &Place) -> Option<&Node> {
        self.added.get(at)
    }
}
