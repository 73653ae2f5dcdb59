//! A queue by urgency that is O(1) while urgencies arrive in order, as they nearly always do.
//!
//! Queues that belong together keep their entries in one memory, which grows to the most that ever waited
//! in all of them at once: what one gives back, the others use. Knows neither items nor accounts.

use super::table::ItemSlot;
use std::hint::black_box;

/// A queued item: its urgency (smaller first), its arrival number (breaks ties), and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) seq: u64,
    pub(super) slot: u32,
    /// What must be known of an item to take it: its rows and, in the lowest byte, its level of priority.
    size: u32,
}

impl Entry {
    /// The entry of an item in this slot.
    pub(super) fn of(slot: u32, item: &ItemSlot) -> Self {
        let ItemSlot { key, seq, rows, level, .. } = *item;
        Self { key, seq, slot, size: rows << 8 | u32::from(level) }
    }

    pub(super) fn rows(&self) -> u32 {
        self.size >> 8
    }

    pub(super) fn level(&self) -> u32 {
        self.size & 0xFF
    }

    fn order(&self) -> (u64, u64) {
        (self.key, self.seq)
    }
}

/// Marks the end of a list of nodes.
const END: u32 = u32::MAX;

/// The memory of queues that belong together. Each method of a queue is given the one that it was used with first.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    list: Vec<Node>,
    /// Those that nobody uses.
    free: List,
}

/// Half a cache line, and never astride of two.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Node {
    entry: Entry,
    /// The one behind it in its run, or the next child of its parent in a heap.
    next: u32,
    /// The first of its children in a heap.
    child: u32,
}

/// The first of some nodes, each of which knows the next.
#[derive(Debug, Clone, Copy)]
struct List(u32);

/// Entries by (key, seq): a first-in-first-out run for those that arrive in order, a pairing heap (Fredman,
/// Sedgewick, Sleator and Tarjan 1986) for the rest.
///
/// Entries are not removed when their item leaves by another way: the owner passes over stale ones as they come,
/// and has them dropped once most are stale.
#[derive(Debug, Default)]
pub(super) struct UrgencyQueue {
    run: List,
    /// The last of the run, if there is one.
    last: List,
    /// Its key and arrival number.
    end: (u64, u64),
    /// The root of the heap.
    heap: List,
    /// Entries in both.
    len: u32,
}

impl UrgencyQueue {
    pub(super) fn push(&mut self, entry: Entry, nodes: &mut Nodes) {
        let node = nodes.add(entry);
        self.len += 1;
        // Nothing is read of the last one, which is likely in no cache.
        if self.last.0 != END && self.end > entry.order() {
            self.heap = nodes.meld(self.heap, node);
        } else {
            self.append(node, entry, nodes);
        }
    }

    /// Takes off the most urgent entry.
    pub(super) fn pop(&mut self, nodes: &mut Nodes) -> Option<Entry> {
        let (entry, in_run) = self.front(nodes)?;
        self.drop_front(in_run, nodes);
        Some(entry)
    }

    /// Whether an entry is known to go behind all of a run, at least: it is none of the first then.
    pub(super) fn precedes(&self, entry: &Entry) -> bool {
        self.last.0 != END && self.end <= entry.order()
    }

    /// Fetches what the next [`pop`](Self::pop) reads, as far as it is known where that is.
    pub(super) fn fetch(&self, nodes: &Nodes) {
        black_box(self.run.first(nodes).map(|node| node.next));
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn clear(&mut self, nodes: &mut Nodes) {
        self.retain(nodes, |_| false);
    }

    /// Drops the entries for which `live` does not hold.
    pub(super) fn retain(&mut self, nodes: &mut Nodes, live: impl Fn(&Entry) -> bool) {
        let (mut run, heap) = (std::mem::take(&mut self.run), std::mem::take(&mut self.heap));
        (self.last, self.len) = (List::default(), 0);
        while let Some(node) = nodes.take_first(&mut run) {
            if !live(&nodes.at(node.0).entry) {
                nodes.give_back(node);
                continue;
            }
            self.len += 1;
            let entry = nodes.at(node.0).entry;
            self.append(node, entry, nodes);
        }
        let (mut rest, mut kept) = (heap, List::default());
        while let Some(node) = nodes.take_root(&mut rest) {
            if live(&nodes.at(node.0).entry) {
                self.len += 1;
                nodes.put_first(&mut kept, node);
            } else {
                nodes.give_back(node);
            }
        }
        self.heap = nodes.join(kept);
    }

    /// Puts a node behind the run.
    fn append(&mut self, node: List, entry: Entry, nodes: &mut Nodes) {
        match self.last {
            List(END) => self.run = node,
            List(last) => nodes.at(last).next = node.0,
        }
        (self.last, self.end) = (node, entry.order());
    }

    /// The most urgent entry, and whether it is in the run.
    fn front(&self, nodes: &Nodes) -> Option<(Entry, bool)> {
        match (self.run.first(nodes), self.heap.first(nodes)) {
            (Some(run), Some(heap)) if heap.entry < run.entry => Some((heap.entry, false)),
            (Some(run), _) => Some((run.entry, true)),
            (None, heap) => heap.map(|node| (node.entry, false)),
        }
    }

    fn drop_front(&mut self, in_run: bool, nodes: &mut Nodes) {
        self.len -= 1;
        if !in_run {
            let root = self.heap;
            let children = List(nodes.at(root.0).child);
            self.heap = nodes.join(children);
            nodes.give_back(root);
        } else if let Some(node) = nodes.take_first(&mut self.run) {
            nodes.give_back(node);
            if self.run.0 == END {
                self.last = List::default();
            }
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self(END)
    }
}

impl List {
    fn first(self, nodes: &Nodes) -> Option<&Node> {
        // The end is past every node.
        nodes.list.get(self.0 as usize)
    }
}

impl Nodes {
    fn at(&mut self, index: u32) -> &mut Node {
        &mut self.list[index as usize]
    }

    /// A node of this entry alone.
    fn add(&mut self, entry: Entry) -> List {
        let node = Node { entry, next: END, child: END };
        let mut free = self.free;
        let at = self.take_first(&mut free);
        self.free = free;
        if let Some(at) = at {
            *self.at(at.0) = node;
            return at;
        }
        self.list.push(node);
        List(self.list.len() as u32 - 1)
    }

    fn give_back(&mut self, node: List) {
        let mut free = self.free;
        self.put_first(&mut free, node);
        self.free = free;
    }

    /// Takes the first node off a list.
    fn take_first(&mut self, list: &mut List) -> Option<List> {
        let first = *list;
        *list = List(std::mem::replace(&mut self.list.get_mut(first.0 as usize)?.next, END));
        Some(first)
    }

    fn put_first(&mut self, list: &mut List, node: List) {
        self.at(node.0).next = list.0;
        *list = node;
    }

    /// Takes the first of a list of heaps apart: its root leaves, and its children take its place.
    fn take_root(&mut self, list: &mut List) -> Option<List> {
        let root = self.take_first(list)?;
        let children = std::mem::replace(&mut self.at(root.0).child, END);
        if children != END {
            let mut last = children;
            while self.at(last).next != END {
                last = self.at(last).next;
            }
            self.at(last).next = list.0;
            *list = List(children);
        }
        Some(root)
    }

    /// One heap of two, neither of which is in a list.
    fn meld(&mut self, a: List, b: List) -> List {
        let (parent, child) = match (a.first(self), b.first(self)) {
            (None, _) => return b,
            (_, None) => return a,
            (Some(first), Some(second)) if first.entry <= second.entry => (a, b),
            _ => (b, a),
        };
        let mut children = List(self.at(parent.0).child);
        self.put_first(&mut children, child);
        self.at(parent.0).child = children.0;
        parent
    }

    /// One heap of a list of them: melded in pairs, then these from the last to the first.
    fn join(&mut self, mut heaps: List) -> List {
        let mut pairs = List::default();
        while let Some(first) = self.take_first(&mut heaps) {
            let second = self.take_first(&mut heaps).unwrap_or_default();
            let pair = self.meld(first, second);
            self.put_first(&mut pairs, pair);
        }
        let mut whole = List::default();
        while let Some(pair) = self.take_first(&mut pairs) {
            whole = self.meld(whole, pair);
        }
        whole
    }
}

#[cfg(test)]
mod tests;
