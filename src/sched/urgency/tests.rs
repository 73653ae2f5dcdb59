//! Queues by urgency beside sorted lists.

use super::*;
use proptest::prelude::*;

/// What is done to one of two queues that share their memory.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u64),
    Pop,
    /// Keeps only arrival numbers with this rest of 3.
    Retain(u64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u64..50).prop_map(Step::Push),
        4 => Just(Step::Pop),
        1 => (0_u64..3).prop_map(Step::Retain),
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
                    let entry = Entry { key, seq: seq as u64, slot: 0, size: 0 };
                    queue.push(entry, &mut nodes);
                    model.push(entry);
                }
                Step::Pop => {
                    let first = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(&mut nodes), first);
                }
                Step::Retain(live) => {
                    model.retain(|e| e.seq % 3 == live);
                    queue.retain(&mut nodes, |e| e.seq % 3 == live);
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
}
