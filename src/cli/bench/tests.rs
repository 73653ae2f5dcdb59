//! Flags to options: defaults, what goes together, and what bad ones are told.

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

fn parsed(flags: &str) -> Options {
    options(&parse(flags).unwrap()).unwrap()
}

#[test]
fn defaults() {
    let options = parsed("");
    assert_eq!(options.load, Load::Closed { connections: 64 });
    assert_eq!((options.warm_up, options.duration), (Duration::from_secs(2), Duration::from_secs(10)));
    assert!(matches!(options.payload, Payload::Texts(texts) if texts.len() == 700));
}

#[test]
fn a_rate_is_an_open_loop_and_a_range_is_a_ramp() {
    let connections = 1024;
    let open = parsed("--rate 0.5 --seed 9");
    assert_eq!((open.load, open.seed), (Load::Open { rate: 0.5, connections }, 9));
    assert_eq!(parsed("--rate 200 --connections 8").load, Load::Open { rate: 200.0, connections: 8 });
    let ramp = parsed("--rate 50..2000 --duration 60s");
    let slo = Duration::from_millis(100);
    assert_eq!(ramp.load, Load::Ramp { from: 50.0, to: 2000.0, slo, connections });
    assert_eq!(ramp.warm_up, Duration::from_secs(2));
    let slo = Duration::from_micros(500);
    assert_eq!(parsed("--rate 5..5 --slo 500us").load, Load::Ramp { from: 5.0, to: 5.0, slo, connections });
}

#[test]
fn tensors_are_sent_instead_of_texts() {
    let options = parsed("--protocol v2-binary --tensor x:FP32:1x4 --tensor y:INT64:1");
    assert!(matches!(options.payload, Payload::Tensors(tensors) if tensors.len() == 2));
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
    let options = parsed("--tenant acme --header x-a:1 --header x-b:2 --duration 60000ms");
    assert_eq!(options.headers["x-inferneo-tenant"], "acme");
    assert!(!options.headers.contains_key("authorization"));
    assert_eq!((&options.headers["x-a"], &options.headers["x-b"]), (&"1".parse().unwrap(), &"2".parse().unwrap()));
    assert_eq!(options.warm_up, Duration::from_secs(6));
}

#[test]
fn a_key_is_sent_and_not_shown() {
    let args = parse("--api-key k-3f9ac1 --header x-secret:k-3f9ac1").unwrap();
    let options = options(&args).unwrap();
    assert_eq!(options.headers["authorization"], "Bearer k-3f9ac1");
    assert!(!format!("{:?}", options.headers["authorization"]).contains("k-3f9ac1"));
    let parameters = format!("{:?}", parameters(&args, &options));
    assert!(parameters.contains("x-secret") && !parameters.contains("k-3f9ac1"), "{parameters}");
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
        ("--rate 0", "from 0.01 to 1000000"),
        ("--rate inf", "from 0.01 to 1000000"),
        ("--rate 100..50", "for example 50..2000"),
        ("--rate 5 --concurrency 6", "--concurrency"),
        ("--connections 0 --rate 5", "0 is not in 1.."),
        ("--connections 5", "--rate"),
        ("--slo 5ms", "--rate"),
        ("--tensor x:1x2", "for example x:FP32:1x3x224x224"),
        ("--tensor x:FP32:1 --texts file", "--texts"),
    ] {
        let error = parse(flags).unwrap_err();
        assert!(error.contains(want) && error.contains(flags.split(' ').next().unwrap()), "{error}");
    }
}

#[test]
fn flags_that_do_not_go_together_are_refused_before_anything_is_sent() {
    for (flags, want) in [("--rate 5 --slo 5ms", "--slo"), ("--tensor x:FP32:1", "--tensor")] {
        let error = options(&parse(flags).unwrap()).unwrap_err();
        assert!(matches!(&error, bench::Error::Usage(said) if said.starts_with(want)), "{error}");
    }
}

#[test]
fn texts_are_read_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "one\n\n  two \n").unwrap();
    assert_eq!(bench::read_texts(file.path()).unwrap(), ["one", "two"]);
    std::fs::write(file.path(), "\n").unwrap();
    assert!(bench::read_texts(file.path()).unwrap_err().to_string().contains("holds no text"));
    assert!(matches!(bench::read_texts(Path::new("absent.txt")), Err(bench::Error::Usage(_))));
}
