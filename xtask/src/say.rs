//! What the tool prints: results on standard output, what it is doing on standard error.

/// Prints one line of a result.
#[expect(clippy::print_stdout, reason = "the one place of the tool that prints results")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what is being done now.
#[expect(clippy::print_stderr, reason = "the one place of the tool that prints progress")]
pub(crate) fn step(text: &str) {
    eprintln!("xtask: {text}");
}

/// Prints what went wrong.
#[expect(clippy::print_stderr, reason = "the one place of the tool that prints errors")]
pub(crate) fn error(text: &str) {
    eprintln!("{text}");
}
