//! Traces written and read back, and recordings within their bounds.

use super::*;
use crate::types::Time;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

fn read(lines: Lines) -> Trace {
    Trace::read(&*lines.flatten().collect::<Vec<u8>>()).unwrap()
}

fn run(len: u32) -> Run {
    Run { count: 1, rows: 1, len, bytes: len * 8, class: ShapeClass(u64::MAX) }
}

fn arrival(items: Vec<Run>) -> Arrival {
    Arrival { at_us: 0, model: "m".into(), tenant: "".into(), priority: 0, deadline_us: None, items }
}

fn arrivals() -> impl Strategy<Value = Arrival> {
    let runs = (1..9_u32, 1..9_u32, 1..4_u32, any::<u32>(), any::<u64>())
        .prop_map(|(count, rows, len, bytes, class)| Run { count, rows, len, bytes, class: ShapeClass(class) });
    let who = (any::<u64>(), "[a-z\"\\\\é]{1,8}", "[a-z ]{0,8}", any::<u32>());
    (who, option::of(any::<u64>()), vec(runs, 1..5)).prop_map(
        |((at_us, model, tenant, priority), deadline_us, items)| Arrival {
            at_us,
            model: model.into(),
            tenant: tenant.into(),
            priority,
            deadline_us,
            items,
        },
    )
}

/// Numbers that decimal notation keeps.
fn eighths() -> impl Strategy<Value = f64> {
    (0..80_000_u32).prop_map(|n| f64::from(n) / 8.0)
}

fn models() -> impl Strategy<Value = Models> {
    let point = (eighths(), eighths(), eighths()).prop_map(|(rows, len, measured_ms)| Point { rows, len, measured_ms });
    let curve = (1..9_u32, [eighths(), eighths(), eighths(), eighths()], vec(point, 0..3));
    let curve = curve.prop_map(|(busy_workers, [base, per_token, per_squared_token, least], points)| Curve {
        busy_workers,
        coefficients_ms: Coefficients { base, per_token, per_squared_token, least },
        points,
    });
    let place = ("[a-z:0-9]{1,8}", 1..9_u32, vec(curve, 1..3)).prop_map(|(device, workers, costs)| Place {
        device: device.into(),
        workers,
        handover_ms: vec![f64::from(workers), 9.5],
        pace: vec![1.0, 1.5],
        spread: vec![0.5, 1.0, 2.5],
        costs,
    });
    let served = (any::<bool>(), option::of(eighths()), vec(place, 1..3));
    let served = served.prop_map(|(batchable, overhead_ms, devices)| Served { batchable, overhead_ms, devices });
    proptest::collection::btree_map("[a-z]{1,8}".prop_map(Into::into), served, 0..3)
}

proptest! {
    #[test]
    fn a_trace_reads_back_as_it_was_written(
        mut arrivals in vec(arrivals(), 0..20), seconds: u64, micros in 0..1_u64 << 50, duration_us: u64, truncated: bool,
        models in models(),
    ) {
        arrivals.sort_by_key(|arrival| arrival.at_us);
        let started_at = UNIX_EPOCH + Duration::from_micros(micros);
        let rows = arrivals.iter().map(Arrival::rows).sum();
        let trace = Trace {
            header: Header { trace: VERSION, started_at, seconds, models: models.clone() },
            footer: Footer {
                arrivals: arrivals.len() as u64,
                rows,
                duration_us,
                truncated,
                ..Footer::default()
            },
            arrivals,
            cut_off: false,
        };
        let mut lines = vec![serde_json::to_string(&trace.header).unwrap()];
        lines.extend(trace.arrivals.iter().map(|arrival| serde_json::to_string(arrival).unwrap()));
        lines.push(serde_json::to_string(&trace.footer).unwrap());
        prop_assert_eq!(Trace::read(lines.join("\n").as_bytes()).unwrap(), trace);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        prop_assert!(Trace::read(text.as_bytes()).is_err());
    }

    #[test]
    fn joined_runs_hold_the_same_items(lens in vec(1..4_u32, 0..40)) {
        let joined = Run::join(lens.iter().map(|len| run(*len)));
        prop_assert!(joined.windows(2).all(|pair| pair[0].len != pair[1].len));
        let items = joined.iter().flat_map(|run| std::iter::repeat_n(run.len, run.count as usize));
        prop_assert_eq!(items.collect::<Vec<_>>(), lens);
    }
}

#[test]
fn what_is_usual_is_left_out() {
    let line = serde_json::to_string(&arrival(vec![run(5)])).unwrap();
    assert_eq!(line, r#"{"at_us":0,"model":"m","items":[{"len":5,"bytes":40,"class":"ffffffffffffffff"}]}"#);
}

const HEADER: &str = r#"{"trace":1,"started_at":"2026-01-02T03:04:05.000006Z","seconds":60}"#;
const ARRIVAL: &str = r#"{"at_us":7,"model":"m","items":[{"len":5,"bytes":40,"class":"00000000000000ff"}]}"#;
const FOOTER: &str = r#"{"arrivals":1,"rows":1,"duration_us":9,"truncated":false}"#;

#[test]
fn faults_are_told_with_their_line() {
    let told = |lines: &[&str]| Trace::read(lines.join("\n").as_bytes()).unwrap_err().to_string();
    assert!(Trace::read([HEADER, "", ARRIVAL, FOOTER, ""].join("\n").as_bytes()).is_ok());
    let earlier = ARRIVAL.replace("\"at_us\":7", "\"at_us\":6");
    let (unknown, wrong) = (ARRIVAL.replace("at_us", "at_ms"), ARRIVAL.replace("\"len\":5", "\"len\":-5"));
    let (empty, none) = (ARRIVAL.replace("\"len\":5", "\"len\":0"), ARRIVAL.replace("00000000000000ff", "+f"));
    let many = ARRIVAL.replace("\"len\":5", "\"count\":4294967295,\"len\":5");
    assert_eq!(Trace::read(&b"\n\xff\n"[..]).unwrap_err().to_string(), "line 2: it is not text in UTF-8");
    for (lines, expected) in [
        (&[][..], "line 1: the header is missing: the trace is empty"),
        (&[ARRIVAL], "line 1: expected a header such as {\"trace\":1,…}: missing field `trace`"),
        (&["{\"trace\":2}"], "line 1: the trace is of version 2: version 1 is understood"),
        (&["{\"trace\":1}"], "line 1: expected a header such as {\"trace\":1,…}: missing field `started_at`"),
        (&[HEADER, "{\"arrivals\":0}", ""], "line 2: expected the footer: missing field `rows`"),
        (&[HEADER, ARRIVAL, &earlier, FOOTER], "line 3: at_us is 6: the line before it has 7"),
        (
            &[HEADER, "", &unknown, FOOTER],
            "line 3: expected an arrival: unknown field `at_ms`, expected one of `at_us`",
        ),
        (&[HEADER, &wrong, FOOTER], "line 2: expected an arrival: invalid value: integer `-5`, expected u32 at column"),
        (&[HEADER, &empty, FOOTER], "line 2: an item has a count, rows or len of 0"),
        (&[HEADER, &many, FOOTER], "line 2: items have 4294967295 rows: at most 1048576 arrive together"),
        (&[HEADER, &none, FOOTER], "line 2: expected an arrival: class is \"+f\": expected 16 hexadecimal digits"),
        (&[HEADER, FOOTER], "line 2: the footer tells of 1 arrivals of 1 rows: there are 0 of 0"),
    ] {
        let message = told(lines);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn recordings_take_what_arrives_while_they_last() {
    let recorder = Arc::new(Recorder::default());
    let at = Time::from_millis;
    recorder.record(at(1), 0, || panic!("nobody records"));
    let first = recorder.start(60, None, at(2), UNIX_EPOCH).unwrap();
    recorder.record(at(3), 0, || arrival(vec![run(5)]));
    let second = recorder.start(60, None, at(4), UNIX_EPOCH).unwrap();
    recorder.record(at(5), 1, || arrival(vec![run(6), run(7)]));
    let first = first.finish(Models::new(), at(6));
    recorder.record(at(7), 2, || arrival(vec![run(8)]));
    let (first, second) = (read(first), read(second.finish(Models::new(), at(8))));
    let seen = |trace: &Trace| trace.arrivals.iter().map(|a| (a.at_us, a.rows())).collect::<Vec<_>>();
    assert_eq!(seen(&first), [(1_000, 1), (3_000, 2)]);
    assert_eq!(seen(&second), [(1_000, 2), (3_000, 1)]);
    assert_eq!(first.footer, Footer { arrivals: 2, rows: 3, duration_us: 4_000, ..Footer::default() });
    assert!(!recorder.is_recording());
    recorder.record(at(9), 3, || panic!("nobody records any more"));
}

#[test]
fn a_recording_holds_its_place_until_it_is_read() {
    let recorder = Arc::new(Recorder::default());
    let start = |seconds| recorder.start(seconds, None, Time(0), UNIX_EPOCH);
    let mut all: Vec<_> = [9, 3, 5, 7].into_iter().map(|seconds| start(seconds).unwrap()).collect();
    assert_eq!(start(1).unwrap_err(), Refused::Full(Time::from_millis(3_000)));
    let lines = all.pop().unwrap().finish(Models::new(), Time(1));
    assert!(start(1).is_err(), "its lines are not yet read");
    drop(lines);
    drop(start(1).unwrap());
    recorder.close();
    assert!(recorder.is_recording());
    all.clear();
    assert_eq!((start(1).unwrap_err(), recorder.is_recording()), (Refused::Closed, false));
}

#[test]
fn recordings_keep_so_many_bytes_together_and_one_that_is_full_says_so() {
    const KEPT: usize = 1 << 20;
    let recorder = Arc::new(Recorder::keeping(KEPT));
    let start = || recorder.start(1, None, Time(0), UNIX_EPOCH);
    let fill = |runs: u32| {
        let many = arrival((0..runs).map(|n| run(n % 2 + 1)).collect());
        (0..KEPT / (runs as usize * 50)).for_each(|_| recorder.record(Time(1), 0, || many.clone()));
    };
    // Lines of some kilobytes, and such as are longer than a chunk.
    for runs in [100, 2_000] {
        let both = [start().unwrap(), start().unwrap()];
        fill(runs);
        assert_eq!(start().unwrap_err(), Refused::Full(Time::from_millis(1_000)), "there is no room left");
        let kept = both.map(|recording| {
            let bytes: Vec<u8> = recording.finish(Models::new(), Time(3)).flatten().collect();
            let trace = Trace::read(&*bytes).unwrap();
            assert!(trace.footer.truncated && !trace.arrivals.is_empty(), "{:?}", trace.footer);
            bytes.len()
        });
        // But for the headers and footers.
        assert!((KEPT / 2..KEPT + 1_000).contains(&kept.iter().sum()), "{kept:?}");
    }
    let gone = start().unwrap();
    fill(100);
    drop(gone);
    let trace = read(start().unwrap().finish(Models::new(), Time(4)));
    assert_eq!((trace.footer.arrivals, trace.footer.truncated), (0, false));
}
