//! The live page at `GET /`: one document, which asks nobody but this listener.
//!
//! Decides how the page's parts become one response and what a browser may do with it. Does not know what
//! the page shows: its scripts read the same JSON as everybody else (docs/interface.md).

use axum::response::{IntoResponse, Response};
use http::header;
use std::sync::LazyLock;
use uuid::Uuid;

/// The document; it names the other parts where they go, as `{{page.css}}`.
const DOCUMENT: &str = include_str!("page/page.html");

/// The parts by name.
const PARTS: [(&str, &str); 9] = [
    ("page.css", include_str!("page/page.css")),
    ("dom.js", include_str!("page/dom.js")),
    ("format.js", include_str!("page/format.js")),
    ("data.js", include_str!("page/data.js")),
    ("words.js", include_str!("page/words.js")),
    ("charts.js", include_str!("page/charts.js")),
    ("panels.js", include_str!("page/panels.js")),
    ("strategy.js", include_str!("page/strategy.js")),
    ("main.js", include_str!("page/main.js")),
];

/// Stands where the nonce of a response goes.
const NONCE: &str = "{{nonce}}";

static PAGE: LazyLock<String> = LazyLock::new(|| {
    PARTS.iter().fold(DOCUMENT.to_owned(), |page, (name, text)| page.replace(&format!("{{{{{name}}}}}"), text))
});

/// Answers `GET /`.
pub(super) async fn page() -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(&nonce)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}

/// What the page may do: run its own script, wear its own style, show the icon it carries, ask this listener.
fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Strategy;
    use crate::sched::Release;
    use http_body_util::BodyExt;

    async fn answer() -> (header::HeaderMap, String) {
        let response = page().await;
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_browser_may_run_only_what_carries_the_nonce_and_ask_only_this_listener() {
        let (headers, page) = answer().await;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for rule in ["default-src 'none'", "connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|part| part == rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        let tags = page.matches("<script").count() + page.matches("<style").count();
        assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), tags);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_ne!(answer().await.1, page, "a nonce is of one response");
    }

    /// The keys of a constant object of a part, in their order.
    fn keys(part: &str, object: &str) -> Vec<&'static str> {
        let (_, text) = PARTS.into_iter().find(|(name, _)| *name == part).unwrap();
        let lines = text.split_once(&format!("const {object} = {{\n")).unwrap().1.split_once("\n};").unwrap().0;
        lines.lines().map(|line| line.trim().split_once(':').unwrap().0).collect()
    }

    #[test]
    fn the_page_knows_every_strategy_and_every_reason_of_a_batch() {
        assert_eq!(keys("strategy.js", "STRATEGIES"), Strategy::ALL.map(Strategy::name));
        assert_eq!(keys("words.js", "RELEASES"), Release::ALL.map(Release::label));
        let page = include_str!("../../docs/interface.md");
        for label in Release::ALL.map(Release::label) {
            assert!(page.contains(&format!("\n| `{label}` | ")), "docs/interface.md does not explain {label}");
        }
    }

    #[tokio::test]
    async fn the_icon_is_within_the_page() {
        let (headers, page) = answer().await;
        assert!(page.contains(r#"<link rel="icon" href="data:"#), "a browser would ask for /favicon.ico");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("img-src data:;"), "{policy}");
    }

    #[tokio::test]
    async fn every_part_has_its_place_and_nothing_is_fetched_from_elsewhere() {
        let (_, page) = answer().await;
        assert!(!page.contains("{{"), "a part without a file");
        for (name, text) in PARTS {
            assert_eq!(DOCUMENT.matches(&format!("{{{{{name}}}}}")).count(), 1, "{name}");
            assert!(page.contains(text) && !text.contains("</script") && !text.contains("</style"), "{name}");
        }
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
        for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""] {
            assert!(!page.contains(sink), "{sink}");
        }
    }
}
