//! `inferneo bench`: measures a running server.

mod ceiling;
#[cfg(test)]
mod tests;
mod words;

use super::{duration, path};
use crate::bench::{self, DEFAULT_SEED, Load, Options, Payload, Protocol, Report, Tensor};
use crate::document::duration_as_text;
use crate::offline::Ceiling;
use crate::remote::Target;
use anyhow::Context;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use words::{Rate, header, header_value, protocol};

/// The most connections of an open loop where nothing is said.
const CONNECTIONS: usize = 1024;

/// What a ramp holds where nothing is said.
const SLO: Duration = Duration::from_millis(100);

/// Measures a running server: in a closed loop, every connection always waiting for an answer, or at a rate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, for example http://127.0.0.1:8080
    #[arg(long, env = "INFERNEO_BENCH_URL", value_name = "URL")]
    url: Target,
    /// The model's name
    #[arg(long, env = "INFERNEO_BENCH_MODEL", value_name = "NAME")]
    model: String,
    /// How requests are put to the server: openai (/v1/embeddings), v2 (the `text` input) or v2-binary (as bytes)
    #[arg(long, env = "INFERNEO_BENCH_PROTOCOL", default_value = "openai", value_parser = protocol)]
    protocol: Protocol,
    /// UTF-8 file of texts, one a line, sent in its order over and over [default: shipped mixed-length texts]
    #[arg(long, env = "INFERNEO_BENCH_TEXTS", value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Sends a made-up tensor instead of texts, for example x:FP32:1x128, over v2-binary; may be repeated. Without a shape
    /// it has the one that the server knows to run
    #[arg(long = "tensor", value_name = "NAME:DATATYPE[:SHAPE]", conflicts_with = "texts")]
    tensors: Vec<Tensor>,
    /// Connections of a closed loop
    #[arg(long, env = "INFERNEO_BENCH_CONCURRENCY", default_value = "64", value_name = "C")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Open loop: so many requests a second on average, whether or not earlier ones have been answered; a range such as
    /// 50..2000 is searched for the highest rate that holds --slo
    #[arg(long, env = "INFERNEO_BENCH_RATE", value_name = "R", conflicts_with = "concurrency")]
    rate: Option<Rate>,
    /// The most connections of an open loop; requests wait for one without their clock being stopped [default: 1024]
    #[arg(long, env = "INFERNEO_BENCH_CONNECTIONS", value_name = "N", requires = "rate")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
    /// What the 99th percentile may be at most in a step of a ramp [default: 100ms]
    #[arg(long, env = "INFERNEO_BENCH_SLO", value_name = "DURATION", value_parser = objective, requires = "rate")]
    slo: Option<Duration>,
    /// The same seed is the same plan of an open loop, and the same made-up tensors
    #[arg(long, env = "INFERNEO_BENCH_SEED", value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// The measured time, for example 10s, 500ms or 2m; of a ramp, that of each step
    #[arg(long, env = "INFERNEO_BENCH_DURATION", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Load before the measured time, not counted [default: 2s or a tenth of the duration, the longer; of a ramp's
    /// steps a tenth, 2s at most]
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
    /// Then runs the model itself in this process, on the same texts sorted by length, and says what share of that
    /// was achieved
    #[arg(long, env = "INFERNEO_BENCH_CEILING", requires = "model_dir", conflicts_with = "tensors")]
    ceiling: bool,
    /// With --ceiling: the folder of the model that the server has
    #[arg(long, env = "INFERNEO_BENCH_MODEL_DIR", value_name = "DIR", value_parser = path(), requires = "ceiling")]
    model_dir: Option<PathBuf>,
    /// With --ceiling: ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", env = "INFERNEO_ONNXRUNTIME_LIBRARY", value_parser = path())]
    onnxruntime_library: Option<PathBuf>,
    /// Writes the figures as JSON; `-` writes them to stdout instead of the table
    #[arg(long, env = "INFERNEO_BENCH_JSON", value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the figures and their plots as one HTML page that fetches nothing
    #[arg(long, env = "INFERNEO_BENCH_HTML", value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What was measured, and how it was asked for.
struct Outcome {
    report: Report,
    ceiling: Option<Ceiling>,
    parameters: Vec<(String, String)>,
}

/// Runs the subcommand on a runtime of its own and prints what it found.
///
/// Exit code 1 where the server cannot be reached or answered nothing, or the ceiling cannot be measured, 2 where the
/// options cannot make a request.
#[must_use]
pub(super) fn run(args: Args) -> ExitCode {
    let Outcome { report, ceiling, parameters } = match outcome(&args) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("inferneo bench: {error:#}");
            let by_usage = matches!(error.downcast_ref(), Some(bench::Error::Usage(_)));
            return ExitCode::from(if by_usage { 2 } else { 1 });
        }
    };
    if let Err(error) = show(&args, &report, ceiling.as_ref(), &parameters) {
        eprintln!("inferneo bench: {error:#}");
        return ExitCode::FAILURE;
    }
    if report.requests == 0 {
        eprintln!("inferneo bench: no request was answered within the measured time");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn outcome(args: &Args) -> anyhow::Result<Outcome> {
    let options = options(args)?;
    let source = ceiling::open(args).map_err(|error| usage(&format!("{error:#}")))?;
    let mut parameters = parameters(args, &options);
    let payload = options.payload.clone();
    let report = measure(options)?;
    let ceiling = match (source, payload) {
        (Some(source), Payload::Texts(texts)) => Some(ceiling::measure(source, texts).context("--ceiling")?),
        _ => None,
    };
    if let Some(ceiling) = &ceiling {
        parameters.push(("ceiling".to_owned(), ceiling::line(ceiling, &report)));
    }
    Ok(Outcome { report, ceiling, parameters })
}

fn measure(options: Options) -> Result<Report, bench::Error> {
    // One thread: the generator shares the machine with the server, and a core is enough for it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| bench::Error::Usage(format!("cannot start: {error}")))?;
    runtime.block_on(bench::run(options))
}

fn options(args: &Args) -> Result<Options, bench::Error> {
    let mut headers: HeaderMap = args.headers.iter().cloned().collect();
    if let Some(tenant) = &args.tenant {
        headers.insert("x-inferneo-tenant", tenant.clone());
    }
    if let Some(key) = args.api_key.as_ref().filter(|key| !key.is_empty()) {
        headers.insert(AUTHORIZATION, key.clone());
    }
    let load = load(args)?;
    let tenth = args.duration / 10;
    let two_seconds = Duration::from_secs(2);
    let warm_up = if matches!(load, Load::Ramp { .. }) { tenth.min(two_seconds) } else { tenth.max(two_seconds) };
    Ok(Options {
        target: args.url.clone(),
        model: args.model.clone(),
        protocol: args.protocol,
        payload: payload(args)?,
        load,
        seed: args.seed,
        warm_up: args.warmup.unwrap_or(warm_up),
        duration: args.duration,
        headers,
        progress: true,
    })
}

fn load(args: &Args) -> Result<Load, bench::Error> {
    let connections = args.connections.map_or(CONNECTIONS, usize::from);
    match args.rate {
        Some(Rate::Ramp(from, to)) => Ok(Load::Ramp { from, to, slo: args.slo.unwrap_or(SLO), connections }),
        _ if args.slo.is_some() => Err(usage("--slo: wants a range of rates, for example --rate 50..2000")),
        Some(Rate::Fixed(rate)) => Ok(Load::Open { rate, connections }),
        None => Ok(Load::Closed { connections: args.concurrency.into() }),
    }
}

fn payload(args: &Args) -> Result<Payload, bench::Error> {
    if !args.tensors.is_empty() {
        if args.protocol != Protocol::V2Binary {
            return Err(usage("--tensor: wants --protocol v2-binary"));
        }
        return Ok(Payload::Tensors(args.tensors.clone()));
    }
    match &args.texts {
        None => Ok(Payload::Texts(bench::parse_texts(bench::SHIPPED_TEXTS))),
        Some(path) => bench::read_texts(path).map(Payload::Texts),
    }
}

fn usage(what: &str) -> bench::Error {
    bench::Error::Usage(what.to_owned())
}

fn objective(word: &str) -> Result<Duration, String> {
    let wanted = "a whole number and its unit is wanted, from 1us to 24h, for example 500us or 100ms";
    crate::document::duration(word, Duration::from_micros(1)).ok_or_else(|| wanted.to_owned())
}

/// What was asked for, as the page says it: values of headers may be secret and stay out.
fn parameters(args: &Args, options: &Options) -> Vec<(String, String)> {
    let payload = match (&options.payload, &args.texts) {
        (Payload::Tensors(tensors), _) => tensors.iter().map(Tensor::to_string).collect::<Vec<_>>().join(", "),
        (Payload::Texts(texts), Some(path)) => format!("{} texts of {}", texts.len(), path.display()),
        (Payload::Texts(texts), None) => format!("{} shipped texts", texts.len()),
    };
    let load = match options.load {
        Load::Closed { connections } => format!("closed loop, {connections} connections"),
        Load::Open { rate, connections } => {
            format!("open loop, {rate} requests a second, {connections} connections at most")
        }
        Load::Ramp { from, to, slo, connections } => {
            let slo = duration_as_text(slo);
            format!(
                "ramp from {from} to {to} requests a second, p99 of at most {slo}, {connections} connections at most"
            )
        }
    };
    let mut parameters = vec![
        ("server", args.url.to_string()),
        ("model", args.model.clone()),
        ("protocol", options.protocol.to_string()),
        ("requests", payload),
        ("load", load),
        ("seed", options.seed.to_string()),
        ("warm-up", duration_as_text(options.warm_up)),
        ("measured time", duration_as_text(options.duration)),
    ];
    if let Some(tenant) = args.tenant.as_ref().and_then(|tenant| tenant.to_str().ok()) {
        parameters.push(("tenant", tenant.to_owned()));
    }
    let names: Vec<_> = args.headers.iter().map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        parameters.push(("headers", names.join(", ")));
    }
    parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn show(
    args: &Args,
    report: &Report,
    ceiling: Option<&Ceiling>,
    parameters: &[(String, String)],
) -> anyhow::Result<()> {
    let json = args.json.as_deref();
    if json != Some(Path::new("-")) {
        println!("{}\n{}", bench::table([(report.protocol, report)]), bench::own_cost(report));
        if let Some(ramp) = &report.ramp {
            println!("{}", bench::answer(ramp));
        }
        if let Some(ceiling) = ceiling {
            println!("{}", ceiling::line(ceiling, report));
        }
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&ceiling::joined(report, ceiling)?)? + "\n";
        if path == Path::new("-") {
            print!("{text}");
        } else {
            std::fs::write(path, text).with_context(|| format!("--json {}", path.display()))?;
        }
    }
    if let Some(path) = &args.html {
        let title = format!("inferneo bench: {} at {}", args.model, args.url);
        let page = bench::page(&title, report, parameters);
        std::fs::write(path, page).with_context(|| format!("--html {}", path.display()))?;
    }
    Ok(())
}
