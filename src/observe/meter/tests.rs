use super::*;

fn depths(meter: &Meter) -> [u32; 3] {
    let figures = &lock(&meter.books).figures;
    [Category::Connections, Category::Reads, Category::Writes].map(|category| figures.depth(category))
}

#[test]
fn returns_one_meter_for_each_name() {
    let one = Meter::listener("tcp_table", "one meter a name");
    assert!(Arc::ptr_eq(&one, &Meter::listener("tcp_table", "one meter a name")));
    assert!(Arc::ptr_eq(&one, &Meter::listener("socketmap", "one meter a name")));
    assert!(!Arc::ptr_eq(&one, &Meter::map("one meter a name")));
    assert!(meters().iter().any(|meter| Arc::ptr_eq(meter, &one)));
}

#[test]
fn counts_reads_writes_and_results_of_a_connection() {
    let meter = Meter::listener("tcp_table", "a connection in the books");
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
    let meter = Meter::listener("tcp_table", "whatever ends a connection");
    for step in 0..5 {
        let of = meter.clone();
        let ended = std::thread::spawn(move || {
            let mut connection = of.connection();
            match step {
                0 => (),
                1 => connection.read_begins(),
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
    let meter = Meter::map("buckets");
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
fn formats_a_line_for_operators() {
    let meter = Meter::listener("socketmap", "for people");
    let connection = meter.connection();
    let text = meter.to_string();
    let want = "socketmap for people: 1 open, 0 answered (0 found, 0 not found, 0 temporary failures, 0 bad)";
    assert!(text.starts_with(want), "{text}");
    drop(connection);
    let map = Meter::map("for people");
    let took = Instant::now();
    map.answered(Counted::Found, took);
    let text = map.to_string();
    assert!(
        text.starts_with("map for people: 1 answered (1 found, 0 not found, 0 temporary failures), 0.0"),
        "{text}"
    );
}

#[test]
fn keeps_totals_while_disabled() {
    let meter = Meter::listener("tcp_table", "switched off");
    meter.record(false);
    let mut connection = meter.connection();
    let began = connection.read_ends();
    connection.answered(Counted::Found, began);
    assert_eq!((meter.lines(), meter.json(), meter.report_lines()), (None, None, Vec::new()));
    let totals = meter.totals();
    assert_eq!((totals.open, totals.reads, totals.answered[0]), (1, 1, 1), "the metrics go on");
    assert!(!meter.to_string().contains("a second"), "{meter}");
    // Enabled again: open connections are still counted.
    meter.record(true);
    assert_eq!(depths(&meter), [1, 0, 0]);
    assert_eq!(meter.lines().map(|lines| lines.len()), Some(7));
    assert!(meter.json().is_some_and(|json| json.starts_with("[{\"name\": \"connections\", ")));
    let names = |meter: &Meter| -> Vec<String> {
        meter.report_lines().iter().filter_map(|line| line.split(':').next().map(Into::into)).collect()
    };
    assert_eq!(names(&meter).last().map(String::as_str), Some("tempfail"));
    assert_eq!(names(&Meter::map("switched off")), ["success", "not_found", "tempfail"]);
}
