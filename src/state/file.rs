//! A file of JSON that is there as a whole or not at all.
//!
//! Decides how large it may be. Does not know what is in it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// The largest file that is read. A device's cost under eight loads takes a few hundred KiB.
const MOST: u64 = 16 << 20;

/// A draft that was not touched for as long is nobody's any more.
const LEFT: Duration = Duration::from_secs(600);

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is there and cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No file that this program wrote is so large.
    #[error("it is larger than {MOST} bytes")]
    TooLarge,
    /// It is not what was expected.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads a file; `None` where there is none. Blocks.
///
/// # Errors
/// When it cannot be read, is too large or something else.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReadError> {
    // Anything but a regular file, such as a pipe, might never end.
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(io::Error::other("not a regular file").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(ReadError::TooLarge);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Writes a file whole: a reader, and a machine that loses power, has the old one or the new one. Makes its
/// folder where that is missing. Blocks.
///
/// # Errors
/// The operating system's.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    sweep(path);
    // Two programs may share the folder, and be of one number in containers of their own.
    let draft = draft(path, &Uuid::new_v4().simple().to_string());
    let written = File::create(&draft).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    let moved = written.and_then(|()| fs::rename(&draft, path));
    if moved.is_err() {
        // It may never have been made.
        drop(fs::remove_file(&draft));
    }
    moved
}

/// Whether a file could be written now, for those who work long for what is to be in it. Makes its folder where that is
/// missing. Blocks.
///
/// # Errors
/// The operating system's.
pub fn check(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = draft(path, &Uuid::new_v4().simple().to_string());
    File::create(&draft)?;
    fs::remove_file(&draft)
}

fn draft(path: &Path, name: &str) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{name}.draft"));
    draft.into()
}

/// Removes the drafts of a file that a program left which was ended while it wrote.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_draft = |file: &OsStr| {
        let file = file.as_encoded_bytes();
        file.starts_with(name.as_encoded_bytes()) && file.ends_with(b".draft")
    };
    for entry in entries.filter(|entry| is_draft(&entry.file_name())) {
        let touched = entry.metadata().and_then(|found| found.modified());
        if touched.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT)) {
            // Another program may have been quicker.
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("x.json");
        assert!(read::<Vec<f64>>(&path).unwrap().is_none());
        check(&path).unwrap();
        for value in [vec![0.1, 1e300], vec![2.0]] {
            write(&path, &value).unwrap();
            assert_eq!(read::<Vec<f64>>(&path).unwrap(), Some(value));
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn drafts_that_were_left_long_ago_are_swept_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let of = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            let touched = file.metadata().unwrap().modified().unwrap();
            file.set_modified(touched - Duration::from_secs(age)).unwrap();
        };
        for (name, age) in
            [("x.json.a.draft", 700), ("x.json.b.draft", 500), ("y.json.c.draft", 700), ("x.json.d", 700)]
        {
            of(name, age);
        }
        write(&path, &1).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["x.json", "x.json.b.draft", "x.json.d", "y.json.c.draft"]);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        assert!(matches!(read::<u32>(folder.path()), Err(ReadError::Io(_))));
        fs::write(&path, "{").unwrap();
        assert!(matches!(read::<u32>(&path), Err(ReadError::Json(_))));
        File::create(&path).unwrap().set_len(MOST + 1).unwrap();
        assert!(matches!(read::<u32>(&path), Err(ReadError::TooLarge)));
        assert!(write(Path::new("/proc/nowhere/x.json"), &1).is_err());
        assert!(check(&path.join("x.json")).is_err());
    }
}
