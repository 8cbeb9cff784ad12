//! Metrics for monitoring: all counters since the start, in the text format of OpenMetrics 1.0.
//!
//! Values of labels are names of listeners, maps, sources and their servers, and fixed words, never addresses
//! of mail or of clients, so that the configuration limits their number.

use super::meter::{BUCKETS, Counted, Meter, Of, Totals};
use super::metrics::{Metrics, MilterCounters, ReloadCounters};
use super::policy::{GreylistCounters, Greylisted};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns all metrics with their current values.
pub fn text(metrics: &Arc<Metrics>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Counters(metrics.clone())));
    let mut text = String::new();
    // Writing to a string cannot fail. If it did, the end mark would be missing, and readers would reject it.
    let _ = encode(&mut text, &registry);
    text
}

/// Collects the counters.
#[derive(Debug)]
struct Counters(Arc<Metrics>);

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A listener or map, and its totals at the time of the request.
type Row = (Arc<Meter>, Totals);

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, metrics) = (&mut encoder, &self.0);
        let all: Vec<Row> =
            metrics.meters().into_iter().map(|meter| (meter.clone(), meter.totals())).collect();
        let of = |is: fn(Of) -> bool| all.iter().filter(|(meter, _)| is(meter.of())).collect::<Vec<_>>();

        of_listeners(encoder, &metrics.milter, &of(|of| matches!(of, Of::Listener(_))))?;
        of_maps(encoder, &of(|of| of == Of::Map))?;
        of_sources(encoder, metrics, &of(|of| of == Of::Source))?;
        for (name, help, count) in [
            ("rcptd_milter_sessions", "Milter sessions started", &metrics.milter.sessions),
            (
                "rcptd_milter_session_errors",
                "Milter sessions ended by an error",
                &metrics.milter.session_errors,
            ),
            (
                "rcptd_milter_messages_deferred",
                "Messages deferred at their end",
                &metrics.milter.messages_deferred,
            ),
            (
                "rcptd_milter_guessing_deferred",
                "Recipients deferred without a lookup, since the network of the client had too many unknown ones",
                &metrics.milter.guessing_deferred,
            ),
        ] {
            single(encoder, name, help, count)?;
        }
        {
            let (name, help) = (
                "rcptd_milter_guessing_networks",
                "Networks whose recipients were deferred at the last recipient",
            );
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&metrics.milter.guessing_networks.load(Relaxed))?;
        }
        of_greylist(encoder, &metrics.greylist)?;
        of_reloads(encoder, &metrics.reloads)?;
        encoder
            .encode_descriptor("rcptd_build", "What runs", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn of_greylist(encoder: &mut DescriptorEncoder<'_>, counters: &GreylistCounters) -> fmt::Result {
    let rows: Vec<(Labels<'_>, u64)> =
        Greylisted::ALL.into_iter().map(|what| (vec![("result", what.name())], counters.get(what))).collect();
    counter(encoder, "rcptd_greylist", "Recipients decided by greylisting", &rows)?;
    for (name, help, count) in [
        ("rcptd_greylist_correspondents", "Addresses stored to which our accounts wrote", &counters.learned),
        (
            "rcptd_greylist_delay_seconds",
            "Sum of the delays of mail that passed for the first time",
            &counters.delay,
        ),
    ] {
        single(encoder, name, help, count)?;
    }
    Ok(())
}

fn of_listeners(
    encoder: &mut DescriptorEncoder<'_>,
    milter: &MilterCounters,
    listeners: &[&Row],
) -> fmt::Result {
    let mut rows = of_milter(milter);
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
        ("rcptd_writes", "Writes, each of one or more replies", |t| t.writes),
    ] {
        counter(encoder, name, help, &rows(count))?;
    }
    Ok(())
}

fn of_maps(encoder: &mut DescriptorEncoder<'_>, maps: &[&Row]) -> fmt::Result {
    counter(encoder, "rcptd_map_requests", "Keys looked up in maps", &results("map", maps))?;
    durations(encoder, "rcptd_map_request_duration_seconds", "map", maps)
}

/// The number of each result.
fn results<'a>(label: &'static str, of: &[&'a Row]) -> Vec<(Labels<'a>, u64)> {
    let mut rows = Vec::new();
    for (meter, totals) in of {
        for (counted, n) in Counted::ALL.into_iter().zip(totals.answered).take(meter.kinds()) {
            rows.push((vec![(label, meter.name()), ("result", counted.name())], n));
        }
    }
    rows
}

/// The account sources and databases, and the checks of them.
fn of_sources(encoder: &mut DescriptorEncoder<'_>, metrics: &Metrics, meters: &[&Row]) -> fmt::Result {
    let help = "Accounts looked up in sources, without those in the cache";
    counter(encoder, "rcptd_source_requests", help, &results("source", meters))?;
    durations(encoder, "rcptd_source_request_duration_seconds", "source", meters)?;
    let sources = metrics.source_states();
    let labels = |at: usize| -> Labels<'_> {
        vec![("source", &*sources[at].source), ("server", &*sources[at].server)]
    };
    let rows: Vec<_> = (0..sources.len()).map(|at| (labels(at), sources[at].failures)).collect();
    counter(encoder, "rcptd_source_failures", "Queries that a source could not answer", &rows)?;
    let rows: Vec<_> = (0..sources.len()).map(|at| (labels(at), sources[at].skipped)).collect();
    let help = "Queries that a source was not asked, since it does not answer";
    counter(encoder, "rcptd_source_skipped", help, &rows)?;
    {
        let help = "Whether the last query to a source failed (1) or was answered (0)";
        let mut failing = encoder.encode_descriptor("rcptd_source_failing", help, None, MetricType::Gauge)?;
        for (at, source) in sources.iter().enumerate() {
            failing.encode_family(&labels(at))?.encode_gauge(&u64::from(source.failing.is_some()))?;
        }
    }

    let mut rows = Vec::new();
    for (kind, counts) in [("witness", &metrics.witnesses), ("canary", &metrics.canaries)] {
        for (result, count) in
            [("passed", &counts.passed), ("failed", &counts.failed), ("unanswered", &counts.unanswered)]
        {
            rows.push((vec![("control", kind), ("result", result)], count.load(Relaxed)));
        }
    }
    let help = "Control queries: whether a source finds the witness and does not find the canary";
    counter(encoder, "rcptd_control_questions", help, &rows)
}

fn of_reloads(encoder: &mut DescriptorEncoder<'_>, reloads: &ReloadCounters) -> fmt::Result {
    let rows = [("success", &reloads.succeeded), ("failure", &reloads.failed)]
        .map(|(result, count)| (vec![("result", result)], count.load(Relaxed)));
    counter(encoder, "rcptd_config_reloads", "Reloads of the configuration", &rows)?;
    let reloaded = u64::from(!reloads.last_failed.load(Relaxed));
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

/// The recipients decided by the milter.
fn of_milter(milter: &MilterCounters) -> Vec<(Labels<'static>, u64)> {
    let counts = [
        ("unchanged", &milter.unchanged),
        ("rewrite", &milter.rewritten),
        ("reject", &milter.rejected),
        ("defer", &milter.deferred),
    ];
    counts
        .map(|(verdict, count)| {
            (vec![("listener", "milter"), ("op", "rcpt"), ("verdict", verdict)], count.load(Relaxed))
        })
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
    of: &[&Row],
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
    use std::time::Instant;

    /// The manual page has all names.
    #[test]
    fn metrics_are_documented() {
        let page = include_str!("../../install/rcptd.8");
        let text = text(&Arc::default());
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            assert!(page.contains(name), "{name} is not in rcptd(8)");
        }
    }

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
        let metrics = Arc::new(Metrics::default());
        metrics.listener("tcp_table", "unix:/a \"b\\c\nd");
        metrics.map("every line").answered(Counted::Found, Instant::now());
        let text = text(&metrics);
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
        let metrics = Arc::new(Metrics::default());
        metrics.listener("tcp_table", "from the start");
        metrics.listener("socketmap", "from the start, too");
        metrics.map("from the start");
        let _source = metrics.outage("from the start", None);
        let text = text(&metrics);
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
        for (start, want) in [
            (r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="unchanged"} "#, "0"),
            (r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="rewrite"} "#, "0"),
            (r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="reject"} "#, "0"),
            (r#"rcptd_requests_total{listener="milter",op="rcpt",verdict="defer"} "#, "0"),
            ("rcptd_milter_sessions_total ", "0"),
            ("rcptd_milter_session_errors_total ", "0"),
            ("rcptd_milter_messages_deferred_total ", "0"),
            ("rcptd_milter_guessing_deferred_total ", "0"),
            ("rcptd_milter_guessing_networks ", "0"),
            (r#"rcptd_config_reloads_total{result="success"} "#, "0"),
            (r#"rcptd_config_reloads_total{result="failure"} "#, "0"),
            ("rcptd_config_last_reload_success ", "1"),
        ] {
            assert_eq!(value(&text, start), want, "{start}");
        }
        value(&text, r#"rcptd_build_info{version=""#);
        assert!(!text.contains(r#"listener="from the start, too",op="stats""#), "socketmap has no stats");
    }

    #[test]
    fn exports_counted_requests() {
        let metrics = Arc::new(Metrics::default());
        let meter = metrics.listener("tcp_table", "counted");
        let mut connection = meter.connection();
        let began = connection.read_ends();
        connection.answered(Counted::TempFail, began);
        connection.answered(Counted::Stats, began);
        connection.write_begins();
        let server = metrics.outage("counted", Some("a:1"));
        server.fails(&"down");
        let text = text(&metrics);
        for (start, want) in [
            (r#"rcptd_requests_total{listener="counted",op="get",verdict="tempfail"} "#, "1"),
            (r#"rcptd_requests_total{listener="counted",op="other",verdict="bad"} "#, "0"),
            (r#"rcptd_requests_total{listener="counted",op="stats",verdict="found"} "#, "1"),
            (r#"rcptd_request_duration_seconds_count{listener="counted"} "#, "2"),
            (r#"rcptd_request_duration_seconds_bucket{le="+Inf",listener="counted"} "#, "2"),
            (r#"rcptd_request_duration_seconds_bucket{le="10.0",listener="counted"} "#, "2"),
            (r#"rcptd_connections{listener="counted"} "#, "1"),
            (r#"rcptd_connections_accepted_total{listener="counted"} "#, "1"),
            (r#"rcptd_reads_total{listener="counted"} "#, "1"),
            (r#"rcptd_writes_total{listener="counted"} "#, "1"),
            (r#"rcptd_source_failures_total{source="counted",server="a:1"} "#, "1"),
            (r#"rcptd_source_failing{source="counted",server="a:1"} "#, "1"),
        ] {
            assert_eq!(value(&text, start), want, "{start}");
        }
    }
}
