//! Who may do what.

use super::names::Repository;

/// What a request does to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Looks at what is there, and reads it.
    Pull,
    /// Adds to it.
    Push,
    /// Takes from it.
    Delete,
}

impl Action {
    /// As messages call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::Pull => "pull from",
            Action::Push => "push to",
            Action::Delete => "delete from",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
}

impl User {
    /// As messages call them.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do it.
    pub(crate) fn may(&self, _action: Action, _repository: &Repository) -> bool {
        true
    }
}

/// Who may do what.
#[derive(Debug, Default)]
pub struct Access {}

impl Access {
    /// Everybody may do everything: who can reach the registry is trusted.
    pub fn everyone() -> Access {
        Access {}
    }

    /// Who sends a request.
    pub(crate) fn user(&self) -> User {
        User { name: "everybody".to_owned() }
    }
}
