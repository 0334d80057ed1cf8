//! Why a command failed, and with which exit code.

/// A failed command, in words for the person in front of the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What failed and why; empty if everything was said already.
    pub(crate) message: String,
    /// The daemon's status, if it was the daemon that refused.
    pub(crate) status: Option<u16>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// Whether it helps to see how the command is written.
    pub(crate) usage: bool,
}

/// The exit code of a command line that makes no sense, or of a container that could not be started.
pub(crate) const REFUSED: u8 = 125;

impl Failure {
    /// A failure of this command.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into(), status: None, hint: None, usage: false }
    }

    /// A refusal of the daemon.
    pub(crate) fn daemon(status: u16, message: &str) -> Failure {
        let message = format!("Error response from daemon: {message}");
        Failure { code: 1, message, status: Some(status), hint: None, usage: false }
    }

    /// Ends with an exit code and no word.
    pub(crate) fn silent(code: u8) -> Failure {
        Failure { code, message: String::new(), status: None, hint: None, usage: false }
    }

    /// The same with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// The same with a word on what to do next.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// The same, told with how the command is written.
    pub(crate) fn with_usage(self) -> Failure {
        Failure { usage: true, ..self }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::new(message)
    }
}
