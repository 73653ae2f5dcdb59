//! `inferneo bench`: measures a running server.

use super::duration;
use crate::bench::{self, Load, Options, Protocol, Report};
use crate::remote::Target;
use anyhow::Context;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures a running server: closed loop, every connection always waiting for an answer.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, for example http://127.0.0.1:8080
    #[arg(long, env = "INFERNEO_BENCH_URL", value_name = "URL")]
    url: Target,
    /// The model's name
    #[arg(long, env = "INFERNEO_BENCH_MODEL", value_name = "NAME")]
    model: String,
    /// How texts are put to the server: openai (/v1/embeddings) or v2 (the `text` input)
    #[arg(long, env = "INFERNEO_BENCH_PROTOCOL", default_value = "openai", value_parser = protocol)]
    protocol: Protocol,
    /// UTF-8 file of texts, one a line, sent in its order over and over [default: shipped mixed-length texts]
    #[arg(long, env = "INFERNEO_BENCH_TEXTS", value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Connections
    #[arg(long, env = "INFERNEO_BENCH_CONCURRENCY", default_value = "64", value_name = "C")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// The measured time, for example 10s, 500ms or 2m
    #[arg(long, env = "INFERNEO_BENCH_DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Load before the measured time, not counted [default: 2s or a tenth of the duration, the longer]
    #[arg(long, env = "INFERNEO_BENCH_WARMUP", value_name = "DURATION", value_parser = duration)]
    warmup: Option<Duration>,
    /// Sends this tenant's name with every request (`x-inferneo-tenant`)
    #[arg(long, env = "INFERNEO_BENCH_TENANT", value_name = "NAME", value_parser = header_value)]
    tenant: Option<HeaderValue>,
    /// Sends this API key with every request; other users of the machine see flags, but not the environment
    #[arg(long, env = "INFERNEO_API_KEY", hide_env_values = true, value_name = "KEY", value_parser = super::bearer)]
    api_key: Option<HeaderValue>,
    /// Sends this header with every request; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Writes the figures as JSON; `-` writes them to stdout instead of the table
    #[arg(long, env = "INFERNEO_BENCH_JSON", value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the subcommand on a runtime of its own and prints what it found.
///
/// Exit code 1 where the server cannot be reached or answered nothing, 2 where the options cannot
/// make a request.
#[must_use]
pub(super) fn run(args: Args) -> ExitCode {
    let json = args.json.clone();
    let report = match measure(args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("inferneo bench: {error}");
            return ExitCode::from(if matches!(error, bench::Error::Usage(_)) { 2 } else { 1 });
        }
    };
    if let Err(error) = show(&report, json.as_deref()) {
        eprintln!("inferneo bench: {error:#}");
        return ExitCode::FAILURE;
    }
    if report.requests == 0 {
        eprintln!("inferneo bench: no request was answered within the measured time");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(args: Args) -> Result<Report, bench::Error> {
    let options = options(args)?;
    // One thread: the generator shares the machine with the server, and a core is enough for it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| bench::Error::Usage(format!("cannot start: {error}")))?;
    runtime.block_on(bench::run(options))
}

fn options(args: Args) -> Result<Options, bench::Error> {
    let texts = match &args.texts {
        None => bench::parse_texts(bench::SHIPPED_TEXTS),
        Some(path) => read_texts(path)?,
    };
    let mut headers: HeaderMap = args.headers.into_iter().collect();
    if let Some(tenant) = args.tenant {
        headers.insert("x-inferneo-tenant", tenant);
    }
    if let Some(key) = args.api_key.filter(|key| !key.is_empty()) {
        headers.insert(AUTHORIZATION, key);
    }
    Ok(Options {
        target: args.url,
        model: args.model,
        protocol: args.protocol,
        texts,
        load: Load::Closed { connections: args.concurrency.into() },
        warm_up: args.warmup.unwrap_or_else(|| (args.duration / 10).max(Duration::from_secs(2))),
        duration: args.duration,
        headers,
        progress: true,
    })
}

fn read_texts(path: &Path) -> Result<Vec<String>, bench::Error> {
    let file = std::fs::read_to_string(path)
        .map_err(|error| bench::Error::Usage(format!("--texts {}: {error}", path.display())))?;
    let texts = bench::parse_texts(&file);
    if texts.is_empty() {
        return Err(bench::Error::Usage(format!("--texts {}: the file holds no text", path.display())));
    }
    Ok(texts)
}

fn show(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = json else {
        println!("{}", bench::table([(report.protocol, report)]));
        return Ok(());
    };
    let text = serde_json::to_string_pretty(report)?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    println!("{}", bench::table([(report.protocol, report)]));
    std::fs::write(path, text + "\n").with_context(|| format!("--json {}", path.display()))
}

fn protocol(word: &str) -> Result<Protocol, String> {
    match word {
        "openai" => Ok(Protocol::OpenAi),
        "v2" => Ok(Protocol::V2),
        "v2-binary" | "grpc" | "tei" => Err("not yet supported; allowed: openai, v2".to_owned()),
        _ => Err("allowed: openai, v2".to_owned()),
    }
}

fn header_value(word: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(word).map_err(|_| "not a header value".to_owned())
}

fn header(word: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = word.split_once(':').ok_or("NAME: VALUE is wanted")?;
    let name = name.trim().parse().map_err(|_| format!("not a header name: {name:?}"))?;
    Ok((name, header_value(value.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &str) -> Result<Args, String> {
        let command = format!("bench --url http://127.0.0.1:1 --model m {flags}");
        Cli::try_parse_from(command.split_whitespace()).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults() {
        let options = options(parse("").unwrap()).unwrap();
        assert_eq!(options.load, Load::Closed { connections: 64 });
        assert_eq!((options.warm_up, options.duration), (Duration::from_secs(2), Duration::from_secs(10)));
        assert_eq!(options.texts.len(), 700);
    }

    #[test]
    fn durations_are_written_as_in_the_settings() {
        for (written, seconds) in [("1h", 3600.0), ("500ms", 0.5), ("2000us", 0.002), ("2m", 120.0)] {
            let args = parse(&format!("--duration {written}")).unwrap();
            assert_eq!(args.duration, Duration::from_secs_f64(seconds));
        }
    }

    #[test]
    fn tenant_and_headers_are_sent() {
        let options =
            options(parse("--tenant acme --header x-a:1 --header x-b:2 --duration 60000ms").unwrap()).unwrap();
        assert_eq!(options.headers["x-inferneo-tenant"], "acme");
        assert!(!options.headers.contains_key("authorization"));
        assert_eq!((&options.headers["x-a"], &options.headers["x-b"]), (&"1".parse().unwrap(), &"2".parse().unwrap()));
        assert_eq!(options.warm_up, Duration::from_secs(6));
    }

    #[test]
    fn a_key_is_sent_and_not_shown() {
        let options = options(parse("--api-key k-3f9ac1").unwrap()).unwrap();
        assert_eq!(options.headers["authorization"], "Bearer k-3f9ac1");
        assert!(!format!("{options:?}").contains("k-3f9ac1"));
    }

    #[test]
    fn bad_flags_name_themselves_and_what_is_allowed() {
        for (flags, want) in [
            ("--protocol grpc", "not yet supported; allowed: openai, v2"),
            ("--protocol soap", "allowed: openai, v2"),
            ("--duration 10", "for example 500ms, 10s or 2m"),
            ("--duration 0s", "from 1ms"),
            ("--duration 25h", "to 24h"),
            ("--concurrency 0", "0 is not in 1.."),
            ("--header nonsense", "NAME: VALUE is wanted"),
        ] {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(want) && error.contains(flags.split(' ').next().unwrap()), "{error}");
        }
    }

    #[test]
    fn texts_are_read_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\n\n  two \n").unwrap();
        assert_eq!(read_texts(file.path()).unwrap(), ["one", "two"]);
        std::fs::write(file.path(), "\n").unwrap();
        assert!(read_texts(file.path()).unwrap_err().to_string().contains("holds no text"));
        assert!(matches!(read_texts(Path::new("absent.txt")), Err(bench::Error::Usage(_))));
    }
}
