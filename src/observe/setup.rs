//! Where the log goes.

use std::io::{self, IsTerminal};
pub use tracing::Level;
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{filter::LevelFilter, filter::Targets, util::SubscriberInitExt};

/// Sends the log of the process to standard error or to journald, from `level` up. To be called once.
///
/// The libraries below are heard from `warn` up, whatever the level: at `debug` one of them logs each line of
/// SMTP.
pub fn init(journald: bool, level: Level) -> io::Result<()> {
    let filter = Targets::new()
        .with_default(level.min(Level::WARN))
        .with_target("rcptd", LevelFilter::from_level(level));
    let registry = tracing_subscriber::registry().with(filter);
    let result = if journald {
        registry.with(tracing_journald::layer()?.with_syslog_identifier("rcptd".into())).try_init()
    } else {
        // Under systemd standard error goes to the journal, which has a clock of its own and reads the level
        // from a prefix (sd-daemon(3)).
        let plain = std::env::var_os("JOURNAL_STREAM").is_some();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_span_events(FmtSpan::NONE)
            .with_ansi(!plain && io::stderr().is_terminal());
        if plain {
            registry.with(layer.event_format(Prefixed)).try_init()
        } else {
            registry.with(layer.with_target(false)).try_init()
        }
    };
    result.map_err(io::Error::other)
}

/// `<6>message`, with the priority of syslog(3).
struct Prefixed;

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
