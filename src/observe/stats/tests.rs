use super::format::float;
use super::*;
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One connection that sends two requests and remains open; reported 61 s later.
fn example() -> [Report; 8] {
    let mut figures = Figures::new(ms(100_500));
    figures.begins(Category::Connections, ms(100_500));
    figures.begins(Category::Reads, ms(100_500));
    figures.ends(Category::Reads, ms(100_750), ms(250));
    figures.ends(Category::Success, ms(100_751), Duration::from_nanos(12_500));
    figures.begins(Category::Writes, ms(100_751));
    figures.ends(Category::Writes, ms(100_752), ms(1));
    figures.begins(Category::Reads, ms(100_752));
    figures.ends(Category::Reads, ms(158_752), ms(58_000));
    figures.ends(Category::Bad, ms(159_002), ms(250));
    figures.ends(Category::TempFail, ms(159_002), ms(250));
    figures.begins(Category::Writes, ms(159_002));
    figures.ends(Category::Writes, ms(159_003), ms(1));
    figures.begins(Category::Reads, ms(159_003));
    // In the current second, so not in the reports yet.
    figures.ends(Category::Stats, ms(160_100), ms(1));
    figures.reports(ms(160_500))
}

#[test]
fn formats_lines_as_trualias() {
    assert_eq!(
        lines(&example()),
        [
            "bad: emin=0.0000 emax=0.2500 e1=0.2500 e10=0.0250 e60=0.0042 nmin=0 nmax=1 n1=1.0000 n10=0.1000 n60=0.0167",
            "connections: emin=0.0000 emax=0.0000 e1=0.0000 e10=0.0000 e60=0.0000 dmin=1 dmax=1 d1=1.0000 d10=1.0000 d60=1.0000 nmin=0 nmax=1 n1=0.0000 n10=0.0000 n60=0.0167",
            "not_found: emin=0.0000 emax=0.0000 e1=0.0000 e10=0.0000 e60=0.0000 nmin=0 nmax=0 n1=0.0000 n10=0.0000 n60=0.0000",
            "reads: emin=0.0000 emax=58.0000 e1=0.0000 e10=5.8000 e60=0.9708 dmin=0 dmax=1 d1=1.0000 d10=0.9000 d60=0.9833 nmin=0 nmax=2 n1=1.0000 n10=0.1000 n60=0.0500",
            "stats: emin=0.0000 emax=0.0000 e1=0.0000 e10=0.0000 e60=0.0000 nmin=0 nmax=0 n1=0.0000 n10=0.0000 n60=0.0000",
            "success: emin=0.0000 emax=0.0000 e1=0.0000 e10=0.0000 e60=0.0000 nmin=0 nmax=1 n1=0.0000 n10=0.0000 n60=0.0167",
            "writes: emin=0.0000 emax=0.0010 e1=0.0010 e10=0.0001 e60=0.0000 dmin=0 dmax=0 d1=0.0000 d10=0.0000 d60=0.0000 nmin=0 nmax=1 n1=1.0000 n10=0.1000 n60=0.0333",
        ]
    );
    assert_eq!(
        example()[7].line(),
        "tempfail: emin=0.0000 emax=0.2500 e1=0.2500 e10=0.0250 e60=0.0042 nmin=0 nmax=1 n1=1.0000 n10=0.1000 n60=0.0167"
    );
}

#[test]
fn formats_json_as_trualias() {
    let want = concat!(
        r#"[{"name": "connections", "elapsed": {"minimum": 0.0, "maximum": 0.0, "one": 0.0, "ten": 0.0, "sixty": 0.0}, "#,
        r#""depth": {"minimum": 1, "maximum": 1, "one": 1, "ten": 1.0, "sixty": 1.0}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 1, "one": 0, "ten": 0.0, "sixty": 0.016666666666666666}}, "#,
        r#"{"name": "reads", "elapsed": {"minimum": 0.0, "maximum": 58.0, "one": 0.0, "ten": 5.8, "sixty": 0.9708333333333333}, "#,
        r#""depth": {"minimum": 0, "maximum": 1, "one": 1, "ten": 0.9, "sixty": 0.9833333333333333}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 2, "one": 1, "ten": 0.1, "sixty": 0.05}}, "#,
        r#"{"name": "writes", "elapsed": {"minimum": 0.0, "maximum": 0.001, "one": 0.001, "ten": 0.0001, "sixty": 3.3333333333333335e-05}, "#,
        r#""depth": {"minimum": 0, "maximum": 0, "one": 0, "ten": 0.0, "sixty": 0.0}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 1, "one": 1, "ten": 0.1, "sixty": 0.03333333333333333}}, "#,
        r#"{"name": "success", "elapsed": {"minimum": 0.0, "maximum": 1.25e-05, "one": 0.0, "ten": 0.0, "sixty": 2.0833333333333333e-07}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 1, "one": 0, "ten": 0.0, "sixty": 0.016666666666666666}}, "#,
        r#"{"name": "not_found", "elapsed": {"minimum": 0.0, "maximum": 0.0, "one": 0.0, "ten": 0.0, "sixty": 0.0}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 0, "one": 0, "ten": 0.0, "sixty": 0.0}}, "#,
        r#"{"name": "bad", "elapsed": {"minimum": 0.0, "maximum": 0.25, "one": 0.25, "ten": 0.025, "sixty": 0.004166666666666667}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 1, "one": 1, "ten": 0.1, "sixty": 0.016666666666666666}}, "#,
        r#"{"name": "stats", "elapsed": {"minimum": 0.0, "maximum": 0.0, "one": 0.0, "ten": 0.0, "sixty": 0.0}, "#,
        r#""n_per_sec": {"minimum": 0, "maximum": 0, "one": 0, "ten": 0.0, "sixty": 0.0}}]"#,
    );
    assert_eq!(json(&example()), want);
}

/// Expected values are those of Python 3.
#[test]
fn formats_floats_as_python() {
    for (x, want) in [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-4, "0.0001"),
        (1.25e-4, "0.000125"),
        (9.999e-5, "9.999e-05"),
        (1e-5, "1e-05"),
        (5e-324, "5e-324"),
        (123_456_789.0, "123456789.0"),
        (9_999_999_999_999_998.0, "9999999999999998.0"),
        (1e16, "1e+16"),
        (1.5e22, "1.5e+22"),
        (1e100, "1e+100"),
        (-0.5, "-0.5"),
        (-1e-7, "-1e-07"),
    ] {
        assert_eq!(float(x), want);
    }
    // Halves are rounded to the even digit, as in Python.
    assert_eq!(format!("{:.4} {:.4}", 0.03125, 0.09375), "0.0312 0.0938");
}

/// Model that stores all events and counts them again for each report.
struct Model {
    now: u64,
    events: Vec<(u64, Category, Option<Duration>)>,
}

impl Model {
    fn report(&self, category: Category) -> Report {
        let of = |second| self.events.iter().filter(move |(at, of, _)| *of == category && *at == second);
        let ends = |second| of(second).filter_map(|(_, _, took)| *took);
        let starts = |second| of(second).filter(|(_, _, took)| took.is_none()).count();
        let count = |n: usize| f64::from(u32::try_from(n).unwrap());
        let elapsed = |second| match ends(second).count() {
            0 => 0.0,
            n => ends(second).sum::<Duration>().as_secs_f64() / count(n),
        };
        let depth = |second| {
            let until = |ended| {
                let events = self.events.iter();
                events
                    .filter(|(at, of, took)| *of == category && *at <= second && took.is_some() == ended)
                    .count()
            };
            count(until(false) - until(true))
        };
        let n = |second| count(if category.lasts() { starts(second) } else { ends(second).count() });
        Report {
            category,
            elapsed: self.spread(elapsed),
            depth: category.lasts().then(|| self.spread(depth)),
            n: self.spread(n),
        }
    }

    fn spread(&self, of: impl Fn(u64) -> f64) -> Spread {
        let last = |n: u64| (self.now - n..self.now).map(&of).collect::<Vec<f64>>();
        Spread {
            minimum: last(60).into_iter().reduce(f64::min).unwrap(),
            maximum: last(60).into_iter().reduce(f64::max).unwrap(),
            one: of(self.now - 1),
            ten: last(10).iter().sum::<f64>() / 10.0,
            sixty: last(60).iter().sum::<f64>() / 60.0,
        }
    }
}

/// Seconds by which the clock moves: not at all, on, by a jump, or back because it is read late.
fn moves() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0), 6 => 1..3i64, 2 => 3..70i64, 1 => 1..201i64, 1 => -5..0i64]
}

proptest! {
    // The model is slow.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reports_equal_those_of_the_model(
        steps in proptest::collection::vec((moves(), 0..8usize, any::<bool>(), 0..5_000_000u64, 0..1000u64), 1..120),
    ) {
        const START: u64 = 1000;
        let mut clock = START;
        let mut model = Model { now: START, events: Vec::new() };
        let mut figures = Figures::new(Duration::from_secs(START));
        let mut open = [0; 8];
        for (forward, which, begins, took, fraction) in steps {
            clock = clock.saturating_add_signed(forward).max(START);
            model.now = model.now.max(clock);
            let now = Duration::from_millis(clock * 1000 + fraction);
            let category = Category::ALL[which];
            if category.lasts() && (begins || open[which] == 0) {
                open[which] += 1;
                figures.begins(category, now);
                model.events.push((model.now, category, None));
            } else {
                open[which] -= i32::from(category.lasts());
                let took = Duration::from_micros(took);
                figures.ends(category, now, took);
                model.events.push((model.now, category, Some(took)));
            }
            // Not each time, since a report also closes seconds.
            if fraction < 100 {
                let got = figures.reports(now);
                prop_assert_eq!(got, Category::ALL.map(|category| model.report(category)));
            }
        }
        let got = figures.reports(Duration::from_secs(model.now));
        let want = Category::ALL.map(|category| model.report(category));
        prop_assert_eq!(got, want);
        prop_assert_eq!(lines(&got), lines(&want));
    }
}

#[test]
fn limits_work_and_counts() {
    assert_eq!(SECONDS, 60);
    // A jump of the clock takes at most the work of one minute, and counts do not overflow.
    let mut figures = Figures::new(Duration::ZERO);
    figures.ends(Category::Connections, Duration::ZERO, Duration::MAX);
    figures.ends(Category::Connections, Duration::ZERO, Duration::MAX);
    let report = figures.reports(Duration::MAX)[0];
    assert!(report.line().contains(" dmax=0 "), "more ends than starts");
    figures.begins(Category::Reads, Duration::MAX);
    assert!(figures.reports(Duration::MAX)[1].line().contains(" nmax=0 "), "the running second is left out");
}
