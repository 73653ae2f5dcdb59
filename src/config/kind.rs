//! How the text of a setting is understood, the same in a flag and in the file.

use super::{Placement, Upstream};
use crate::document;
use crate::telemetry::{self, LogFormat};
use crate::types::Device;
use http::Uri;
use http::uri::Scheme;
use std::net::SocketAddr;

/// A kind of text: which are accepted, in words, and what they mean.
pub(super) struct Kind<T> {
    pub(super) expected: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
}

pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    expected: "an address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
    parse: |text| text.parse().ok(),
};

pub(super) const UPSTREAM: Kind<Upstream> = Kind {
    expected: "a server such as \"http://127.0.0.1:9000\" or \"http://host/base\" (plain http)",
    parse: upstream,
};

pub(super) const OTLP_ENDPOINT: Kind<Upstream> = Kind {
    expected: match telemetry::HAS_OTLP {
        true => "a collector such as \"http://127.0.0.1:4318\" (OTLP over plain http)",
        false => "nothing: this build cannot export spans, it is one without the feature `otlp`",
    },
    parse: |text| upstream(text).filter(|_| telemetry::HAS_OTLP),
};

pub(super) const DEVICE: Kind<Placement> = Kind {
    expected: "\"auto\", \"cpu\", \"cuda\", or a list such as \"cuda:0,cuda:1\" that names each device once",
    parse: |text| match text {
        "auto" => Some(Placement::Auto),
        "cuda" => Some(Placement::Cuda),
        _ => devices(text).map(Placement::On),
    },
};

pub(super) const BOOLEAN: Kind<bool> = Kind { expected: "true or false", parse: |text| text.parse().ok() };

pub(super) const BYTES: Kind<u64> = Kind {
    expected: "a size from 1 byte to 1TiB such as \"64MiB\", or a number of bytes",
    parse: document::bytes_of_text,
};

pub(super) const LOG_FORMAT: Kind<LogFormat> =
    Kind { expected: "\"text\" or \"json\"", parse: |text| text.parse().ok() };

pub(super) const LOG_LEVEL: Kind<String> = Kind {
    expected: "\"error\", \"warn\", \"info\", \"debug\", \"trace\" or \"off\", or a list such as \"info,inferneo::dispatch=debug\"",
    parse: |text| telemetry::understands(text).then(|| text.to_owned()),
};

pub(super) const MODEL_NAME: Kind<String> =
    Kind { expected: "a name of letters, digits, '.', '_' and '-'", parse: model_name };

fn devices(text: &str) -> Option<Vec<Device>> {
    let devices = text.split(',').map(|name| name.trim().parse().ok()).collect::<Option<Vec<Device>>>()?;
    let is_new = |(at, device): (usize, &Device)| !devices[..at].contains(device);
    devices.iter().enumerate().all(is_new).then_some(devices)
}

/// Reads a model's name, which stands in paths, headers and metrics.
fn model_name(text: &str) -> Option<String> {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    // Only dots would be a step in a path.
    let is_name = text.len() <= 256 && text.bytes().all(plain) && text.bytes().any(|letter| letter != b'.');
    is_name.then(|| text.to_owned())
}

fn upstream(text: &str) -> Option<Upstream> {
    // A URI is parsed without its fragment; everything else must be used.
    let uri: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
    let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP) && uri.query().is_none())?;
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host)?;
    // The rest is a port in full or nothing: no name or password, no stray colon.
    let is_whole = port.is_empty() || authority.port_u16().is_some_and(|port| port != 0);
    let base = uri.path().trim_end_matches('/').to_owned();
    (!host.is_empty() && is_whole).then(|| Upstream { authority: authority.clone(), base })
}
