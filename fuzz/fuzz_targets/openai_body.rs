//! Any bytes are an OpenAI embedding request that fits the model, or a refusal. `tests/decoders.rs` does
//! the same with generated bodies on every test run.
//!
//! Run with `cargo fuzz run openai_body`.

#![no_main]

#[path = "../../tests/decoders/fits.rs"]
#[expect(dead_code, reason = "each target decodes one protocol")]
mod fits;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    fits::openai(body);
});
