//! The terminal in front of the user: its size, raw mode, and always back to how it was.

use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, IsTerminal};

/// Whether standard input and output are terminals.
pub(crate) fn is_input() -> bool {
    io::stdin().is_terminal()
}

pub(crate) fn is_output() -> bool {
    io::stdout().is_terminal()
}

/// Rows and columns.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(io::stdout()).or_else(|_| termios::tcgetwinsize(io::stdin())).ok()?;
    (size.ws_row > 0).then_some((size.ws_row, size.ws_col))
}

/// Raw mode, until it is dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Sets raw mode where standard input is a terminal.
    pub(crate) fn set() -> Option<Raw> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell if the terminal has gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
