//! The terminal in front of the user: its size, raw mode, and always back to how it was.

use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, IsTerminal};
use std::sync::Mutex;

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

/// How the terminal was before raw mode; none while it is as it was.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, until it is dropped.
pub(crate) struct Raw(());

impl Raw {
    /// Sets raw mode where standard input is a terminal.
    pub(crate) fn set() -> Option<Raw> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().ok()? = Some(before);
        let set = termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        let raw = Raw(());
        set.is_ok().then_some(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// What is typed is not shown, until it is dropped.
pub(crate) struct Hidden(());

impl Hidden {
    /// Hides it where standard input is a terminal.
    pub(crate) fn set() -> Option<Hidden> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes -= termios::LocalModes::ECHO;
        *BEFORE.lock().ok()? = Some(before);
        let set = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &hidden);
        let hidden = Hidden(());
        set.is_ok().then_some(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves raw mode, for whoever ends this process without returning.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        // There is nobody left to tell if the terminal has gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &before);
    }
}
