//! The one place that prints. Everything else returns what it has to say.

#![expect(clippy::print_stderr, reason = "this is the printer")]

use std::io::{self, Write};

/// Prints a result on standard output, as it is. A reader that has gone is no error of ours.
pub(crate) fn out(text: &str) {
    raw(text.as_bytes());
}

/// Prints a line of a result.
pub(crate) fn line(text: &str) {
    out(&format!("{text}\n"));
}

/// Prints bytes of a result.
pub(crate) fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        crate::terminal::restore();
        std::process::exit(0);
    }
}

/// Prints bytes that a container wrote to its standard error.
pub(crate) fn raw_error(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

/// Tells the person in front of the terminal something that is not the result.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Tells that the command failed, why, and on further lines what to do.
pub(crate) fn error(message: &str) {
    eprintln!("bocage: {message}");
}
