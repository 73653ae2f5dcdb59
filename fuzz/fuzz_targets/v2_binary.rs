//! Any bytes, cut anywhere into JSON and tensor data, are a v2 request that fits the model, or a refusal.
//! `tests/decoders.rs` does the same with generated bodies on every test run.
//!
//! Run with `cargo fuzz run v2_binary`.

#![no_main]

#[path = "../../tests/decoders/fits.rs"]
#[expect(dead_code, reason = "each target decodes one protocol")]
mod fits;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (json_length, body) = input;
    fits::v2(body.to_vec(), Some(json_length.into()));
});
