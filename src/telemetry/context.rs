//! Trace context as callers send it: `traceparent` and `tracestate` (W3C Trace Context, levels 1 and 2).
//!
//! Decides what is a valid `traceparent`. One that is not is as good as none, as the recommendation has it.

use std::fmt;

/// The header that names the caller's trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header of vendors' own words about the trace.
pub const TRACESTATE: &str = "tracestate";
/// Most characters of a `tracestate` that spans keep: what every vendor must be able to carry.
const MOST_STATE: usize = 512;

/// The number of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The caller's place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, not all zero.
    pub trace: TraceId,
    /// The caller's span, not all zero.
    pub span: [u8; 8],
    /// Whether the caller records the trace.
    pub sampled: bool,
    /// The values of `tracestate` in order, joined by commas; empty where there is none, or too much.
    pub state: String,
}

impl TraceContext {
    /// Reads the values of both headers. There must be one `traceparent`; there may be several `tracestate`.
    pub fn read<'a>(
        parents: impl IntoIterator<Item = &'a [u8]>,
        states: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut parents = parents.into_iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let context = Self::parse(parent)?;
        let states: Vec<_> = states.into_iter().filter_map(|value| str::from_utf8(value).ok()).collect();
        let state = Some(states.join(",")).filter(|state| state.len() <= MOST_STATE).unwrap_or_default();
        Some(Self { state, ..context })
    }

    /// Reads a `traceparent`: `version-trace-span-flags`, all in lower-case hexadecimal digits.
    ///
    /// Version `00` ends there. A later one may go on after a further `-`; `ff` is not a version.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(55)?;
        let [version] = hex(known.get(..2)?)?;
        let is_version = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let has_dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let (trace, span, [flags]) = (hex(&known[3..35])?, hex(&known[36..52])?, hex(&known[53..])?);
        let is_valid = is_version && has_dashes && trace != [0; 16] && span != [0; 8];
        is_valid.then(|| Self { trace: TraceId(trace), span, sampled: flags & 1 == 1, state: String::new() })
    }
}

/// Bytes of lower-case hexadecimal digits, two each.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    #[test]
    fn a_traceparent_names_trace_span_and_whether_it_is_sampled() {
        let context = parse(GOOD).unwrap();
        assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(context.sampled);
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            assert_eq!(parse(&GOOD.replace("-01", &format!("-{flags}"))).unwrap().sampled, sampled);
        }
    }

    #[test]
    fn later_versions_are_read_by_their_beginning() {
        let later = GOOD.replacen("00", "cc", 1);
        for rest in ["", "-", "-what-ever", "-01"] {
            assert!(parse(&format!("{later}{rest}")).is_some(), "{rest}");
        }
        assert!(parse(&format!("{later}.what")).is_none());
        assert!(parse(&format!("{later}0")).is_none());
    }

    #[test]
    fn what_breaks_a_rule_is_none() {
        let zero_trace = GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_span = GOOD.replace("b7ad6b7169203331", &"0".repeat(16));
        let (forbidden, upper) = (GOOD.replacen("00", "ff", 1), GOOD.replace("0af", "0AF"));
        let (longer, joined) = (format!("{GOOD}-00"), GOOD.replace("-b7", "0b7"));
        let odd = GOOD.replace("-01", "-0x");
        for bad in ["", "00", &GOOD[..54], &zero_trace, &zero_span, &forbidden, &upper, &longer, &joined, &odd] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(parse(&format!(" {GOOD}")).is_none() && parse(&format!("{}\u{e9}", &GOOD[..54])).is_none());
    }

    #[test]
    fn one_parent_and_the_states_in_order() {
        let read = |parents: &[&str], states: &[&str]| {
            let bytes = |text: &&str| -> &'static [u8] { text.to_string().leak().as_bytes() };
            TraceContext::read(parents.iter().map(bytes), states.iter().map(bytes))
        };
        assert!(read(&[], &["a=1"]).is_none() && read(&[GOOD, GOOD], &[]).is_none() && read(&["x"], &[]).is_none());
        assert_eq!(read(&[GOOD], &["a=1", "b=2,c=3"]).unwrap().state, "a=1,b=2,c=3");
        let long = "x".repeat(513);
        assert_eq!(read(&[GOOD], &[&long]).unwrap().state, "");
    }

    proptest! {
        #[test]
        fn every_id_is_read_as_it_is_written(trace: u128, span: u64, flags: u8, version in 0..255_u8) {
            let text = format!("{version:02x}-{trace:032x}-{span:016x}-{flags:02x}");
            let expected = (trace != 0 && span != 0).then(|| TraceContext {
                trace: TraceId(trace.to_be_bytes()),
                span: span.to_be_bytes(),
                sampled: flags & 1 == 1,
                state: String::new(),
            });
            prop_assert_eq!(parse(&text), expected);
            prop_assert!(trace == 0 || TraceId(trace.to_be_bytes()).to_string() == text[3..35]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, cut in 0..60_usize) {
            drop(TraceContext::parse(&bytes));
            let mut text = GOOD.as_bytes().to_vec();
            text.splice(cut.min(text.len()).., bytes);
            drop(TraceContext::parse(&text));
        }
    }
}
