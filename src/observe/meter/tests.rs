use super::*;
use crate::observe::Metrics;

fn depths(meter: &Meter) -> [u64; 3] {
    let figures = &meter.counters().figures;
    [Category::Connections, Category::Reads, Category::Writes].map(|category| figures.count(category).depth())
}

#[test]
fn returns_one_meter_for_each_name() {
    let metrics = Metrics::default();
    let one = metrics.listener("tcp_table", "one");
    assert!(Arc::ptr_eq(&one, &metrics.listener("tcp_table", "one")));
    assert!(Arc::ptr_eq(&one, &metrics.listener("socketmap", "one")));
    assert!(!Arc::ptr_eq(&one, &metrics.map("one")));
    let names: Vec<_> = metrics.meters().iter().map(|meter| (meter.of(), meter.name().to_owned())).collect();
    assert_eq!(names, [(Of::Listener("tcp_table"), "one".into()), (Of::Map, "one".into())]);
}

#[test]
fn counts_reads_writes_and_results_of_a_connection() {
    let meter = Metrics::default().listener("tcp_table", "a connection in the counters");
    let mut connection = meter.connection();
    assert_eq!(depths(&meter), [1, 0, 0]);
    connection.read_begins();
    connection.read_begins();
    assert_eq!(depths(&meter), [1, 1, 0]);
    let began = connection.read_ends();
    connection.answered(Counted::Found, began);
    let began = connection.read_ends();
    connection.answered(Counted::TempFail, began);
    connection.write_begins();
    connection.write_begins();
    assert_eq!(depths(&meter), [1, 0, 1]);
    connection.read_begins();
    assert_eq!(depths(&meter), [1, 1, 0]);
    let totals = meter.totals();
    assert_eq!((totals.open, totals.connections, totals.reads, totals.writes), (1, 1, 3, 1));
    assert_eq!(totals.answered, [1, 0, 1, 0, 0]);
    assert_eq!(totals.buckets.iter().sum::<u64>(), 2);
    drop(connection);
    assert_eq!((depths(&meter), meter.totals().open), ([0, 0, 0], 0));
}

/// A panic must not leave a connection open in the counters, as it did in trualias' servers.
#[test]
fn panics_end_connections() {
    let meter = Metrics::default().listener("tcp_table", "whatever ends a connection");
    for step in 0..5 {
        let of = meter.clone();
        let ended = std::thread::spawn(move || {
            let mut connection = of.connection();
            match step {
                0 => (),
                1 => drop(connection.read_begins()),
                2 => drop(connection.read_ends()),
                3 => connection.write_begins(),
                _ => connection.write_ends(),
            }
            panic!("as a defect would have it");
        });
        assert!(ended.join().is_err());
        assert_eq!((depths(&meter), meter.totals().open), ([0, 0, 0], 0), "step {step}");
    }
    assert_eq!(meter.totals().connections, 5);
}

#[test]
fn sorts_times_into_buckets() {
    assert!(BUCKETS.is_sorted_by(|a, b| a < b));
    let meter = Metrics::default().map("buckets");
    let ago = |ms| Instant::now().checked_sub(Duration::from_millis(ms)).unwrap();
    for (ms, bucket) in [(4, 3), (40, 5), (600, 8), (9000, 11), (20_000, 12)] {
        meter.answered(Counted::NotFound, ago(ms));
        assert_eq!(meter.totals().buckets[bucket], 1, "{ms} ms");
    }
    assert_eq!(meter.totals().answered, [0, 5, 0, 0, 0]);
    // A time in the future counts as zero.
    meter.answered(Counted::NotFound, Instant::now() + Duration::from_secs(5));
    assert_eq!(meter.totals().buckets[0], 1);
}

#[test]
fn keeps_totals_without_statistics() {
    let metrics = Metrics::new(false);
    let meter = metrics.listener("tcp_table", "no statistics");
    let mut connection = meter.connection();
    let began = connection.read_ends();
    connection.answered(Counted::Found, began);
    assert_eq!((meter.lines(), meter.json(), meter.report_lines()), (None, None, Vec::new()));
    let totals = meter.totals();
    assert_eq!((totals.open, totals.reads, totals.answered[0]), (1, 1, 1), "the metrics go on");
}

#[test]
fn reports_the_categories_that_occur() {
    let metrics = Metrics::default();
    let meter = metrics.listener("tcp_table", "tables");
    assert_eq!(meter.lines().map(|lines| lines.len()), Some(7));
    assert!(meter.json().is_some_and(|json| json.starts_with("[{\"name\": \"connections\", ")));
    let names = |meter: &Meter| -> Vec<String> {
        meter.report_lines().iter().filter_map(|line| line.split(':').next().map(Into::into)).collect()
    };
    assert_eq!(names(&meter).last().map(String::as_str), Some("tempfail"));
    assert_eq!(names(&metrics.map("tables")), ["success", "not_found", "tempfail"]);
}

/// The two views of one count: trualias' errors include temporary failures, ours do not.
#[test]
fn quantiles_are_the_bounds_of_buckets() {
    let of = |counts: &[(usize, u64)]| {
        let mut totals = Totals::default();
        for (bucket, count) in counts {
            totals.buckets[*bucket] = *count;
        }
        [50, 90, 99].map(|percent| totals.quantile(percent).map(|time| time.as_micros()))
    };
    assert_eq!(of(&[]), [None; 3]);
    assert_eq!(of(&[(0, 1)]), [Some(50); 3]);
    assert_eq!(of(&[(0, 50), (2, 50)]), [Some(50), Some(1000), Some(1000)]);
    assert_eq!(of(&[(1, 90), (3, 9), (BUCKETS.len(), 1)]), [Some(200), Some(200), Some(5000)]);
    assert_eq!(of(&[(1, 1), (BUCKETS.len(), 99)]), [None; 3]);
}

#[test]
fn totals_and_figures_are_of_the_same_counts() {
    let meter = Metrics::default().listener("tcp_table", "views");
    let began = Instant::now();
    for (counted, times) in Counted::ALL.into_iter().zip(1..) {
        (0..times).for_each(|_| meter.answered(counted, began));
    }
    assert_eq!(meter.totals().answered, [1, 2, 3, 4, 5]);
    let figures = &meter.counters().figures;
    let ends = Category::ALL.map(|category| figures.count(category).ends);
    assert_eq!(ends, [0, 0, 0, 1, 2, 3 + 4, 5, 3]);
}
