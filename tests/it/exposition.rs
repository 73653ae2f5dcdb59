//! A strict reader of Prometheus' text form: what a lenient scraper forgives fails here.

use std::collections::{BTreeMap, BTreeSet};

/// A series' labels, in the order of their names.
pub(crate) type Labels = BTreeMap<String, String>;

/// Everything that a scrape says.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Types by family.
    pub(crate) types: BTreeMap<String, String>,
    helped: BTreeSet<String>,
    /// Values by name and labels.
    series: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Reads a scrape; panics at the first fault.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut read = Self::default();
        // A family's lines stand together, so that one seen again was left in between.
        let (mut current, mut closed) = (String::new(), BTreeSet::new());
        for line in text.lines() {
            let family = match line.strip_prefix("# ") {
                Some(comment) => read.comment(comment),
                None => read.sample(line),
            };
            if family != current {
                assert!(!closed.contains(&family), "{family} comes in two places: {line}");
                closed.insert(std::mem::replace(&mut current, family));
            }
        }
        read.check_histograms();
        read
    }

    /// The value of the one series with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        self.series.get(&(name.to_owned(), labels)).copied()
    }

    /// The sum over the series that carry all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |own: &Labels| labels.iter().all(|(label, value)| own.get(*label).is_some_and(|v| v == value));
        self.series.iter().filter(|((n, own), _)| n == name && carries(own)).map(|(_, value)| value).sum()
    }

    fn comment(&mut self, comment: &str) -> String {
        let (keyword, rest) = comment.split_once(' ').unwrap();
        let (name, said) = rest.split_once(' ').unwrap_or_else(|| panic!("{comment}: nothing is said"));
        assert!(is_name(name) && !said.trim().is_empty(), "{comment}");
        match keyword {
            "HELP" => assert!(self.helped.insert(name.to_owned()), "{name} has two HELP lines"),
            "TYPE" => {
                assert!(["counter", "gauge", "histogram"].contains(&said), "{comment}");
                assert_eq!(said == "counter", name.ends_with("_total"), "{name} is a {said}");
                assert!(self.helped.contains(name), "{name} has no HELP before its TYPE");
                assert!(self.types.insert(name.to_owned(), said.to_owned()).is_none(), "{name} has two TYPE lines");
            }
            _ => panic!("# {comment}"),
        }
        name.to_owned()
    }

    fn sample(&mut self, line: &str) -> String {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is no sample"));
        let value: f64 = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
        assert!(value.is_finite(), "{line}");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, read_labels(labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))),
            None => (series, Labels::new()),
        };
        let family = self.family(name, &labels).unwrap_or_else(|| panic!("{line}: of no family"));
        if self.types[&family] != "gauge" {
            assert!(value >= 0.0, "{line}");
        }
        assert!(self.series.insert((name.to_owned(), labels), value).is_none(), "{line}: a second time");
        family
    }

    /// The family that a sample belongs to, whose TYPE came before.
    fn family(&self, name: &str, labels: &Labels) -> Option<String> {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let family = name.strip_suffix(suffix)?;
            (self.types.get(family)? == "histogram").then(|| {
                assert_eq!(labels.contains_key("le"), *suffix == "_bucket", "{name}{labels:?}");
                family.to_owned()
            })
        });
        of_histogram.or_else(|| self.types.get(name).filter(|kind| *kind != "histogram").map(|_| name.to_owned()))
    }

    fn check_histograms(&self) {
        for family in self.types.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), count) in self.series.iter().filter(|((name, _), _)| *name == format!("{family}_bucket"))
            {
                let mut labels = labels.clone();
                let le = labels.remove("le").unwrap();
                buckets.entry(labels).or_default().push((le.parse().unwrap(), *count));
            }
            assert!(!buckets.is_empty(), "{family} has no bucket");
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{family}{labels:?}: {buckets:?}");
                let of = |suffix| self.series.get(&(format!("{family}_{suffix}"), labels.clone())).copied();
                let last = buckets.last().unwrap();
                assert_eq!((last.0, Some(last.1)), (f64::INFINITY, of("count")), "{family}{labels:?}");
                assert!(of("sum").is_some(), "{family}{labels:?} has no sum");
            }
        }
    }
}

/// `a="b",c="d"`.
fn read_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(label) && !label.contains(':'), "{text}");
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{text}: no closing quote")) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, same @ ('"' | '\\'))) => same,
                    other => panic!("{text}: escape {other:?}"),
                }),
                (_, other) => value.push(other),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "{text}: {label} twice");
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').inspect(|more| assert!(!more.is_empty(), "{text}")).unwrap_or(rest);
    }
    labels
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[test]
fn faults_are_found() {
    let fails = |text: &str| std::panic::catch_unwind(|| Exposition::read(text)).is_err();
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    let read = Exposition::read(&format!("{head}a_total{{x=\"a\\\"}} b\",y=\"2\"}} 3\n"));
    assert_eq!(read.value("a_total", &[("x", "a\"} b"), ("y", "2")]), Some(3.0));
    for (fault, body) in [
        ("no TYPE", "b 1\n".to_owned()),
        ("twice", format!("{head}a_total 1\na_total 1\n")),
        ("TYPE twice", format!("{head}{head}a_total 1\n")),
        ("apart", format!("{head}a_total 1\n# HELP b B.\n# TYPE b gauge\nb 1\na_total{{x=\"1\"}} 1\n")),
        ("falling", format!("{head}a_total -1\n")),
        ("no number", format!("{head}a_total x\n")),
        ("name", "# HELP a A.\n# TYPE a counter\na 1\n".to_owned()),
        ("not cumulative", histogram(3, 2)),
        ("not all", histogram(1, 4)),
    ] {
        assert!(fails(&body), "{fault}: {body}");
    }
    Exposition::read(&histogram(2, 3));
}

#[cfg(test)]
fn histogram(first: u32, all: u32) -> String {
    let buckets = format!("h_bucket{{le=\"1\"}} {first}\nh_bucket{{le=\"+Inf\"}} {all}\n");
    format!("# HELP h H.\n# TYPE h histogram\n{buckets}h_sum 1\nh_count 3\n")
}
