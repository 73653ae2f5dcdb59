//! What stands on the page, and what must not.

use super::*;
use crate::bench::report::{RampReport, Step};
use crate::bench::tests::report;

fn parameters(value: &str) -> Vec<(String, String)> {
    vec![("texts".to_owned(), value.to_owned())]
}

#[test]
fn texts_from_outside_are_escaped() {
    let mut report = report();
    report.errors = 1;
    report.errors_by_reason.insert("<script>alert('x')</script>".to_owned(), 1);
    let page = page("a<b>&\"c\"", &report, &parameters("<img src=x onerror=\"y\">"));
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>&\"c"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert_eq!(page.matches("a&lt;b&gt;&amp;&quot;c&quot;").count(), 2);
}

#[test]
fn a_page_fetches_nothing_and_is_well_formed() {
    let mut report = report();
    let step = Step::of(100.0, &report, Some("p99"));
    report.ramp = Some(RampReport { slo_ms: 100.0, highest_rate: None, steps: vec![step] });
    let page = page("title", &report, &parameters("shipped"));
    for outside in ["http://", "https://", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let plots = [
        "Latency by percentile",
        "Latency over time",
        "Answers over time",
        "Batch sizes",
        "Computed tokens",
        "Latency against throughput",
        "Throughput against rate",
    ];
    for title in plots {
        assert!(page.contains(&format!("<figcaption>{title}</figcaption>")), "{title}");
    }
    for tag in ["svg", "section", "figure", "table", "tr", "td", "div", "main", "html"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number has no place");
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut report = report();
    (report.latency_ms, report.padding_efficiency, report.requests) = (None, None, 0);
    report.latency_curve.clear();
    report.windows.clear();
    report.batch.sizes.clear();
    let page = page("title", &report, &[]);
    assert!(!page.contains("<svg") && page.contains("Nothing was answered."), "{page}");
}
