//! `POST /trace` of the real program: what is recorded, and what ends a recording.

use crate::client::{Answer, input};
use crate::harness::{Server, Settings, model, until};
use inferneo::trace::Trace;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

fn read(answer: &Answer) -> Trace {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/jsonl"));
    Trace::read(&*answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

/// Records, as soon as there is a place.
fn record(server: &Server, seconds: u64) -> JoinHandle<Answer> {
    let admin = server.admin();
    tokio::spawn(async move {
        loop {
            let answer = admin.post("/trace", json!({"seconds": seconds})).await;
            if answer.status != 503 {
                return answer;
            }
        }
    })
}

#[tokio::test]
async fn arrivals_are_recorded_those_that_are_refused_too() {
    let models = model("tiny", "test/tiny_text", "") + &*model("int_ops", "test/int_ops", "");
    let server = Settings::new(models).policy("small", "[batch]\nmax_batch_size = 2").start();
    let recording = record(&server, 2);
    let client = server.http1().tenant("acme").with("x-inferneo-priority", "7");
    let timed = client.clone().with("x-request-timeout-ms", "60000");
    let numbers = |rows: usize| json!({"inputs": [input("x", "INT64", &[rows], json!(vec![4; rows]))]});
    // For as long as it records, so that it has some whenever it began.
    while !recording.is_finished() {
        client.embed("tiny", json!(["red sun", "red sun", "sun"])).await.ok();
        timed.infer("int_ops", numbers(1)).await.ok();
        server.http1().infer("int_ops", numbers(3)).await.refusal(413, "too_large");
    }
    let trace = read(&recording.await.unwrap());
    assert!((2_000_000..4_000_000).contains(&trace.footer.duration_us), "{:?}", trace.footer);
    assert_eq!((trace.header.seconds, trace.footer.truncated), (2, false));
    let find = |model: &str, rows| {
        let mut found = trace.arrivals.iter().filter(|a| &*a.model == model && a.rows() == rows);
        found.next().unwrap_or_else(|| panic!("{model} {rows}: {:?}", trace.footer)).clone()
    };
    let text = find("tiny", 3);
    let runs: Vec<_> = text.items.iter().map(|run| (run.count, run.rows)).collect();
    assert_eq!((&*text.tenant, text.priority, text.deadline_us, &*runs), ("acme", 7, None, &[(2, 1), (1, 1)][..]));
    assert!(text.items[0].len > text.items[1].len && text.items[0].bytes > 0);
    let deadline = find("int_ops", 1).deadline_us.unwrap();
    assert!((50_000_000..=60_000_000).contains(&deadline), "{deadline}");
    let refused = find("int_ops", 3);
    assert_eq!((&*refused.tenant, refused.priority, refused.items[0].rows), ("", 0, 3));
    for (body, word) in [("{\"seconds\": 0}", "seconds is 0"), ("{\"for\": 1}", "\"for\" is not known"), ("[", "JSON")]
    {
        let message = server.admin().send("POST", "/trace", body).await;
        assert_eq!((message.status.as_u16(), &message.json()["reason"]), (400, &json!("invalid_request")));
        assert!(message.text().contains(word.replace('"', "\\\"").as_str()), "{}", message.text());
    }
    let large = server.admin().send("POST", "/trace", vec![b' '; (64 << 10) + 1]).await;
    assert_eq!((large.status.as_u16(), &large.json()["reason"]), (413, &json!("too_large")));
}

#[tokio::test]
async fn recordings_are_few_and_end_with_their_client_or_a_drain() {
    let server = Settings::new(model("int_ops", "test/int_ops", "")).start();
    let mut recordings: Vec<_> = (0..4).map(|_| record(&server, 3600)).collect();
    let admin = server.admin();
    let fifth = async || admin.post("/trace", json!({"seconds": 1})).await;
    until("a refusal of the fifth", async || {
        let answer = fifth().await;
        if answer.status != 200 {
            assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (503, &json!("overloaded")));
            assert!((1..=3600).contains(&answer.header("retry-after").parse().unwrap()));
        }
        answer.status == 503
    })
    .await;
    let gone = recordings.pop().unwrap();
    gone.abort();
    drop(gone.await);
    until("a place", async || fifth().await.status == 200).await;
    server.terminate();
    for recording in recordings {
        let trace = read(&recording.await.unwrap());
        assert!(trace.footer.duration_us < 3_000_000_000 && trace.header.seconds == 3600);
    }
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_a_drain_but_for_a_moment() {
    let settings = Settings::new(model("tiny", "test/tiny_text", "instances = 1"));
    // What is refused is recorded too, and costs the least.
    let server = settings.policy("short", "[batch]\nmax_batch_tokens = 2").start();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut reader = socket.connect(server.admin).await.unwrap();
    reader.write_all(b"POST /trace HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    // Lines of more than a hundred kilobytes, and more of them than sockets buffer.
    let rows: Vec<_> = (0..2048).map(|n| vec![1; 3 + n % 2]).collect();
    for _ in 0..150 {
        server.http1().embed("tiny", json!(rows)).await.refusal(413, "too_large");
    }
    server.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(20), server.ended()).await;
    let ended = ended.expect("a drain far shorter than drain_timeout");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let mut read = Vec::new();
    drop(reader.read_to_end(&mut read).await);
    let read = String::from_utf8_lossy(&read);
    assert!(read.contains("application/jsonl") && !read.contains("truncated"), "the whole trace fits into the sockets");
}

#[tokio::test]
async fn a_trace_is_written_for_as_long_as_the_program_runs() {
    let folder = crate::harness::folder();
    let path = folder.path().join("all.jsonl");
    let server = Settings::new(model("int_ops", "test/int_ops", "")).flag("--trace", path.display()).start();
    let numbers = json!({"inputs": [input("x", "INT64", &[2], json!([4, 4]))]});
    for _ in 0..40 {
        server.http1().tenant("acme").infer("int_ops", numbers.clone()).await.ok();
    }
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let trace = Trace::read(&*std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((trace.cut_off, trace.arrivals.len(), trace.footer.dropped), (false, 40, 0));
    let (served, measured) = (&trace.header.models["int_ops"], &trace.footer.measured["int_ops"]);
    assert_eq!((measured.requests, measured.good, measured.errors), (40, 40, 0));
    let (latency, queue, compute) = (measured.latency_ms.unwrap(), measured.queue_ms.unwrap(), measured.compute_ms);
    assert!(latency.p50 >= compute.unwrap().p50 && latency.max >= queue.max, "{measured:?}");
    assert!(served.overhead_ms.is_some() && !served.devices[0].handover_ms.is_empty(), "{served:?}");
    assert_eq!(served.devices[0].spread.len(), 101);
}

#[tokio::test]
async fn a_trace_that_cannot_be_written_is_a_fault_of_the_configuration() {
    let ended = Settings::new(model("int_ops", "test/int_ops", "")).flag("--trace", "/absent/t.jsonl").run().await;
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    assert!(ended.log.contains("--trace (INFERNEO_TRACE) /absent/t.jsonl: it cannot be written"), "{}", ended.log);
}
