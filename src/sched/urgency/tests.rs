//! Queues by urgency beside sorted lists.

use super::*;
use proptest::prelude::*;

/// What is done to one of two queues that share their memory.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u64),
    Pop,
    /// Peeks where only arrival numbers with this rest of 3 are not stale.
    Peek(u64),
    Sweep(u64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u64..50).prop_map(Step::Push),
        4 => Just(Step::Pop),
        1 => (0_u64..3).prop_map(Step::Peek),
        1 => (0_u64..3).prop_map(Step::Sweep),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn does_as_sorted_lists_do(steps in proptest::collection::vec((0_usize..2, step()), 0..600)) {
        let mut nodes = Nodes::default();
        let mut queues = [UrgencyQueue::default(), UrgencyQueue::default()];
        let mut models = [Vec::new(), Vec::new()];
        let mut most = 0;
        for (seq, (which, step)) in steps.into_iter().enumerate() {
            let (queue, model) = (&mut queues[which], &mut models[which]);
            model.sort();
            match step {
                Step::Push(key) => {
                    let entry = Entry { key, seq: seq as u64, slot: 0 };
                    queue.push(entry, &mut nodes);
                    model.push(entry);
                }
                Step::Pop => {
                    let first = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(&mut nodes), first);
                }
                Step::Peek(live) => {
                    let stale = model.iter().take_while(|e| e.seq % 3 != live).count();
                    model.drain(..stale);
                    prop_assert_eq!(queue.peek(&mut nodes, |e| e.seq % 3 == live), model.first().copied());
                }
                Step::Sweep(live) => {
                    let live_count = model.iter().filter(|e| e.seq % 3 == live).count();
                    if model.len() > 2 * live_count + 64 {
                        model.retain(|e| e.seq % 3 == live);
                    }
                    queue.sweep(live_count, &mut nodes, |e| e.seq % 3 == live);
                }
                Step::Clear => {
                    queue.clear(&mut nodes);
                    model.clear();
                }
            }
            prop_assert_eq!(queue.len as usize, model.len());
            most = most.max(models.iter().map(Vec::len).sum());
            prop_assert_eq!(nodes.list.len(), most, "no more memory than both ever needed at once");
        }
        for (queue, model) in queues.iter_mut().zip(&mut models) {
            model.sort();
            let left: Vec<_> = std::iter::from_fn(|| queue.pop(&mut nodes)).collect();
            prop_assert_eq!(&left, model);
        }
    }

    #[test]
    fn a_sweep_keeps_what_is_live(keys in proptest::collection::vec(0_u64..50, 70..300), live in 0_u64..5) {
        let (mut nodes, mut queue) = (Nodes::default(), UrgencyQueue::default());
        for (seq, key) in keys.iter().enumerate() {
            queue.push(Entry { key: *key, seq: seq as u64, slot: 0 }, &mut nodes);
        }
        let is_live = |e: &Entry| e.seq % 5 == live;
        queue.sweep(0, &mut nodes, is_live);
        let mut left = 0;
        while let Some(entry) = queue.pop(&mut nodes) {
            prop_assert!(is_live(&entry));
            left += 1;
        }
        prop_assert_eq!(left, (0..keys.len() as u64).filter(|seq| seq % 5 == live).count());
    }
}
