//! Flags over file over defaults, and every fault of them.

use super::*;
use crate::types::{ArenaExtend, ConvSearch};

fn of(text: &str, overrides: &Overrides) -> Result<Config, Vec<String>> {
    let resolved = Config::resolve(overrides, Some((Path::new("etc/inferneo.toml"), text)));
    resolved.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn faults(text: &str) -> Vec<String> {
    of(text, &Overrides::default()).unwrap_err()
}

fn cpu() -> Placement {
    Placement::On(vec![Device::Cpu(0)])
}

/// One model by flag, which most tests do not look at.
fn flags() -> Overrides {
    Overrides { models: vec!["m=dir".into()], ..Overrides::default() }
}

#[test]
fn everything_but_the_model_has_a_default() {
    let config = Config::resolve(&flags(), None).unwrap();
    let model = ModelConfig {
        name: "m".into(),
        path: "dir".into(),
        device: Placement::Auto,
        instances: None,
        threads: None,
        spin: None,
        cuda: CudaSettings::default(),
    };
    let expected = Config {
        listen: "127.0.0.1:8080".parse().unwrap(),
        admin_listen: "127.0.0.1:9090".parse().unwrap(),
        policies: None,
        upstream: None,
        keys_file: None,
        max_body_bytes: None,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(30),
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        onnxruntime_library: None,
        nvml: Nvml { library: None, period: Duration::from_secs(1) },
        monitoring: Monitoring { performance: true, health_checks: true },
        tracing: Tracing { otlp_endpoint: None, sample_ratio: 0.01 },
        state: State::Beside,
        trace: None,
        ready_file: None,
        log_format: LogFormat::Text,
        log_level: "info".into(),
        models: vec![model],
    };
    assert_eq!(config, expected);
}

#[test]
fn every_key_of_the_file_is_read() {
    let text = r#"
        listen = "0.0.0.0:1"
        admin_listen = "[::1]:0"
        policies = "policies"
        upstream = "http://localhost:9000/"
        max_body_bytes = "1MiB"
        drain_delay = "5s"
        drain_timeout = "1m"
        ready_file = "/run/ready.json"
        log_format = "json"
        log_level = "debug"
        device = "cpu"
        [monitoring]
        performance = false
        health_checks = false
        [onnxruntime]
        library = "/opt/libonnxruntime.so"
        [nvml]
        library = "lib/libnvidia-ml.so"
        period = "250ms"
        [http]
        header_timeout = "1s"
        body_timeout = "2s"
        [[model]]
        path = "models/minilm/"
        [[model]]
        name = "other"
        path = "/models/x"
        device = "auto"
        instances = 2
        threads = 1
    "#;
    let config = of(text, &Overrides::default()).unwrap();
    assert_eq!(config.admin_listen.to_string(), "[::1]:0");
    assert_eq!(config.policies, Some("etc/policies".into()));
    assert_eq!(config.upstream.as_ref().map(|server| server.authority.as_str()), Some("localhost:9000"));
    assert_eq!((config.max_body_bytes, config.drain_delay), (Some(1 << 20), Duration::from_secs(5)));
    assert_eq!((config.header_timeout, config.body_timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!(config.monitoring, Monitoring { performance: false, health_checks: false });
    assert_eq!(config.ready_file, Some("/run/ready.json".into()));
    assert_eq!(config.onnxruntime_library.unwrap().path, Path::new("/opt/libonnxruntime.so"));
    assert_eq!(config.nvml.library.unwrap().path, Path::new("etc/lib/libnvidia-ml.so"));
    assert_eq!(config.nvml.period, Duration::from_millis(250));
    assert_eq!((config.log_format, &*config.log_level), (LogFormat::Json, "debug"));
    let models: Vec<_> = config.models.iter().map(|m| (&*m.name, m.path.to_str().unwrap(), m.device.clone())).collect();
    assert_eq!(models, [("minilm", "etc/models/minilm/", cpu()), ("other", "/models/x", Placement::Auto)]);
    assert_eq!((config.models[1].instances, config.models[1].threads), (Some(2), Some(1)));
}

#[test]
fn the_flag_s_keys_file_goes_before_the_file_s() {
    let text = "[auth]\nkeys_file = \"keys.toml\"\n";
    assert_eq!(of(text, &flags()).unwrap().keys_file, Some("etc/keys.toml".into()));
    let flagged = |path: &str| Overrides { keys_file: Some(path.into()), ..flags() };
    assert_eq!(of(text, &flagged("other.toml")).unwrap().keys_file, Some("other.toml".into()));
    assert_eq!(of(text, &flagged("")).unwrap().keys_file, Some("etc/keys.toml".into()));
    assert!(faults("[auth]\nkey_file = \"k\"\n")[0].contains("did you mean `keys_file`?"));
}

#[test]
fn settings_of_a_gpu_are_read_and_checked() {
    let text = r#"
        [[model]]
        path = "a"
        [[model]]
        path = "b"
        [model.cuda]
        memory_limit = "4GiB"
        arena_extend = "same_as_requested"
        cudnn_conv_search = "exhaustive"
        tf32 = true
    "#;
    let models = of(text, &Overrides::default()).unwrap().models;
    let cuda = CudaSettings {
        memory_limit: Some(4 << 30),
        arena_extend: ArenaExtend::SameAsRequested,
        conv_search: ConvSearch::Exhaustive,
        tf32: true,
    };
    assert_eq!([&models[0].cuda, &models[1].cuda], [&CudaSettings::default(), &cuda]);
    let shown = faults(
        "[[model]]\npath = \"m\"\n[model.cuda]\nmemory_limit = \"much\"\narena_extend = \"power_of_tow\"\n\
         cudnn_conv_search = 1\ntf32 = \"yes\"\ngraph = true\nmemory_limt = 1\n",
    );
    assert_eq!(shown.len(), 6, "{shown:#?}");
    let all = shown.join("\n");
    let told = ["a size from 1 byte", "did you mean \"power_of_two\"?", "\"heuristic\"", "true or false"];
    for word in told.into_iter().chain(["`model.cuda.graph` is not yet supported", "did you mean `memory_limit`?"]) {
        assert!(all.contains(word), "{word} is not in\n{all}");
    }
}

#[test]
fn devices_are_words_or_a_list() {
    let placed = |text: &str| (kind::DEVICE.parse)(text);
    assert_eq!(placed("auto"), Some(Placement::Auto));
    assert_eq!(placed("cuda"), Some(Placement::Cuda));
    assert_eq!(placed("cuda:1, cpu"), Some(Placement::On(vec![Device::Cuda(1), Device::Cpu(0)])));
    assert_eq!(placed("cpu:0,cpu:1"), Some(Placement::On(vec![Device::Cpu(0), Device::Cpu(1)])));
    for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:+1", "cpu,cpu:0", "cuda:0,", "cuda,cpu", "cuda:4294967296"] {
        assert_eq!(placed(wrong), None, "{wrong}");
    }
}

#[test]
fn a_flag_beats_the_file() {
    let text = "listen = \"127.0.0.1:1\"\nlog_level = \"off\"\npolicies = \"p\"\nupstream = \"http://a\"\n\
                [[model]]\npath = \"m\"\ndevice = \"auto\"";
    let overrides = Overrides {
        listen: Some("127.0.0.1:2".into()),
        log_level: Some("warn".into()),
        policies: Some("q".into()),
        upstream: Some(String::new()),
        device: Some("cpu".into()),
        ..Overrides::default()
    };
    let config = of(text, &overrides).unwrap();
    assert_eq!((config.listen.port(), &*config.log_level), (2, "warn"));
    assert_eq!(config.policies, Some("q".into()));
    assert_eq!(config.upstream.map(|server| server.authority.to_string()), Some("a".into()));
    assert_eq!(config.models[0].device, cpu());
}

#[test]
fn each_part_of_monitoring_is_switched_alone() {
    let text = "[monitoring]\nhealth_checks = false\n";
    let of = |performance: &str, checks: &str| {
        let (performance, checks) = (Some(performance.to_owned()), Some(checks.to_owned()));
        let flags = Overrides { performance_monitoring: performance, health_checks: checks, ..flags() };
        of(text, &flags).map(|config| (config.monitoring.performance, config.monitoring.health_checks))
    };
    assert_eq!(of("", ""), Ok((true, false)));
    assert_eq!(of("false", "true"), Ok((false, true)));
    assert_eq!(
        of("off", "1").unwrap_err(),
        [
            "--performance-monitoring (INFERNEO_PERFORMANCE_MONITORING): expected true or false, found \"off\"",
            "--health-checks (INFERNEO_HEALTH_CHECKS): expected true or false, found \"1\"",
        ]
    );
    let [fault] = &faults("[monitoring]\nperformance = \"no\"\n[[model]]\npath = \"m\"\n")[..] else { panic!() };
    assert!(fault.contains("etc/inferneo.toml:2:15") && fault.contains("expected true or false"), "{fault}");
}

#[test]
fn the_library_is_the_flags_then_the_files_then_the_variables() {
    let text = "[onnxruntime]\n  library = \"a.so\"\n";
    let library = |text: &str, flag: &str| {
        let variable = Some("c.so".into());
        let flags = Overrides { onnxruntime_library: Some(flag.into()), ort_dylib_path: variable, ..flags() };
        let named = of(text, &flags).unwrap().onnxruntime_library.unwrap();
        (named.path.to_str().unwrap().to_owned(), named.by)
    };
    let flag = "--onnxruntime-library (INFERNEO_ONNXRUNTIME_LIBRARY)";
    for (text, given, path, by) in [
        (text, "b.so", "b.so", flag),
        (text, "", "etc/a.so", "etc/inferneo.toml:2:13: [onnxruntime] library"),
        ("", "", "c.so", "ORT_DYLIB_PATH"),
    ] {
        assert_eq!(library(text, given), (path.to_owned(), by.to_owned()));
    }
    assert_eq!(of("", &flags()).unwrap().onnxruntime_library, None);
}

#[test]
fn nvml_is_the_flags_then_the_files() {
    let library = |text: &str, flag: &str| {
        let flags = Overrides { nvml_library: Some(flag.into()), ..flags() };
        of(text, &flags).unwrap().nvml.library.map(|named| (named.path.to_str().unwrap().to_owned(), named.by))
    };
    let text = "[nvml]\nlibrary = \"libnvidia-ml.so.1\"\n";
    let flag = ("x/nvml.so".to_owned(), "--nvml-library (INFERNEO_NVML_LIBRARY)".to_owned());
    assert_eq!(library(text, "x/nvml.so"), Some(flag));
    // A bare name is looked for by the loader, not beside the file.
    let file = ("libnvidia-ml.so.1".to_owned(), "etc/inferneo.toml:2:11: [nvml] library".to_owned());
    assert_eq!(library(text, ""), Some(file));
    assert_eq!(library("", ""), None);
    assert!(faults("[nvml]\nperiod = \"1ms\"")[0].starts_with("etc/inferneo.toml:2:10: "));
}

#[test]
fn what_was_learned_lies_beside_the_model_in_a_folder_or_nowhere() {
    let state = |text: &str, flag: &str| {
        let flags = Overrides { state: Some(flag.into()), ..flags() };
        of(text, &flags).unwrap().state
    };
    assert_eq!(state("", ""), State::Beside);
    assert_eq!(state("state = 'costs'", ""), State::Folder("etc/costs".into()));
    assert_eq!(state("state = 'none'", ""), State::None);
    assert_eq!(state("state = 'costs'", "none"), State::None);
    assert_eq!(state("state = 'none'", "costs"), State::Folder("costs".into()));
}

#[test]
fn models_by_flag_replace_those_of_the_file() {
    let overrides = Overrides {
        models: vec!["models/minilm".into(), "b=x/y".into(), "./odd=name/c".into()],
        device: Some("cpu".into()),
        ..Overrides::default()
    };
    let config = of("[[model]]\npath = \"gone\"", &overrides).unwrap();
    let models: Vec<_> = config.models.iter().map(|m| (&*m.name, m.path.to_str().unwrap())).collect();
    assert_eq!(models, [("minilm", "models/minilm"), ("b", "x/y"), ("c", "./odd=name/c")]);
}

#[test]
fn faults_of_file_and_flags_are_told_together() {
    let overrides = Overrides {
        listen: Some("8080".into()),
        device: Some("cuda:0,cuda:0".into()),
        models: vec!["..".into(), "a=".into(), "b=1".into(), "b=2".into(), "a b=c".into()],
        ..Overrides::default()
    };
    let shown = of("lissten = \"x\"\nmax_body_bytes = 0\n", &overrides).unwrap_err();
    assert!(shown[0].starts_with("etc/inferneo.toml:1:1: unknown key `lissten`"), "{shown:#?}");
    assert!(shown[0].ends_with("did you mean `listen`?"), "{shown:#?}");
    assert!(shown[1].starts_with("etc/inferneo.toml:2:18: expected a size"), "{shown:#?}");
    assert!(shown[2].starts_with("--listen (INFERNEO_LISTEN): expected an address and a port"), "{shown:#?}");
    assert!(shown[3].ends_with("names each device once, found \"cuda:0,cuda:0\""), "{shown:#?}");
    assert_eq!(shown.iter().filter(|fault| fault.starts_with("--model (INFERNEO_MODEL): ")).count(), 4, "{shown:#?}");
}

#[test]
fn models_of_the_file_need_a_folder_and_a_name_of_their_own() {
    let shown = faults(
        "[[model]]\nname = \"a\"\n[[model]]\npath = \"..\"\n[[model]]\npath = \"x/b\"\n[[model]]\nname = \"b\"\n\
         path = \"y\"\ninstances = 0\n[[model]]\nname = \"sp ace\"\npath = \"z\"\ndevice = \"gpu\"\n",
    );
    let starts = [
        "etc/inferneo.toml:1:1: the key `path` is missing",
        "etc/inferneo.toml:4:8: this folder's name cannot name a model",
        "etc/inferneo.toml:8:8: another model is named b",
        "etc/inferneo.toml:10:13: expected an integer from 1 to 1024, found 0",
        "etc/inferneo.toml:12:8: expected a name of letters",
        "etc/inferneo.toml:14:10: expected \"auto\", \"cpu\", \"cuda\", or a list",
    ];
    assert_eq!(shown.len(), starts.len(), "{shown:#?}");
    for (fault, start) in shown.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
}

#[test]
fn what_has_no_machinery_is_refused() {
    let shown = faults(
        "[[model]]\nname = \"m\"\n\
         upstream = \"http://a\"\n",
    );
    assert_eq!(shown.len(), 1, "{shown:#?}");
    assert!(shown.iter().all(|fault| fault.contains("is not yet supported")), "{shown:#?}");
}

#[test]
fn a_trace_is_a_file_or_a_table_with_bounds() {
    let trace = |text: &str, flag: Option<&str>| {
        let flags = Overrides { trace: flag.map(Into::into), ..flags() };
        of(text, &flags).map(|config| config.trace.map(|t| (t.path.display().to_string(), t.max_bytes, t.keep)))
    };
    assert_eq!(trace("", None), Ok(None));
    let told = |path: &str, max_bytes, keep| Ok(Some((path.to_owned(), max_bytes, keep)));
    assert_eq!(trace("trace = \"t.jsonl\"", None), told("etc/t.jsonl", 64 << 20, 4));
    assert_eq!(trace("trace = \"t.jsonl\"", Some("u")), told("u", 64 << 20, 4));
    let table = "[trace]\nfile = \"/t\"\nmax_bytes = \"1MiB\"\nkeep = 2";
    assert_eq!(trace(table, None), told("/t", 1 << 20, 2));
    assert_eq!(trace("[trace]\nkeep = 2", Some("u")), told("u", 64 << 20, 2));
    for (text, words) in [
        ("[trace]\nkeep = 2", "the key `file` is missing"),
        ("[trace]\nfile = \"t\"\nmax_bytes = \"1KiB\"", "expected at least 65536"),
        ("[trace]\nfile = \"t\"\nkeep = 0", "from 1 to 1000"),
        ("trace = 1", "found"),
    ] {
        let faults = trace(text, None).unwrap_err();
        assert!(faults.len() == 1 && faults[0].to_string().contains(words), "{text}: {faults:?}");
    }
}

#[test]
fn a_build_without_an_exporter_refuses_its_settings() {
    let text = "[tracing]\notlp_endpoint = \"http://127.0.0.1:4318/base/\"\nsample_ratio = 0.5\n";
    let by_flag = Overrides { otlp_endpoint: Some("http://a:1".into()), ..flags() };
    if !crate::telemetry::HAS_OTLP {
        let mut shown = faults(text);
        shown.extend(of("", &by_flag).unwrap_err());
        assert!(
            shown[0].starts_with("etc/inferneo.toml:2:17: expected nothing: this build cannot export"),
            "{shown:#?}"
        );
        assert!(shown[1].starts_with("etc/inferneo.toml:3:16: expected nothing"), "{shown:#?}");
        assert!(shown[2].starts_with("--otlp-endpoint (INFERNEO_OTLP_ENDPOINT): expected nothing"), "{shown:#?}");
        return;
    }
    let tracing = of(text, &flags()).unwrap().tracing;
    let endpoint = tracing.otlp_endpoint.unwrap();
    assert_eq!((endpoint.authority.as_str(), &*endpoint.base, tracing.sample_ratio), ("127.0.0.1:4318", "/base", 0.5));
    let flagged = of(text, &by_flag).unwrap().tracing.otlp_endpoint.unwrap();
    assert_eq!(flagged.authority, "a:1");
    assert!(faults("[tracing]\nsample_ratio = 1.1")[0].contains("expected a number from 0 to 1, found 1.1"));
    assert!(faults("[tracing]\notlp_endpoint = \"https://a\"")[0].contains("OTLP over plain http"));
}

#[test]
fn an_upstream_is_plain_http_and_may_have_a_base() {
    let read = |text: &str| of(&format!("upstream = {text:?}"), &flags());
    for good in ["http://a", "http://a:1", "http://[::1]:80", "http://127.0.0.1:9000/"] {
        assert!(read(good).is_ok(), "{good}");
    }
    let wrong = "https://a a:80 http:// http://a/?q http://a/#f http://u:p@a http://a:0 http://a:99999 http://a: \
                 http:///b /b ftp://a";
    for wrong in wrong.split_whitespace() {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    for (text, base) in [("http://a", ""), ("http://a/", ""), ("http://a:1/b/c/", "/b/c"), ("http://a/b", "/b")] {
        assert_eq!(read(text).unwrap().upstream.unwrap().base, base);
    }
}

#[test]
fn a_log_level_is_a_level_or_a_list_of_targets() {
    let read = |text: &str| of(&format!("log_level = {text:?}"), &flags());
    for good in ["info", "WARN", "off", "info,inferneo::front=debug", "inferneo=trace, hyper=off"] {
        assert!(read(good).is_ok(), "{good}");
    }
    for wrong in ["loud", "", "info,loud", "info,", "inferneo=loud", "5"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn settings_that_cannot_go_together_are_told() {
    assert!(faults("")[0].contains("there is nothing to serve"));
    let shown = of("listen = \"127.0.0.1:9090\"", &flags()).unwrap_err();
    assert!(shown[0].contains("cannot both listen on 127.0.0.1:9090"), "{shown:?}");
    assert!(of("listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"", &flags()).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let overrides = Overrides { config: Some("absent/inferneo.toml".into()), ..flags() };
    let shown = Config::load(&overrides).unwrap_err()[0].to_string();
    assert!(shown.starts_with("absent/inferneo.toml: cannot read the configuration: "), "{shown}");
}

#[test]
fn a_model_flag_is_a_name_and_a_folder() {
    for (text, name, folder) in [
        ("minilm=.cache/minilm", "minilm", ".cache/minilm"),
        ("models/minilm/", "minilm", "models/minilm/"),
        ("./odd=name/c", "c", "./odd=name/c"),
        ("..", "", ".."),
    ] {
        assert_eq!(name_and_folder(text), (name, folder));
    }
}
