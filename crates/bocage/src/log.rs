//! The daemon's own log: one line an event, on standard error, which whoever started the daemon sends where they like.

use std::str::FromStr;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging at `level` (`error`, `warn`, `info`, `debug`, `trace`, `off`).
///
/// # Errors
/// The level is none of these.
pub(crate) fn start(level: &str) -> Result<(), String> {
    let level = match level {
        // Docker's words for two of them.
        "fatal" => "error",
        "warning" => "warn",
        other => other,
    };
    let level = LevelFilter::from_str(level)
        .map_err(|_| format!("--log-level {level:?} is none of error, warn, info, debug, trace, off"))?;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    Ok(())
}
