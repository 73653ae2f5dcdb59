//! Names and labels as scrapers see them.

use super::*;
use crate::error::Reason;

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text().unwrap()).unwrap()
}

/// Records one of everything, of a model `m`.
fn everything(metrics: &Metrics) {
    let model = metrics.model("m");
    metrics.request_done(&RequestObserved {
        model: Some(&model),
        tenant: "",
        protocol: Protocol::V2,
        outcome: Outcome::Ok,
        duration: Duration::from_millis(3),
        now: Time(1),
    });
    let (compute, queued) = (Duration::from_millis(2), &[(Duration::from_millis(1), 2), (Duration::ZERO, 1)]);
    model.batch_done(&BatchObserved { rows: 3, tokens: 10, padded: 16, compute, queued, now: Time(1) });
    model.batch_released("full");
    model.slo(&TenantLabel::Default, SloResult::Met);
    model.queue_rows(&TenantLabel::Other).set(1);
    model.device("cpu").batch_started();
    for shape in [(2, 8), (1, 8), (2, 8)] {
        model.device("cpu").shape_ran(shape.0, shape.1);
    }
    model.cost_model(0.25, Some(0.95), Some(1.2));
    metrics.set_policies(3, [["default", "adaptive", "abc"]]);
    metrics.policy_reloaded(true);
}

#[test]
fn every_family_has_its_documented_name() {
    let metrics = Metrics::new().unwrap();
    everything(&metrics);
    let text = text(&metrics);
    for line in [
        r#"inferneo_requests_total{model="m",outcome="ok",protocol="v2",tenant="default"} 1"#,
        r#"inferneo_request_duration_seconds_count{model="m"} 1"#,
        r#"inferneo_queue_duration_seconds_count{model="m"} 3"#,
        r#"inferneo_compute_duration_seconds_count{model="m"} 1"#,
        r#"inferneo_batch_rows_sum{model="m"} 3"#,
        r#"inferneo_batch_release_total{model="m",reason="full"} 1"#,
        r#"inferneo_tokens_total{kind="useful",model="m"} 10"#,
        r#"inferneo_tokens_total{kind="padding",model="m"} 6"#,
        r#"inferneo_queue_rows{model="m",tenant="other"} 1"#,
        "inferneo_inflight_rows 0",
        r#"inferneo_queue_bytes{model="m"} 0"#,
        r#"inferneo_batches_in_flight{device="cpu",model="m"} 1"#,
        r#"inferneo_device_busy_seconds_total{device="cpu",model="m"} 0"#,
        r#"inferneo_slo_total{model="m",result="met",tenant="default"} 1"#,
        r#"inferneo_shapes{device="cpu",model="m"} 2"#,
        r#"inferneo_cost_model_error_ratio{model="m"} 0.25"#,
        r#"inferneo_cost_model_coverage_ratio{model="m"} 0.95"#,
        r#"inferneo_cost_model_margin_ratio{model="m"} 1.2"#,
        "inferneo_policy_generation 3",
        r#"inferneo_policy_info{hash="abc",policy="default",strategy="adaptive"} 1"#,
        r#"inferneo_policy_reloads_total{outcome="ok"} 1"#,
        r#"inferneo_policy_reloads_total{outcome="failed"} 0"#,
        "inferneo_policy_last_reload_ok 1",
        "inferneo_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    let page = include_str!("../../docs/interface.md");
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE inferneo_")?.split(' ').next()) {
        assert!(page.contains(&format!("`inferneo_{name}`")), "docs/interface.md does not name inferneo_{name}");
    }
}

#[test]
fn tenants_are_bounded() {
    let metrics = Metrics::new().unwrap();
    metrics.set_tenants(NamedBy::Policies, ["acme".into()]);
    assert_eq!(metrics.tenant_label("acme").as_str(), "acme");
    assert_eq!(metrics.tenant_label("whoever").as_str(), "other");
    assert_eq!(metrics.tenant_label("").as_str(), "default");
    metrics.set_tenants(NamedBy::Keys, ["acme".into(), "bulk".into()]);
    metrics.set_tenants(NamedBy::Policies, []);
    assert_eq!(["acme", "bulk"].map(|name| metrics.tenant_label(name).as_str().to_owned()), ["acme", "bulk"]);
    metrics.set_tenants(NamedBy::Keys, []);
    assert_eq!(metrics.tenant_label("acme").as_str(), "other");
}

#[test]
fn thousands_of_names_do_not_become_thousands_of_series() {
    let metrics = Metrics::new().unwrap();
    let model = metrics.model("m");
    for generation in 0..20 {
        let names: Vec<Arc<str>> = (0..500).map(|i| format!("tenant-{generation}-{i}").into()).collect();
        metrics.set_tenants(NamedBy::Policies, names.clone());
        for name in &names {
            model.slo(&metrics.tenant_label(name), SloResult::Met);
        }
    }
    let series = text(&metrics).lines().filter(|line| line.starts_with("inferneo_slo_total{")).count();
    assert_eq!(series, MOST_TENANTS + 1);
    // Whoever once had a label has it again.
    metrics.set_tenants(NamedBy::Policies, ["tenant-1-7".into(), "tenant-9-7".into()]);
    assert_eq!(metrics.tenant_label("tenant-1-7").as_str(), "tenant-1-7");
    assert_eq!(metrics.tenant_label("tenant-9-7").as_str(), "other");
}

#[test]
fn which_names_get_a_label_does_not_hang_on_chance() {
    let metrics = Metrics::new().unwrap();
    let names = (0..2 * MOST_TENANTS).rev().map(|i| format!("tenant-{i:04}").into());
    metrics.set_tenants(NamedBy::Policies, names.collect::<HashSet<Arc<str>>>());
    let last = MOST_TENANTS - 1;
    assert_eq!(metrics.tenant_label(&format!("tenant-{last:04}")).as_str(), format!("tenant-{last:04}"));
    assert_eq!(metrics.tenant_label(&format!("tenant-{MOST_TENANTS:04}")).as_str(), "other");
}

#[test]
fn policies_that_stay_are_there_at_every_moment() {
    let metrics = Metrics::new().unwrap();
    let (kept, other) = (["kept", "adaptive", "1"], ["other", "adaptive", "2"]);
    let info = |metrics: &Metrics| {
        let text = text(metrics);
        text.lines().filter(|line| line.starts_with("inferneo_policy_info{")).map(str::to_owned).collect::<Vec<_>>()
    };
    metrics.set_policies(1, [kept]);
    std::thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            for generation in 1..2_000 {
                metrics.set_policies(2 * generation, [kept, other]);
                metrics.set_policies(2 * generation + 1, [kept]);
            }
        });
        while !swaps.is_finished() {
            assert!(info(&metrics).iter().any(|line| line.contains("policy=\"kept\"")));
        }
    });
    assert_eq!(info(&metrics), [r#"inferneo_policy_info{hash="1",policy="kept",strategy="adaptive"} 1"#]);
}

#[test]
fn without_performance_nothing_about_batches_is_kept() {
    let metrics = Metrics::with_performance(false).unwrap();
    let model = metrics.model("m");
    let (compute, queued) = (Duration::from_millis(1), &[(Duration::ZERO, 1)]);
    model.batch_done(&BatchObserved { rows: 1, tokens: 5, padded: 5, compute, queued, now: Time(1) });
    model.batch_released("full");
    model.device("cpu").batch_started();
    model.device("cpu").shape_ran(1, 5);
    model.cost_model(0.25, Some(0.95), Some(1.2));
    model.queue_bytes().set(3);
    let text = text(&metrics);
    for family in [
        "queue_duration",
        "compute_duration",
        "batch_rows",
        "batch_release",
        "tokens",
        "batches_in_flight",
        "device_busy",
        "shapes",
        "cost_model",
    ] {
        assert!(!text.contains(&format!("inferneo_{family}")), "{family} in\n{text}");
    }
    assert!(text.contains(r#"inferneo_queue_bytes{model="m"} 3"#));
    assert_eq!(model.seen(Time(2), Duration::from_secs(60)).batches, None);
    assert_eq!((model.batch_rows().count, model.computed().count), (0, 0));
}

#[test]
fn a_request_for_no_model_is_counted_as_unknown() {
    let metrics = Metrics::new().unwrap();
    metrics.request_done(&RequestObserved {
        model: None,
        tenant: "x",
        protocol: Protocol::OpenAi,
        outcome: Outcome::Refused(Reason::UnknownModel),
        duration: Duration::ZERO,
        now: Time(1),
    });
    let line = r#"inferneo_requests_total{model="unknown",outcome="unknown_model",protocol="openai",tenant="other"} 1"#;
    assert!(text(&metrics).contains(line));
}

#[test]
fn the_process_is_described() {
    #[cfg(target_os = "linux")]
    assert!(text(&Metrics::new().unwrap()).contains("process_resident_memory_bytes"));
}
