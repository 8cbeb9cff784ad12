//! Metrics for monitoring: all counters since the start, in the text format of OpenMetrics 1.0.
//!
//! The counters are in each [`Meter`] and in [`COUNTERS`], and are fetched on request. Values of labels are
//! names of listeners, maps, sources and their servers, and fixed words, never addresses of mail or of
//! clients, so that the configuration limits their number.

use super::COUNTERS;
use super::meter::{BUCKETS, Counted, Meter, Of, Totals, meters};
use super::outage::standings;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the last reload succeeded, so that the current configuration is the newest.
pub(super) static RELOADED: AtomicBool = AtomicBool::new(true);

/// Returns all metrics with their current values.
pub fn text() -> String {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Books));
        registry
    });
    let mut text = String::new();
    // Writing to a string cannot fail. If it did, the end mark would be missing, and readers would reject it.
    let _ = encode(&mut text, registry);
    text
}

/// Collects the counters.
#[derive(Debug)]
struct Books;

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Books {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let all: Vec<(Arc<Meter>, Totals)> =
            meters().into_iter().map(|meter| (meter.clone(), meter.totals())).collect();
        let (maps, listeners): (Vec<_>, Vec<_>) = all.iter().partition(|(meter, _)| meter.of() == Of::Map);

        of_listeners(encoder, &listeners)?;
        of_maps(encoder, &maps)?;
        of_sources(encoder)?;
        for (name, help, count) in [
            ("rcptd_milter_sessions", "Milter sessions started", &COUNTERS.sessions),
            ("rcptd_milter_session_errors", "Milter sessions ended by an error", &COUNTERS.session_errors),
        ] {
            single(encoder, name, help, count)?;
        }
        of_reloads(encoder)?;
        encoder
            .encode_descriptor("rcptd_build", "What runs", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

/// A listener or map, and its totals at the time of the request.
type Row = (Arc<Meter>, Totals);

fn of_listeners(encoder: &mut DescriptorEncoder<'_>, listeners: &[&Row]) -> fmt::Result {
    let mut rows = milter();
    for (meter, totals) in listeners {
        for (counted, n) in Counted::ALL.into_iter().zip(totals.answered).take(meter.kinds()) {
            let (op, verdict) = operation(meter.of(), counted);
            rows.push((vec![("listener", meter.name()), ("op", op), ("verdict", verdict)], n));
        }
    }
    counter(encoder, "rcptd_requests", "Requests answered", &rows)?;
    durations(encoder, "rcptd_request_duration_seconds", "listener", listeners)?;

    let rows = |count: fn(&Totals) -> u64| -> Vec<(Labels<'_>, u64)> {
        listeners.iter().map(|(meter, totals)| (vec![("listener", meter.name())], count(totals))).collect()
    };
    {
        let help = "Open connections";
        let mut open = encoder.encode_descriptor("rcptd_connections", help, None, MetricType::Gauge)?;
        for (labels, n) in rows(|totals| totals.open) {
            open.encode_family(&labels)?.encode_gauge(&n)?;
        }
    }
    for (name, help, count) in [
        ("rcptd_connections_accepted", "Connections accepted", (|t| t.connections) as fn(&Totals) -> u64),
        ("rcptd_reads", "Requests read or waited for", |t| t.reads),
        ("rcptd_writes", "Writes, each of one or more answers", |t| t.writes),
    ] {
        counter(encoder, name, help, &rows(count))?;
    }
    Ok(())
}

fn of_maps(encoder: &mut DescriptorEncoder<'_>, maps: &[&Row]) -> fmt::Result {
    let mut rows = Vec::new();
    for (meter, totals) in maps {
        for (counted, n) in Counted::ALL.into_iter().zip(totals.answered).take(meter.kinds()) {
            rows.push((vec![("map", meter.name()), ("result", counted.name())], n));
        }
    }
    counter(encoder, "rcptd_map_requests", "Keys looked up in maps", &rows)?;
    durations(encoder, "rcptd_map_request_duration_seconds", "map", maps)
}

/// The account sources and databases, and the checks of them.
fn of_sources(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sources = standings();
    let labels = |at: usize| -> Labels<'_> {
        vec![("source", &*sources[at].source), ("server", &*sources[at].server)]
    };
    let rows: Vec<_> = (0..sources.len()).map(|at| (labels(at), sources[at].failures)).collect();
    counter(encoder, "rcptd_source_failures", "Queries that a source could not answer", &rows)?;
    {
        let help = "Whether the last query to a source failed (1) or was answered (0)";
        let mut failing = encoder.encode_descriptor("rcptd_source_failing", help, None, MetricType::Gauge)?;
        for (at, source) in sources.iter().enumerate() {
            failing.encode_family(&labels(at))?.encode_gauge(&u64::from(source.failing.is_some()))?;
        }
    }

    let mut rows = Vec::new();
    for (kind, counts) in [("witness", &COUNTERS.witnesses), ("canary", &COUNTERS.canaries)] {
        for (result, count) in ["passed", "failed", "unanswered"].into_iter().zip(counts) {
            rows.push((vec![("control", kind), ("result", result)], count.load(Relaxed)));
        }
    }
    let help = "Control queries: whether a source finds the witness and does not find the canary";
    counter(encoder, "rcptd_control_questions", help, &rows)
}

fn of_reloads(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let reloads = [("success", &COUNTERS.reloads), ("failure", &COUNTERS.failed_reloads)]
        .map(|(result, count)| (vec![("result", result)], count.load(Relaxed)));
    counter(encoder, "rcptd_config_reloads", "Reloads of the configuration", &reloads)?;
    let reloaded = u64::from(RELOADED.load(Relaxed));
    let help = "Whether the last reload took effect (1) or the previous configuration is still in force (0)";
    encoder
        .encode_descriptor("rcptd_config_last_reload_success", help, None, MetricType::Gauge)?
        .encode_gauge(&reloaded)
}

/// The command of the protocol, and its result. Invalid requests have no command.
fn operation(of: Of, counted: Counted) -> (&'static str, &'static str) {
    match (of, counted) {
        (_, Counted::Bad) => ("other", "bad"),
        (_, Counted::Stats) => ("stats", "found"),
        (Of::Listener("tcp_table"), counted) => ("get", counted.name()),
        (_, counted) => ("lookup", counted.name()),
    }
}

/// The recipients decided by the milter. `unchanged`: not ours, an account by its own name, or a decision
/// of a dry run.
fn milter() -> Vec<(Labels<'static>, u64)> {
    let decided =
        [&COUNTERS.rewritten, &COUNTERS.rejected, &COUNTERS.deferred].map(|count| count.load(Relaxed));
    // Read the total last, since it is incremented first: so it is never less than its parts.
    let all = COUNTERS.recipients.load(Relaxed);
    let [rewrite, reject, defer] = decided;
    let unchanged = all.saturating_sub(rewrite + reject + defer);
    [("unchanged", unchanged), ("rewrite", rewrite), ("reject", reject), ("defer", defer)]
        .map(|(verdict, n)| (vec![("listener", "milter"), ("op", "rcpt"), ("verdict", verdict)], n))
        .into()
}

/// Encodes a counter with labels. `name` is without the `_total` that OpenMetrics appends.
fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(Labels<'_>, u64)],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, n) in rows {
        metric.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(n, None)?;
    }
    Ok(())
}

/// Encodes a counter without labels.
fn single(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, n: &AtomicU64) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, u64, f64>(&n.load(Relaxed), None)
}

fn durations(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    label: &'static str,
    of: &[&(Arc<Meter>, Totals)],
) -> fmt::Result {
    let help = "Response time in seconds";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (meter, totals) in of {
        let bounds = BUCKETS.iter().map(std::time::Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(totals.buckets).collect();
        let count = totals.buckets.iter().sum();
        metric.encode_family(&[(label, meter.name())])?.encode_histogram::<NoLabelSet>(
            totals.took.as_secs_f64(),
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::outage::Outage;
    use std::time::Instant;

    /// Parses a line with a value: name, labels, value.
    fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
        let (left, value) = line.rsplit_once(' ').expect("a value");
        let value = value.parse().expect("a number");
        let Some((name, labels)) = left.split_once('{') else { return (left.into(), vec![], value) };
        let mut rest = labels.strip_suffix('}').expect("a closing brace");
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (label, behind) = rest.split_once("=\"").expect("a label");
            let (mut text, mut chars) = (String::new(), behind.char_indices());
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("what is escaped").1 {
                        'n' => text.push('\n'),
                        c => text.push(c),
                    },
                    (_, c) => text.push(c),
                }
            };
            found.push((label.into(), text));
            rest = &behind[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        (name.into(), found, value)
    }

    fn value<'t>(text: &'t str, start: &str) -> &'t str {
        let value = text.lines().find_map(|line| line.strip_prefix(start));
        value.unwrap_or_else(|| panic!("no {start}"))
    }

    #[test]
    fn text_is_valid_openmetrics() {
        Meter::listener("tcp_table", "unix:/a \"b\\c\nd");
        Meter::map("every line").answered(Counted::Found, Instant::now());
        let text = text();
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let (mut family, mut kind, mut seen) = ("", "", std::collections::BTreeSet::new());
        for line in text.trim_end().lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').expect("a text").0;
                assert!(seen.insert(family.to_owned()), "{family} comes twice");
            } else if let Some(of) = line.strip_prefix("# TYPE ") {
                kind = of.strip_prefix(family).expect("the same family").trim();
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
            } else if line != "# EOF" {
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(family).expect("of its family");
                let suffixes: &[&str] = match kind {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "info" => &["_info"],
                    _ => &["_sum", "_count", "_bucket"],
                };
                assert!(suffixes.contains(&suffix), "{line}");
                assert!(value >= 0.0, "{line}");
                assert!(seen.insert(format!("{name} {labels:?}")), "{line} comes twice");
            }
        }
        assert!(text.contains(r#"listener="unix:/a \"b\\c\nd""#), "{text}");
    }

    #[test]
    fn has_all_metrics_from_the_start() {
        Meter::listener("tcp_table", "from the start");
        Meter::listener("socketmap", "from the start, too");
        Meter::map("from the start");
        let _source = Outage::of("from the start", None);
        let text = text();
        for start in [
            r#"rcptd_requests_total{listener="from the start",op="get",verdict="found"} "#,
            r#"rcptd_requests_total{listener="from the start",op="get",verdict="not_found"} "#,
            r#"rcptd_requests_total{listener="from the start",op="get",verdict="tempfail"} "#,
            r#"rcptd_requests_total{listener="from the start",op="other",verdict="bad"} "#,
            r#"rcptd_requests_total{listener="from the start",op="stats",verdict="found"} "#,
            r#"rcptd_requests_total{listener="from the start, too",op="lookup",verdict="found"} "#,
            r#"rcptd_request_duration_seconds_count{listener="from the start"} "#,
            r#"rcptd_request_duration_seconds_bucket{le="+Inf",listener="from the start"} "#,
            r#"rcptd_connections{listener="from the start"} "#,
            r#"rcptd_connections_accepted_total{listener="from the start"} "#,
            r#"rcptd_reads_total{listener="from the start"} "#,
            r#"rcptd_writes_total{listener="from the start"} "#,
            r#"rcptd_map_requests_total{map="from the start",result="found"} "#,
            r#"rcptd_map_requests_total{map="from the start",result="not_found"} "#,
            r#"rcptd_map_requests_total{map="from the start",result="tempfail"} "#,
            r#"rcptd_map_request_duration_seconds_count{map="from the start"} "#,
            r#"rcptd_source_failures_total{source="from the start",server=""} "#,
            r#"rcptd_source_failing{source="from the start",server=""} "#,
        ] {
            assert_eq!(value(&text, start), "0", "{start}");
        }
        // These are global to the process, and other tests increment them, too.
        for start in [
            r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="unchanged"} "#,
            r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="rewrite"} "#,
            r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="reject"} "#,
            r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="defer"} "#,
            "rcptd_milter_sessions_total ",
            "rcptd_milter_session_errors_total ",
            r#"rcptd_config_reloads_total{result="success"} "#,
            r#"rcptd_config_reloads_total{result="failure"} "#,
            "rcptd_config_last_reload_success ",
            r#"rcptd_build_info{version=""#,
        ] {
            value(&text, start);
        }
        assert!(!text.contains(r#"listener="from the start, too",op="stats""#), "socketmap has no stats");
    }

    #[test]
    fn exports_counted_requests() {
        let meter = Meter::listener("tcp_table", "is told");
        let mut connection = meter.connection();
        let began = connection.read_ends();
        connection.answered(Counted::TempFail, began);
        connection.answered(Counted::Stats, began);
        connection.write_begins();
        let server = Outage::of("is told", Some("a:1"));
        server.fails(&"down");
        let text = text();
        for (start, want) in [
            (r#"rcptd_requests_total{listener="is told",op="get",verdict="tempfail"} "#, "1"),
            (r#"rcptd_requests_total{listener="is told",op="other",verdict="bad"} "#, "0"),
            (r#"rcptd_requests_total{listener="is told",op="stats",verdict="found"} "#, "1"),
            (r#"rcptd_request_duration_seconds_count{listener="is told"} "#, "2"),
            (r#"rcptd_request_duration_seconds_bucket{le="+Inf",listener="is told"} "#, "2"),
            (r#"rcptd_request_duration_seconds_bucket{le="10.0",listener="is told"} "#, "2"),
            (r#"rcptd_connections{listener="is told"} "#, "1"),
            (r#"rcptd_connections_accepted_total{listener="is told"} "#, "1"),
            (r#"rcptd_reads_total{listener="is told"} "#, "1"),
            (r#"rcptd_writes_total{listener="is told"} "#, "1"),
            (r#"rcptd_source_failures_total{source="is told",server="a:1"} "#, "1"),
            (r#"rcptd_source_failing{source="is told",server="a:1"} "#, "1"),
        ] {
            assert_eq!(value(&text, start), want, "{start}");
        }
    }
}
