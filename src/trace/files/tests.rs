//! Files that are turned over, cut off, and cannot be written.

use super::*;
use crate::trace::{Arrival, Run, Trace};
use crate::types::ShapeClass;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

fn arrival() -> Arrival {
    let run = |len| Run { count: 1, rows: 1, len, bytes: 8, class: ShapeClass(1) };
    let items = (0..40).map(|i| run(1 + i % 2)).collect();
    Arrival { at_us: 0, model: "m".into(), tenant: "".into(), priority: 0, deadline_us: None, items }
}

fn files(folder: &TempDir, max_bytes: u64, keep: u32) -> Files {
    Files { path: folder.path().join("t.jsonl"), max_bytes, keep }
}

fn read(path: &Path) -> Trace {
    Trace::read(&*fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn full_files_are_turned_over_and_each_is_a_trace_of_its_own() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), Arc::new(Recorder::default()));
    let files = files(&folder, 20_000, 2);
    let writer = files.clone().record(&recorder, Time(0), UNIX_EPOCH, Models::new).unwrap();
    assert!(!recorder.is_recording() && !recorder.is_idle());
    let line = line(&arrival()).len() as u64;
    let a_file = 20_000_u64.div_ceil(line);
    for at in 0..5 * a_file + 1 {
        recorder.record(Time(at * 1_000_000), 0, arrival);
    }
    writer.finish(Models::new(), Time(5 * a_file * 1_000_000 + 7_000_000));
    assert!(recorder.is_idle());
    let newest = read(&files.numbered(0));
    assert_eq!((newest.footer.arrivals, newest.footer.duration_us, newest.footer.dropped), (1, 8_000, 0));
    for number in [1, 2] {
        let older = read(&files.numbered(number));
        assert_eq!((older.footer.arrivals, older.footer.rows), (a_file, a_file * 40));
        assert!(older.header.started_at < newest.header.started_at && !older.cut_off);
        assert_eq!(older.arrivals.last().unwrap().at_us, older.footer.duration_us);
    }
    assert!(!files.numbered(3).exists());
}

#[test]
fn what_an_earlier_run_left_is_kept_and_can_be_read_up_to_its_last_whole_line() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), Arc::new(Recorder::default()));
    let files = files(&folder, 1 << 20, 1);
    let writer = files.clone().record(&recorder, Time(0), UNIX_EPOCH, Models::new).unwrap();
    (1..4).for_each(|at| recorder.record(Time(at), 0, arrival));
    writer.finish(Models::new(), Time(9));
    let whole = fs::read_to_string(&files.path).unwrap();
    let footer = whole.trim_end().rfind('\n').unwrap() + 1;
    let writer = files.clone().record(&recorder, Time(0), UNIX_EPOCH, Models::new).unwrap();
    writer.finish(Models::new(), Time(9));
    assert_eq!((read(&files.numbered(0)).footer.arrivals, read(&files.numbered(1)).footer.arrivals), (0, 3));
    for (end, arrivals) in [(footer, 3), (footer - 1, 3), (footer - 2, 2), (footer + 5, 3)] {
        let trace = Trace::read(&whole.as_bytes()[..end]).unwrap();
        assert_eq!((trace.cut_off, trace.footer.arrivals, trace.arrivals.len()), (true, arrivals, arrivals as usize));
    }
}

#[test]
fn what_does_not_fit_is_counted() {
    let (folder, recorder) = (tempfile::tempdir().unwrap(), Arc::new(Recorder::default()));
    let files = files(&folder, u64::MAX, 1);
    // The writer asks what the models are before its first line: until it is told, it writes nothing.
    let (told, telling) = std::sync::mpsc::channel::<()>();
    let models = move || {
        telling.recv().ok();
        Models::new()
    };
    let writer = files.clone().record(&recorder, Time(0), UNIX_EPOCH, models).unwrap();
    let all = 3 * (8 << 20) / line(&arrival()).len() as u64;
    (0..all).for_each(|at| recorder.record(Time(at), 0, arrival));
    drop(told);
    writer.finish(Models::new(), Time(all));
    let footer = read(&files.path).footer;
    assert!(footer.dropped > all / 3 && footer.dropped + footer.arrivals == all && !footer.truncated, "{footer:?}");
}

#[test]
fn a_full_disk_costs_what_is_recorded_meanwhile_and_no_more() {
    let recorder = Arc::new(Recorder::default());
    let full = Files { path: "/dev/full".into(), max_bytes: 1 << 20, keep: 1 };
    if !full.path.exists() {
        return;
    }
    let writer = full.record(&recorder, Time(0), UNIX_EPOCH, Models::new).unwrap();
    (0..10).for_each(|at| recorder.record(Time(at), 0, arrival));
    writer.finish(Models::new(), Time(20));
    assert!(recorder.is_idle());
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Files { path: folder.path().join("absent/t"), max_bytes: 1, keep: 1 };
    assert!(nowhere.record(&recorder, Time(0), UNIX_EPOCH, Models::new).is_err());
}

#[test]
fn programs_that_share_a_file_do_not_write_into_each_others() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, 1 << 20, 3);
    let recorders = [Arc::new(Recorder::default()), Arc::new(Recorder::default())];
    // The second finds a file that is still empty, and held.
    let start = |recorder| files.clone().record(recorder, Time(0), UNIX_EPOCH, Models::new).unwrap();
    let writers = [start(&recorders[0]), start(&recorders[1])];
    for (recorder, arrivals) in recorders.iter().zip([2, 3]) {
        (0..arrivals).for_each(|at| recorder.record(Time(at), 0, arrival));
    }
    writers.into_iter().for_each(|writer| writer.finish(Models::new(), Time(9)));
    let arrivals = [0, 1].map(|number| read(&files.numbered(number)).footer.arrivals);
    assert_eq!((arrivals, files.numbered(2).exists()), ([3, 2], false));
    // One that nobody holds any more is used, as what a crash left.
    fs::write(&files.path, "").unwrap();
    start(&recorders[0]).finish(Models::new(), Time(9));
    assert_eq!(read(&files.numbered(0)).footer.arrivals, 0);
    assert!(!files.numbered(2).exists());
}

#[test]
fn a_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder, 1, 1);
    let made = std::process::Command::new("mkfifo").arg(&files.path).status().unwrap();
    assert!(made.success());
    let refused = files.record(&Arc::new(Recorder::default()), Time(0), UNIX_EPOCH, Models::new);
    assert_eq!(refused.unwrap_err().to_string(), "it is a pipe");
}
