//! A fence around code of others that may panic on what it is given.
//!
//! Decides that such a panic is an error like any other, and that its words do not go to standard error: they may quote
//! what a caller sent.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught, and so nobody's news.
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic; a panic is told as an error, in its own words.
///
/// What the panic leaves half-done must not be used again.
///
/// # Errors
/// What the panic said.
pub fn fenced<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !FENCED.get() {
                usual(panic);
            }
        }));
    });
    let before = FENCED.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(f));
    FENCED.set(before);
    ended.map_err(|panic| words(&*panic).to_owned())
}

/// What a panic said.
#[must_use]
pub fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_in_its_own_words() {
        assert_eq!(fenced(|| 7), Ok(7));
        assert_eq!(fenced(|| panic!("no {}", "charsmap")), Err::<(), _>("no charsmap".to_owned()));
        assert_eq!(fenced(|| std::panic::panic_any(7)), Err::<(), _>("no message".to_owned()));
        let inner = fenced(|| fenced(|| panic!("inner")).unwrap_err());
        assert_eq!(inner, Ok("inner".to_owned()));
        assert!(!FENCED.get(), "later panics of this thread are news again");
    }
}
