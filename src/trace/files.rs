//! A recording that goes into files for as long as the program runs, a bounded number of them.
//!
//! A thread of its own writes what is recorded; who records never waits for it. What cannot be written in time
//! is left out and counted. Does not know what the models are: it asks.

use super::chunks::Part;
use super::recorder::Recorder;
use super::tape::{Tape, line};
use super::{Footer, Header, Models};
use crate::types::{Time, locked};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::{Duration, SystemTime};

/// Between two looks for what was recorded.
const LOOK: Duration = Duration::from_millis(200);
/// Times that what is found in the place of a new file is moved on: another program may be faster.
const TRIES: u32 = 8;

/// Where a recording goes: into a file, and what was in it before into that name with `.1`, `.2` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The newest.
    pub path: PathBuf,
    /// About how large a file grows.
    pub max_bytes: u64,
    /// Files kept besides the newest, ≥ 1.
    pub keep: u32,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    recorder: Arc<Recorder>,
    /// What the last file is to say, once no more is to come.
    last: Arc<Mutex<Option<(Models, Time)>>>,
    thread: JoinHandle<()>,
}

impl Files {
    /// Finds out whether the file can be written.
    ///
    /// # Errors
    /// The operating system's, when it cannot.
    pub fn check(&self) -> io::Result<()> {
        File::options().create(true).append(true).open(&self.path).map(drop)
    }

    /// Begins to record from `now`, which is the date `started_at`. What a file was left with by an earlier run is
    /// kept like any full one. `models` tells what the models are, and may take a moment.
    ///
    /// # Errors
    /// The operating system's, when the file cannot be written, or it gives no thread.
    pub fn record(
        self,
        recorder: &Arc<Recorder>,
        now: Time,
        started_at: SystemTime,
        models: impl Fn() -> Models + Send + 'static,
    ) -> io::Result<Writer> {
        let mut output = Output { files: self, open: None, told: false };
        output.begin()?;
        let tape = recorder.file(output.files.max_bytes, now, started_at);
        let last = Arc::default();
        let told = Arc::clone(&last);
        let write = move || write(tape, output, &models, &told);
        let thread = Builder::new().name("trace".to_owned()).spawn(write)?;
        Ok(Writer { recorder: Arc::clone(recorder), last, thread })
    }
}

impl Writer {
    /// Ends the recording at `now` and writes the rest of it, which tells of these models. Blocks until it is written.
    pub fn finish(self, models: Models, now: Time) {
        self.recorder.end_file();
        *locked(&self.last) = Some((models, now));
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the writer of the trace panicked");
        }
    }
}

/// Writes tape after tape.
fn write(mut tape: Arc<Tape>, mut output: Output, models: &impl Fn() -> Models, last: &Mutex<Option<(Models, Time)>>) {
    loop {
        // Looked at in this order: once no more is to come, a next tape is known; and what was recorded before either
        // is among the lines.
        let is_last = locked(last).is_some();
        let next = tape.next();
        while let Some(part) = tape.pop() {
            output.put(&part, || Header { models: models(), ..tape.header().clone() });
        }
        if let Some(next) = next {
            output.end(&tape, models(), Time::default());
            tape = next;
        } else if !is_last {
            park_timeout(LOOK);
        } else if let Some((models, now)) = locked(last).take() {
            return output.end(&tape, models, now);
        }
    }
}

/// The files, of which one may be open.
struct Output {
    files: Files,
    open: Option<Open>,
    /// Whether it was said that something is missing.
    told: bool,
}

/// A file that is written.
struct Open {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    lines: u64,
    rows: u64,
}

impl Output {
    /// Makes room for a new file, and opens it.
    fn begin(&mut self) -> io::Result<&mut Open> {
        let file = self.files.open()?;
        Ok(self.open.insert(Open { file, bytes: 0, lines: 0, rows: 0 }))
    }

    /// Writes lines, whole or not at all, after the header if they are the first.
    fn put(&mut self, part: &Part, header: impl FnOnce() -> Header) {
        let mut written = match self.open {
            Some(ref mut open) => Ok(open),
            None => self.begin(),
        };
        if let Ok(open) = &mut written
            && open.bytes == 0
            && let Err(error) = open.append(&line(&header()))
        {
            written = Err(error);
        }
        let written = written.and_then(|open| {
            open.append(&part.bytes)?;
            (open.lines, open.rows) = (open.lines + part.lines, open.rows + part.rows);
            Ok(())
        });
        self.tell(written);
    }

    /// Ends the open file with what is known of its tape.
    fn end(&mut self, tape: &Tape, mut models: Models, now: Time) {
        let (footer, header) = tape.summary(&mut models, now);
        let dropped = footer.dropped;
        if dropped > 0 {
            self.tell(Err(io::Error::other(format!("{dropped} arrivals came faster than they were written"))));
        }
        let Some(mut open) = self.open.take() else { return };
        let (arrivals, rows) = (open.lines, open.rows);
        // What the tape handed over and the file did not take is missing too.
        let dropped = dropped + footer.arrivals.saturating_sub(arrivals);
        let footer = Footer { arrivals, rows, dropped, models, ..footer };
        let begun = if open.bytes == 0 { open.append(&line(&header)) } else { Ok(()) };
        self.tell(begun.and_then(|()| open.append(&line(&footer))));
    }

    /// Warns of the first failure.
    fn tell(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && !std::mem::replace(&mut self.told, true)
        {
            tracing::warn!(path = %self.files.path.display(), "the trace is not complete: {error}");
        }
    }
}

impl Open {
    /// Adds whole lines; none of them, where it fails.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines) {
            // Should this fail as well, the reader skips what is not a line.
            drop(self.file.set_len(self.bytes));
            drop(self.file.seek(SeekFrom::Start(self.bytes)));
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

impl Files {
    /// Opens an empty file under the path, which no other program writes; what is there already moves on.
    fn open(&self) -> io::Result<File> {
        // To open a pipe waits for whoever reads it.
        if fs::metadata(&self.path).is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is a pipe"));
        }
        for _ in 0..TRIES {
            let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
            let found = file.metadata()?;
            // The lock goes with the file. Where there are no locks, files are taken to be nobody else's.
            let is_free = || !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if !found.is_file() || (found.len() == 0 && is_free()) {
                return Ok(file);
            }
            self.shift()?;
        }
        Err(io::Error::new(ErrorKind::ResourceBusy, "other programs write it"))
    }

    /// Gives every file the next number; the oldest goes.
    fn shift(&self) -> io::Result<()> {
        for number in (0..self.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The file with this number; the newest has none.
    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        Path::new(&name).to_owned()
    }
}

#[cfg(test)]
mod tests;
