//! Why figures may not be what they seem, in sentences.

use crate::trace::{Load, Trace};

/// What is to be told of a trace before its figures are believed.
pub(super) fn warnings(trace: &Trace) -> Vec<String> {
    let footer = &trace.footer;
    let mut told = Vec::new();
    match footer.load {
        Load::Open => {}
        Load::Closed => told.push(
            "the trace is of a closed loop: its callers waited for answers, so the gaps between requests are what the \
             server's own speed made, and latency under another policy or load cannot be told from them"
                .to_owned(),
        ),
        Load::Unknown => told.push(
            "whether the callers of this trace waited for answers is not known: if they did, latency under another \
             policy or load cannot be told from it"
                .to_owned(),
        ),
    }
    if trace.cut_off {
        told.push("the trace was cut off: later requests are missing, and what was measured".to_owned());
    }
    if footer.truncated {
        told.push("the recording was full before its time was over: later requests are missing".to_owned());
    }
    if footer.dropped > 0 {
        told.push(format!("{} requests are missing that could not be written in time", footer.dropped));
    }
    told
}
