//! How far it is, and what the second stage says.

use crate::printer;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IsTerminal as _;

/// Lines of the second stage that are shown when it fails.
const LINES_SHOWN: usize = 12;

/// Tells how far it is: a line for each step, and what is done now where a person looks.
pub(super) struct Steps {
    quiet: bool,
    drawn: bool,
    /// What stands on the line that is drawn over.
    now: RefCell<String>,
}

impl Steps {
    pub(super) fn new(quiet: bool) -> Steps {
        Steps { quiet, drawn: std::io::stderr().is_terminal(), now: RefCell::default() }
    }

    pub(super) fn line(&self, text: &str) {
        if !self.quiet {
            self.end_line();
            printer::note(text);
        }
    }

    pub(super) fn now(&self, text: &str) {
        if !self.quiet && self.drawn && *self.now.borrow() != text {
            printer::raw_error(format!("\r\x1b[K{text}").as_bytes());
            text.clone_into(&mut self.now.borrow_mut());
        }
    }

    pub(super) fn end_line(&self) {
        if !std::mem::take(&mut *self.now.borrow_mut()).is_empty() {
            printer::raw_error(b"\r\x1b[K");
        }
    }
}

/// What the second stage says: the last lines of it, and how many packages it has set up.
#[derive(Default)]
pub(super) struct Said {
    lines: VecDeque<String>,
    rest: String,
    pub(super) set_up: usize,
    /// The lines up to the last complaint of dpkg's: what comes after is about other packages.
    complaint: Vec<String>,
}

impl Said {
    /// Takes what comes, cut wherever it may be.
    pub(super) fn push(&mut self, text: &str) {
        self.rest.push_str(text);
        while let Some((line, rest)) = self.rest.split_once('\n') {
            self.set_up += usize::from(line.starts_with("Setting up "));
            let complains = line.starts_with("dpkg: error");
            self.lines.push_back(line.trim_end().to_owned());
            if self.lines.len() > LINES_SHOWN {
                self.lines.pop_front();
            }
            if complains {
                self.complaint = self.lines.iter().cloned().collect();
            }
            self.rest = rest.to_owned();
        }
    }

    /// The lines that say best what went wrong.
    pub(super) fn why(self) -> Vec<String> {
        match self.complaint.is_empty() {
            true => self.lines.into_iter().chain([self.rest]).collect(),
            false => self.complaint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_of_dpkg_is_told_rather_than_what_comes_after() {
        let mut said = Said::default();
        said.push("Setting up a (1) ...\noh");
        said.push(" no\ndpkg: error processing package a\n");
        (0..30).for_each(|number| said.push(&format!("Setting up b{number} ...\n")));
        assert_eq!(said.set_up, 31);
        assert_eq!(said.why(), ["Setting up a (1) ...", "oh no", "dpkg: error processing package a"]);
        let mut said = Said::default();
        (0..30).for_each(|number| said.push(&format!("{number}\n")));
        said.push("end");
        assert_eq!(said.why().len(), LINES_SHOWN + 1);
    }
}
