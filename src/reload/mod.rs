//! Live policies and keys: the folder and the file are watched, taken whole, and swapped.
//!
//! Decides when they are looked at, and that a set goes live as a whole or not at all.
//! Does not know what a policy or a keys file may say: that is `policy` and `keys`. Nor who works under it: the one who starts
//! this room says who is told.

mod keys;
mod live;
mod notices;
mod overrides;
mod read;
mod status;
mod watch;

pub use keys::LiveKeys;
pub use live::Live;
pub use read::{ReadError, read_folder, read_policy};
pub use status::{FileStatus, LastError, OverrideStatus, Status};
pub use watch::{Watched, watch};

#[cfg(test)]
mod tests;
