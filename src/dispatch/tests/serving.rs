//! What goes well: answers, cancellations, policies that change, refusals, and the end.

use super::*;

#[tokio::test]
async fn a_caller_that_leaves_is_never_computed() {
    let mut world = World::held(1, ALONE).await;
    let first = world.ask(&[&[1]]);
    let running = world.next_run().await;
    let gone = world.ask(&[&[2]]);
    world.rows(2).await;
    gone.abort();
    world.rows(1).await;
    let last = world.ask(&[&[3]]);
    running.end(Ok(()));
    let next = world.next_run().await;
    assert_eq!(next.heads(), [3]);
    next.end(Ok(()));
    assert_eq!(values(first.await.unwrap().unwrap()), [1.0]);
    assert_eq!(values(last.await.unwrap().unwrap()), [3.0]);
}

#[tokio::test]
async fn a_caller_that_leaves_while_its_row_runs_costs_nobody_else() {
    let mut world =
        World::held(1, "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 2\nmax_queue_delay = '60s'").await;
    let (gone, stays) = (world.ask(&[&[1]]), world.ask(&[&[2]]));
    let run = world.next_run().await;
    assert_eq!(run.heads(), [1, 2]);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    run.end(Ok(()));
    assert_eq!(values(stays.await.unwrap().unwrap()), [2.0]);
    world.rows(0).await;
}

#[tokio::test]
async fn a_reply_waits_for_its_last_batch_and_counts_them() {
    let mut world = World::held(1, ALONE).await;
    let mut asked = world.ask(&[&[5], &[6], &[7]]);
    for _ in 0..3 {
        let run = world.next_run().await;
        assert!(!asked.is_finished());
        run.end(Ok(()));
    }
    let reply = (&mut asked).await.unwrap().unwrap();
    assert_eq!((reply.batch.batches, reply.batch.rows, &*reply.batch.policy), (3, 1, "only"));
    assert_eq!(values(reply), [5.0, 6.0, 7.0]);
}

#[tokio::test]
async fn rows_that_meet_share_a_batch_and_each_gets_its_own_answer() {
    let policy = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 4\nmax_queue_delay = '60s'";
    let world = World::scripted(1, policy, |_| Ok(())).await;
    let asked = [world.ask(&[&[8, 1]]), world.ask(&[&[9, 1, 1], &[10]]), world.ask(&[&[11]])];
    let expected = [vec![8.0], vec![9.0, 10.0], vec![11.0]];
    for (task, values_of_it) in asked.into_iter().zip(expected) {
        let reply = task.await.unwrap().unwrap();
        let batch = reply.batch.clone();
        assert_eq!((batch.rows, batch.tokens, batch.padded, batch.batches), (4, 7, 12, 1));
        assert_eq!(values(reply), values_of_it);
    }
}

#[tokio::test]
async fn policies_change_under_load_and_nothing_is_lost() {
    let mut world = World::held(2, ALONE).await;
    let asked: Vec<_> = (100..200).map(|token| world.ask(&[&[token]])).collect();
    world.rows(100).await;
    let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
    let mut count = 0;
    while seen.len() < 100 {
        let run = world.next_run().await;
        run.heads().iter().for_each(|head| *seen.entry(*head).or_default() += 1);
        count += 1;
        match count {
            10 => world.handle.set_policies(policies("[batch]\nmax_batch_size = 8", 2)),
            13 => world.handle.set_policies(policies("strategy = 'throughput_optimized'", 3)),
            15 => world.handle.set_policies(policies(ALONE, 4)),
            _ => {}
        }
        run.end(Ok(()));
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let mut generations = Vec::new();
    for (task, token) in asked.into_iter().zip(100_u16..) {
        let reply = task.await.unwrap().unwrap();
        generations.push(reply.batch.generation);
        assert_eq!(values(reply), [f32::from(token)]);
    }
    assert!(generations.contains(&1) && generations.iter().any(|g| *g > 1), "{generations:?}");
    world.rows(0).await;
}

#[tokio::test]
async fn once_batching_is_off_what_waited_for_company_runs_alone_and_at_once() {
    let mut world = World::held(2, "strategy = 'throughput_optimized'\n[batch]\nmax_queue_delay = '10s'").await;
    let asked = [world.ask(&[&[1]]), world.ask(&[&[2]]), world.ask(&[&[3]])];
    world.rows(3).await;
    assert!(world.runs.try_recv().is_err());
    let off = "dynamic_batching = false\nstrategy = 'throughput_optimized'\n[batch]\nmax_queue_delay = '10s'";
    world.handle.set_policies(policies(off, 2));
    for _ in 0..3 {
        let run = world.next_run().await;
        assert_eq!(run.heads().len(), 1);
        run.end(Ok(()));
    }
    for (task, value) in asked.into_iter().zip([1.0, 2.0, 3.0]) {
        let reply = task.await.unwrap().unwrap();
        assert_eq!((reply.batch.rows, reply.batch.generation), (1, 2));
        assert!(reply.timing.queue < Duration::from_secs(5), "{:?}", reply.timing);
        assert_eq!(values(reply), [value]);
    }
}

#[tokio::test]
async fn overload_and_size_are_refused_with_their_reasons() {
    let policy = "dynamic_batching = false\n[batch]\nmax_batch_tokens = 4\n[queue]\nmax_rows = 2\n[slo]\ntarget = '1h'";
    let mut world = World::held(1, policy).await;
    let refused = async |items: &[&[u32]]| world.handle.infer(world.request(items)).await.unwrap_err();
    let large = refused(&[&[1, 2, 3, 4, 5]]).await;
    assert_eq!((large.reason, large.retry_after), (Reason::TooLarge, None));
    assert!(large.message.contains("5 tokens") && large.message.contains("max_batch_tokens"), "{large}");
    assert_eq!(refused(&[&[1], &[2], &[3]]).await.reason, Reason::TooLarge);
    let mut late = world.request(&[&[1]]);
    late.deadline = Some(Time(1));
    assert_eq!(world.handle.infer(late).await.unwrap_err().reason, Reason::DeadlineExceeded);
    let first = world.ask(&[&[1]]);
    let running = world.next_run().await;
    let waiting = [world.ask(&[&[2]]), world.ask(&[&[3]])];
    world.rows(3).await;
    // The queue is full, and the gate says so before anything is decoded.
    let full = world.handle.infer(world.request(&[&[4]])).await.unwrap_err();
    assert!(full.reason == Reason::Overloaded && full.retry_after.is_some(), "{full:?}");
    assert_eq!(world.handle.gate().reserve(1).unwrap_err().reason, Reason::Overloaded);
    running.end(Ok(()));
    first.await.unwrap().unwrap();
    for task in waiting {
        world.next_run().await.end(Ok(()));
        task.await.unwrap().unwrap();
    }
    world.until(|world| world.handle.gate().reserve(1).is_ok()).await;
    // Too late and too many are missed, too large is nobody's fault but the caller's.
    assert_eq!(slo(&world), [3, 2]);
}

/// Requests that met the target, and that missed it.
fn slo(world: &World) -> [u32; 2] {
    let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    ["met", "missed"].map(|result| {
        let name = format!("inferneo_slo_total{{model=\"fake\",result=\"{result}\",tenant=\"default\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    })
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_told_at_once_and_never_computed() {
    let mut world = World::held(1, ALONE).await;
    let first = world.ask(&[&[1]]);
    let running = world.next_run().await;
    let mut hurried = world.request(&[&[2]]);
    hurried.deadline = Some(clock::now() + Duration::from_millis(20));
    // The worker is still busy when this answer comes.
    assert_eq!(world.handle.infer(hurried).await.unwrap_err().reason, Reason::DeadlineExceeded);
    let last = world.ask(&[&[3]]);
    running.end(Ok(()));
    first.await.unwrap().unwrap();
    let run = world.next_run().await;
    assert_eq!(run.heads(), [3]);
    run.end(Ok(()));
    last.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_answers_what_it_took_refuses_the_rest_and_returns_the_workers() {
    let policy = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 3\nmax_queue_delay = '60s'";
    let mut world = World::held(2, policy).await;
    let running = world.ask(&[&[1], &[2], &[3]]);
    let run = world.next_run().await;
    let waiting = world.ask(&[&[4]]);
    world.rows(4).await;
    world.handle.drain();
    assert_eq!(world.handle.gate().reserve(1).unwrap_err().reason, Reason::Draining);
    // What waits is not held back for company any more.
    let last = world.next_run().await;
    assert_eq!(last.heads(), [4]);
    let refused = world.handle.infer(world.request(&[&[5]]));
    last.end(Ok(()));
    assert_eq!(values(waiting.await.unwrap().unwrap()), [4.0]);
    assert!(!world.driver.is_finished());
    run.end(Ok(()));
    assert_eq!(values(running.await.unwrap().unwrap()), [1.0, 2.0, 3.0]);
    let refused = refused.await.unwrap_err();
    assert!(refused.reason == Reason::Draining && refused.retry_after.is_some(), "{refused:?}");
    let workers = (&mut world.driver).await.unwrap();
    assert_eq!(workers.len(), 2);
    assert_eq!(world.handle.infer(world.request(&[&[6]])).await.unwrap_err().reason, Reason::Draining);
    drop(world);
    workers.into_iter().for_each(WorkerHandle::join);
}

#[tokio::test]
async fn the_gate_goes_by_policies_that_requests_can_fall_under() {
    let small = policies("[batch]\nmax_batch_size = 4\n[queue]\nmax_rows = 8\nmax_bytes = 100", 1);
    let (_, handle) = Driver::start(small, Vec::new(), Arc::new(Metrics::new().unwrap())).unwrap();
    // Neither the rows nor the bytes of the built-in policy beside it, which are more.
    assert_eq!(handle.gate().max_rows(), 8);
    let held = handle.gate().reserve(199).unwrap();
    assert_eq!(handle.gate().reserve(2).unwrap_err().reason, Reason::Overloaded);
    assert!(handle.gate().reserve(1).is_ok());
    drop(held);
}
