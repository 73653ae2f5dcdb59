//! The queues of a lane: what waits of each account in each bucket, by urgency.
//!
//! The front of every queue is kept apart, in a heap of its account's, and is always an item that waits: nothing
//! is looked up but what leaves. An item that leaves from behind a front leaves a stale entry, which is counted,
//! passed over when its turn comes, and swept once most are stale.
//! Does not know lengths, nor who is served.

use super::table::{NONE, Table};
use super::urgency::{Entry, Nodes, UrgencyQueue};

/// All queues of a lane, and their memory.
#[derive(Debug, Default)]
pub(super) struct Pool {
    queues: Vec<Queue>,
    nodes: Nodes,
    free: Vec<u32>,
    /// By account: the fronts of its queues, as a binary heap.
    fronts: Vec<Vec<Front>>,
}

/// What waits of one account in one bucket. One cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Queue {
    /// Those behind its front.
    rest: UrgencyQueue,
    account: u32,
    /// The place of its front among those of its account.
    place: u32,
    /// Those of the rest whose items wait no longer.
    stale: u32,
}

/// The first entry of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Front {
    entry: Entry,
    queue: u32,
}

impl Pool {
    /// The most urgent waiting item of a queue.
    pub(super) fn front(&self, queue: u32) -> Option<Entry> {
        let Queue { account, place, .. } = self.queues[queue as usize];
        Some(self.fronts[account as usize].get(place as usize)?.entry)
    }

    /// The most urgent waiting item of an account.
    pub(super) fn first(&self, account: u32) -> Option<Entry> {
        Some(self.fronts.get(account as usize)?.first()?.entry)
    }

    /// A queue for an account.
    pub(super) fn open(&mut self, account: u32) -> u32 {
        if self.fronts.len() <= account as usize {
            self.fronts.resize_with(account as usize + 1, Vec::new);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.queues.push(Queue { rest: UrgencyQueue::default(), account, place: NONE, stale: 0 });
            self.queues.len() as u32 - 1
        });
        self.queues[at as usize].account = account;
        at
    }

    /// Gives back a queue where nothing waits.
    pub(super) fn close(&mut self, queue: u32) {
        let closed = &mut self.queues[queue as usize];
        closed.rest.clear(&mut self.nodes);
        closed.stale = 0;
        self.rank(queue, None);
        self.free.push(queue);
    }

    pub(super) fn push(&mut self, queue: u32, entry: Entry) {
        let rest = &mut self.queues[queue as usize].rest;
        if rest.precedes(&entry) {
            return rest.push(entry, &mut self.nodes);
        }
        let behind = match self.front(queue) {
            Some(front) if front < entry => entry,
            front => {
                self.rank(queue, Some(entry));
                let Some(behind) = front else { return };
                behind
            }
        };
        self.queues[queue as usize].rest.push(behind, &mut self.nodes);
    }

    /// Fetches what taking the front off a queue reads: of many queues, all at once.
    pub(super) fn fetch(&self, queue: u32) {
        self.queues[queue as usize].rest.fetch(&self.nodes);
    }

    /// Takes the front off a queue.
    pub(super) fn pop(&mut self, queue: u32, table: &Table) {
        let Queue { rest, stale, .. } = &mut self.queues[queue as usize];
        let mut next = rest.pop(&mut self.nodes);
        // Only where there are stale ones is an entry worth a look into the table.
        while *stale > 0 && next.is_some_and(|entry| !table.is_waiting(&entry)) {
            *stale -= 1;
            next = rest.pop(&mut self.nodes);
        }
        self.rank(queue, next);
    }

    /// An item of a queue waits no longer, and was not taken off its front.
    pub(super) fn forsake(&mut self, queue: u32, slot: u32, table: &Table) {
        if self.front(queue).is_some_and(|front| front.slot == slot) {
            return self.pop(queue, table);
        }
        let Queue { rest, stale, .. } = &mut self.queues[queue as usize];
        *stale += 1;
        if *stale > rest.len() / 2 + 32 {
            rest.retain(&mut self.nodes, |e| table.is_waiting(e));
            *stale = 0;
        }
    }

    /// Gives a queue's front, `None` where it is empty, its place among those of its account.
    fn rank(&mut self, queue: u32, front: Option<Entry>) {
        let Self { queues, fronts, .. } = self;
        let Queue { account, place, .. } = queues[queue as usize];
        let heap = &mut fronts[account as usize];
        let at = place as usize;
        let moved = match (front, heap.get_mut(at)) {
            (Some(entry), Some(front)) => {
                front.entry = entry;
                at
            }
            (Some(entry), None) => {
                heap.push(Front { entry, queue });
                heap.len() - 1
            }
            (None, None) => return,
            (None, Some(_)) => {
                queues[queue as usize].place = NONE;
                heap.swap_remove(at);
                at
            }
        };
        if moved < heap.len() {
            let up = rise(heap, moved, queues);
            sink(heap, up, queues);
        }
    }
}

/// Moves a front up to where none above it is less urgent; answers its place.
fn rise(heap: &mut [Front], mut at: usize, queues: &mut [Queue]) -> usize {
    let front = heap[at];
    while at > 0 && front < heap[(at - 1) / 2] {
        heap[at] = heap[(at - 1) / 2];
        queues[heap[at].queue as usize].place = at as u32;
        at = (at - 1) / 2;
    }
    heap[at] = front;
    queues[front.queue as usize].place = at as u32;
    at
}

/// Moves a front down to where none below it is more urgent.
fn sink(heap: &mut [Front], mut at: usize, queues: &mut [Queue]) {
    let front = heap[at];
    loop {
        let mut child = 2 * at + 1;
        if heap.get(child + 1).is_some_and(|right| *right < heap[child]) {
            child += 1;
        }
        if heap.get(child).is_none_or(|c| front <= *c) {
            break;
        }
        heap[at] = heap[child];
        queues[heap[at].queue as usize].place = at as u32;
        at = child;
    }
    heap[at] = front;
    queues[front.queue as usize].place = at as u32;
}

#[cfg(test)]
mod tests;
