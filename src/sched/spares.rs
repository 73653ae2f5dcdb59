//! Lists of batches that have ended, kept for the next.

/// Most lists kept.
const MOST: usize = 256;
/// Most that each has room for from the start.
const MOST_ROOM: usize = 1024;

/// Empty lists.
#[derive(Debug)]
pub(super) struct Spares<T> {
    lists: Vec<Vec<T>>,
    /// A power of two that no list given back was longer than, up to a bound. Each has room for as many when it is
    /// taken, so that those used seldom do not each grow on their own.
    longest: usize,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self { lists: Vec::new(), longest: 0 }
    }
}

impl<T> Spares<T> {
    /// An empty list.
    pub(super) fn take(&mut self) -> Vec<T> {
        let mut list = self.lists.pop().unwrap_or_default();
        list.reserve(self.longest);
        list
    }

    /// Takes back a list that is not needed any more.
    pub(super) fn give_back(&mut self, mut list: Vec<T>) {
        self.longest = self.longest.max(list.len().next_power_of_two()).min(MOST_ROOM);
        if self.lists.len() < MOST {
            list.clear();
            self.lists.push(list);
        }
    }
}
