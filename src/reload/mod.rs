//! Live policies: the folder is watched, compiled whole, and swapped.
//!
//! Decides when a folder is looked at, and that a set of policies goes live as a whole or not at all.
//! Does not know what a policy may say: that is `policy`. Nor who works under it: the one who starts
//! this room says who is told.

mod live;
mod notices;
mod overrides;
mod read;
mod status;
mod watch;

pub use live::Live;
pub use read::{ReadError, read_folder, read_policy};
pub use status::{FileStatus, LastError, OverrideStatus, Status};
pub use watch::watch;

#[cfg(test)]
mod tests;
