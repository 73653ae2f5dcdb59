//! Any bytes are a policy, or faults that point into them. `tests/policy_text.rs` does the same with
//! generated texts on every test run.
//!
//! Run with `cargo fuzz run policy_text -- -dict=fuzz/policy.dict`; the files of `policies/` make a
//! good first corpus.

#![no_main]

use inferneo::document;
use inferneo::policy::{self, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = match document::decode("p.toml", bytes.to_vec()) {
        Ok(text) => text,
        Err(faults) => return faults.iter().for_each(|fault| drop(fault.to_string())),
    };
    let lines = text.split('\n').count();
    let sources = [Source { name: "a.toml".into(), text: String::new() }, Source { name: "p.toml".into(), text }];
    for folder in [&sources[1..], &sources[..]] {
        match policy::compile(folder, &[], 1) {
            Ok(set) => assert!(set.lookup("minilm", "acme") < set.policies().len()),
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    assert!(fault.place.as_ref().is_none_or(|place| (1..=lines).contains(&place.line)));
                    assert!(!fault.to_string().contains('\u{1b}'));
                }
            }
        }
    }
});
