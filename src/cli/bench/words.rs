//! The words of the flags, as values: parsed once, and refused with what is allowed.

use crate::bench::Protocol;
use http::{HeaderName, HeaderValue};
use std::str::FromStr;

/// Requests a second: one rate, or the two ends of a ramp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rate {
    Fixed(f64),
    Ramp(f64, f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let wanted = "requests a second are wanted, from 0.01 to 1000000, for example 200 or 0.5, or a range to search \
                      for the highest that holds, for example 50..2000";
        let number = |word: &str| word.trim().parse().ok().filter(|rate| (0.01..=1e6).contains(rate));
        let rate = match word.split_once("..") {
            None => number(word).map(Self::Fixed),
            Some((from, to)) => {
                number(from).zip(number(to)).filter(|(from, to)| from <= to).map(|(a, b)| Self::Ramp(a, b))
            }
        };
        rate.ok_or_else(|| wanted.to_owned())
    }
}

pub(super) fn protocol(word: &str) -> Result<Protocol, String> {
    match word {
        "openai" => Ok(Protocol::OpenAi),
        "v2" => Ok(Protocol::V2),
        "v2-binary" => Ok(Protocol::V2Binary),
        "grpc" | "tei" => Err("not yet supported; allowed: openai, v2, v2-binary".to_owned()),
        _ => Err("allowed: openai, v2, v2-binary".to_owned()),
    }
}

pub(super) fn header_value(word: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(word).map_err(|_| "not a header value".to_owned())
}

pub(super) fn header(word: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = word.split_once(':').ok_or("NAME: VALUE is wanted")?;
    let name = name.trim().parse().map_err(|_| format!("not a header name: {name:?}"))?;
    Ok((name, header_value(value.trim())?))
}
