//! A pool beside sorted lists.

use super::super::table::{ItemSlot, Status};
use super::*;
use proptest::prelude::*;

/// What is done to one of the queues.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u64),
    Pop,
    /// Takes the front off and puts it back.
    PutBack,
    /// The item at this place, of those that wait, waits no longer.
    Forsake(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u64..50).prop_map(Step::Push),
        3 => Just(Step::Pop),
        1 => Just(Step::PutBack),
        6 => (0_usize..100).prop_map(Step::Forsake),
        1 => Just(Step::Reopen),
    ]
}

fn waiting(table: &mut Table, key: u64, seq: u64) -> Entry {
    let slot = ItemSlot {
        rows: 1,
        len: 1,
        bytes: 1,
        request: 0,
        index: 0,
        next: NONE,
        seq,
        key,
        share: 0,
        lane: 0,
        level: 1,
        account: 0,
        class: 0,
        status: Status::Waiting,
    };
    let entry = Entry::of(table.items.vacant_key() as u32, &slot);
    table.items.insert(slot);
    entry
}

/// Three queues, the first two of one account.
const ACCOUNTS: [u32; 3] = [4, 4, 1];

proptest! {
    #[test]
    fn does_as_sorted_lists_do(steps in proptest::collection::vec((0_usize..3, step()), 0..600)) {
        let (mut pool, mut table) = (Pool::default(), Table::default());
        let mut queues = ACCOUNTS.map(|account| pool.open(account));
        let mut models: [Vec<Entry>; 3] = Default::default();
        for (seq, (which, step)) in steps.into_iter().enumerate() {
            let (queue, model) = (queues[which], &mut models[which]);
            model.sort();
            match step {
                Step::Push(key) => {
                    let entry = waiting(&mut table, key, seq as u64);
                    pool.push(queue, entry);
                    model.push(entry);
                }
                Step::Pop if !model.is_empty() => {
                    pool.pop(queue, &table);
                    table.items.remove(model.remove(0).slot as usize);
                }
                Step::PutBack if !model.is_empty() => {
                    pool.pop(queue, &table);
                    pool.push(queue, model[0]);
                }
                Step::Forsake(at) if at < model.len() => {
                    let gone = model.remove(at);
                    table.item_mut(gone.slot).status = Status::Dead;
                    pool.forsake(queue, gone.slot, &table);
                    table.items.remove(gone.slot as usize);
                }
                Step::Reopen => {
                    pool.close(queue);
                    for entry in model.drain(..) {
                        table.items.remove(entry.slot as usize);
                    }
                    queues[which] = pool.open(ACCOUNTS[which]);
                }
                Step::Pop | Step::PutBack | Step::Forsake(_) => {}
            }
            let fronts = [0, 1, 2].map(|at| models[at].iter().min().copied());
            prop_assert_eq!(queues.map(|queue| pool.front(queue)), fronts);
            prop_assert_eq!(pool.first(4), fronts[..2].iter().flatten().min().copied());
            prop_assert_eq!(pool.first(1), fronts[2]);
            prop_assert_eq!(pool.first(0), None);
        }
    }
}
