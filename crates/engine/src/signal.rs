//! Signals as clients name them.

pub(crate) use base::signal::{KILL, TERM};
use platform::Error;

/// The number of a signal that a user named.
pub(crate) fn parse(text: &str) -> Result<i32, Error> {
    base::signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}
