//! Any bytes are a v2 inference request that fits the model, or a refusal. `tests/decoders.rs` does the
//! same with generated bodies on every test run.
//!
//! Run with `cargo fuzz run v2_body`.

#![no_main]

#[path = "../../tests/decoders/fits.rs"]
#[expect(dead_code, reason = "each target decodes one protocol")]
mod fits;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    fits::v2(body.to_vec(), None);
});
