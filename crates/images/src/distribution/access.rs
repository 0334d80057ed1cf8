//! Who may do what: users with passwords, and what each may do in which repositories.
//!
//! ```text
//!  Authorization: Basic  -> password verified (argon2), remembered for as long as the process lives --> user --> rights
//!                 Bearer -> a token that was given out for a password, or for none -------------------> user
//!                 none   -> anonymous
//! ```
//!
//! A file of users has lines of `name:hash` or `name:hash:rights`. Rights are words of the form `pull=PATTERN`, where `*` in
//! a pattern stands for anything; `push` allows to pull as well, `delete` allows both. Without rights, a user may do everything.
//!
//! Tokens are there because Docker's client, once it is told that a registry takes passwords, sends nothing without one: only
//! with tokens can it pull as nobody and push as somebody.

use super::names::Repository;
use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a token is good.
pub(crate) const TOKEN_KEPT: Duration = Duration::from_secs(15 * 60);
/// Passwords and tokens that are remembered.
const KNOWN_MAX: usize = 10_000;
/// Bytes of a password.
const PASSWORD_BYTES_MAX: usize = 1024;
/// The name of who gave none.
const ANONYMOUS: &str = "anonymous";

/// What a request does to a repository; each includes those before.
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

/// What somebody may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(Vec<(Action, String)>);

impl Rights {
    /// Everything, everywhere.
    pub fn all() -> Rights {
        Rights(vec![(Action::Delete, "*".to_owned())])
    }

    /// To pull from the repositories that fit a pattern.
    pub fn pull(pattern: &str) -> Rights {
        Rights(vec![(Action::Pull, pattern.to_owned())])
    }

    fn parse(text: &str) -> Result<Rights, String> {
        let one = |word: &str| {
            let (action, pattern) = word.split_once('=').unwrap_or((word, ""));
            let action = match action {
                "pull" => Action::Pull,
                "push" => Action::Push,
                "delete" => Action::Delete,
                _ => {
                    return Err(format!(
                        "{word:?} is no right: pull=PATTERN, push=PATTERN or delete=PATTERN"
                    ));
                }
            };
            if pattern.is_empty() {
                return Err(format!("{word:?} names no repository: `{word}=*` means all of them"));
            }
            Ok((action, pattern.to_owned()))
        };
        text.split_whitespace().map(one).collect::<Result<_, _>>().map(Rights)
    }

    fn allow(&self, action: Action, repository: &Repository) -> bool {
        self.0.iter().any(|(upto, pattern)| action <= *upto && fits(pattern, repository.as_str()))
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    rights: Rights,
}

impl User {
    /// As messages call them.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is not known who they are.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether nothing is kept from them.
    pub(crate) fn may_everything(&self) -> bool {
        self.rights.0.iter().any(|(action, pattern)| *action == Action::Delete && pattern == "*")
    }

    /// Whether they may do it.
    pub(crate) fn may(&self, action: Action, repository: &Repository) -> bool {
        self.rights.allow(action, repository)
    }
}

/// Why a file of users cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadUsers {
    /// The line, the first one is 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// Who may do what.
pub struct Access {
    users: BTreeMap<String, Account>,
    anonymous: Rights,
    /// What is hashed with each password that is remembered, so that what is remembered is of no use elsewhere.
    salt: [u8; 32],
    /// Passwords that were verified, hashed with the salt and their user's name.
    verified: Mutex<HashMap<[u8; 32], String>>,
    tokens: Mutex<HashMap<String, Token>>,
}

struct Account {
    hash: String,
    rights: Rights,
}

struct Token {
    user: Option<String>,
    until: Instant,
}

/// What a request says of who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Nothing,
    Password {
        name: String,
        password: String,
    },
    Token(String),
    /// Something that is not understood.
    Other,
}

impl Claim {
    /// Reads an `Authorization` header (RFC 7617, RFC 6750).
    pub(crate) fn parse(header: Option<&str>) -> Claim {
        let Some(header) = header else { return Claim::Nothing };
        let (scheme, value) = header.trim().split_once(' ').unwrap_or((header, ""));
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Claim::Token(value.to_owned());
        }
        let decoded = || {
            let bytes = STANDARD.decode(value).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (name, password) = text.split_once(':')?;
            (password.len() <= PASSWORD_BYTES_MAX)
                .then(|| Claim::Password { name: name.to_owned(), password: password.to_owned() })
        };
        match scheme.eq_ignore_ascii_case("basic") {
            true => decoded().unwrap_or(Claim::Other),
            false => Claim::Other,
        }
    }
}

impl Access {
    /// Everybody may do everything: who can reach the registry is trusted.
    pub fn everyone() -> Access {
        Access::new(BTreeMap::new(), Rights::all())
    }

    /// The users of a file, and what those may do who say no name.
    ///
    /// # Errors
    /// When a line makes no sense.
    pub fn users(file: &str, anonymous: Rights) -> Result<Access, BadUsers> {
        let mut users = BTreeMap::new();
        for (number, line) in (1..).zip(file.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |why: String| BadUsers { line: number, why };
            let (name, account) = account(line).map_err(bad)?;
            if users.insert(name.clone(), account).is_some() {
                return Err(bad(format!("there is a user {name:?} already")));
            }
        }
        Ok(Access::new(users, anonymous))
    }

    fn new(users: BTreeMap<String, Account>, anonymous: Rights) -> Access {
        let salt = base::random::bytes();
        Access { users, anonymous, salt, verified: Mutex::default(), tokens: Mutex::default() }
    }

    /// Whether a client has to ask for a token before it asks for anything else.
    pub(crate) fn wants_tokens(&self) -> bool {
        !self.users.is_empty() && self.anonymous != Rights::default()
    }

    /// Whether there are passwords at all.
    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Who sends a request. `None` if they are not who they say; verifying a password takes a while, and blocks.
    pub(crate) fn user(&self, claim: &Claim, now: Instant) -> Option<User> {
        match claim {
            Claim::Nothing => Some(self.anonymous()),
            Claim::Password { .. } | Claim::Token(_) if !self.has_users() => Some(self.anonymous()),
            Claim::Password { name, password } => self.verify(name, password),
            Claim::Token(token) => {
                let user = lock(&self.tokens).get(token).filter(|token| token.until > now)?.user.clone();
                user.map_or_else(|| Some(self.anonymous()), |name| self.named(&name))
            }
            Claim::Other => None,
        }
    }

    /// Whether that is quickly told: no password has to be verified for it.
    pub(crate) fn is_known(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Password { name, password } => {
                !self.has_users() || lock(&self.verified).contains_key(&self.remembered(name, password))
            }
            _ => true,
        }
    }

    /// A token for a user.
    pub(crate) fn token(&self, user: &User, now: Instant) -> String {
        let token: String = base::random::bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut tokens = lock(&self.tokens);
        if tokens.len() >= KNOWN_MAX {
            tokens.retain(|_, token| token.until > now);
        }
        if tokens.len() >= KNOWN_MAX {
            // Those who had one ask for another.
            tokens.clear();
        }
        let name = (!user.is_anonymous()).then(|| user.name.clone());
        tokens.insert(token.clone(), Token { user: name, until: now + TOKEN_KEPT });
        token
    }

    fn anonymous(&self) -> User {
        User { name: ANONYMOUS.to_owned(), rights: self.anonymous.clone() }
    }

    fn named(&self, name: &str) -> Option<User> {
        let account = self.users.get(name)?;
        Some(User { name: name.to_owned(), rights: account.rights.clone() })
    }

    fn verify(&self, name: &str, password: &str) -> Option<User> {
        let remembered = self.remembered(name, password);
        if lock(&self.verified).contains_key(&remembered) {
            return self.named(name);
        }
        // For a name that is none, another user's hash is verified: the time does not tell which names there are.
        let account = self.users.get(name);
        let hash = account.or_else(|| self.users.values().next()).map(|account| account.hash.as_str())?;
        let hash = PasswordHash::new(hash).ok()?;
        let verified = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        if !verified || account.is_none() {
            return None;
        }
        let mut known = lock(&self.verified);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(remembered, name.to_owned());
        drop(known);
        self.named(name)
    }

    fn remembered(&self, name: &str, password: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.salt);
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(password);
        hasher.finalize().into()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads one user's line.
fn account(line: &str) -> Result<(String, Account), String> {
    let mut fields = line.splitn(3, ':');
    let (name, hash) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    if name.is_empty() || name == ANONYMOUS {
        return Err(format!("{name:?} cannot be a user's name"));
    }
    let is_argon2 = hash.starts_with("$argon2") && PasswordHash::new(hash).is_ok();
    if !is_argon2 {
        return Err(format!(
            "the password of {name:?} is not hashed by argon2: `bocage registry password {name}` makes such a line"
        ));
    }
    let rights = fields.next().map_or_else(|| Ok(Rights::all()), Rights::parse)?;
    Ok((name.to_owned(), Account { hash: hash.to_owned(), rights }))
}

/// Hashes a password, as a line of a file of users has it.
///
/// # Errors
/// When it is too long.
pub fn hash_password(password: &str) -> Result<String, String> {
    hash_with(&Argon2::default(), password)
}

fn hash_with(argon2: &Argon2<'_>, password: &str) -> Result<String, String> {
    use argon2::password_hash::PasswordHasher;
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("a password has 1 to {PASSWORD_BYTES_MAX} bytes"));
    }
    let salt = base::random::bytes::<16>();
    let hashed = argon2.hash_password_with_salt(password.as_bytes(), &salt);
    hashed.map(|hash: PasswordHash| hash.to_string()).map_err(|error| format!("hash the password: {error}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use argon2::{Algorithm, Params, Version};
    use base::Clock;

    /// A hash that is quickly verified.
    pub(crate) fn quick_hash(password: &str) -> String {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        hash_with(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), password).unwrap()
    }

    fn may(user: &User, action: Action, repository: &str) -> bool {
        user.may(action, &repository.parse().unwrap())
    }

    fn basic(name: &str, password: &str) -> Claim {
        let header = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        Claim::parse(Some(&header))
    }

    #[test]
    fn patterns_hold_anything_where_the_star_is() {
        for (pattern, text, expected) in [
            ("*", "a/b", true),
            ("team/*", "team/a/b", true),
            ("team/*", "teams/a", false),
            ("*/app", "a/app", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("app", "app", true),
            ("app", "apple", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn users_may_do_what_their_line_says() {
        let now = Clock::system().instant();
        let file = format!(
            "# people\n\nann:{}\nbob:{}:pull=* push=bob/*\n",
            quick_hash("a:b"),
            quick_hash("secret")
        );
        let access = Access::users(&file, Rights::pull("public/*")).unwrap();
        let ann = access.user(&basic("ann", "a:b"), now).unwrap();
        assert!(may(&ann, Action::Delete, "any/thing"));
        assert!(!access.is_known(&basic("bob", "secret")));
        let bob = access.user(&basic("bob", "secret"), now).unwrap();
        assert!(access.is_known(&basic("bob", "secret")) && !access.is_known(&basic("bob", "other")));
        assert!(may(&bob, Action::Pull, "any/thing") && !may(&bob, Action::Push, "any/thing"));
        assert!(may(&bob, Action::Push, "bob/app") && !may(&bob, Action::Delete, "bob/app"));
        let nobody = access.user(&Claim::Nothing, now).unwrap();
        assert!(may(&nobody, Action::Pull, "public/a") && !may(&nobody, Action::Pull, "private"));
        for wrong in [
            basic("ann", "x"),
            basic("eve", "secret"),
            Claim::parse(Some("Digest x")),
            Claim::Token("x".into()),
        ] {
            assert_eq!(access.user(&wrong, now), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_token_stands_for_who_got_it_until_it_is_too_old() {
        let now = Clock::system().instant();
        let access = Access::users(&format!("ann:{}", quick_hash("x")), Rights::pull("*")).unwrap();
        let ann = access.user(&basic("ann", "x"), now).unwrap();
        let token = Claim::Token(access.token(&ann, now));
        assert_eq!(access.user(&token, now), Some(ann));
        assert_eq!(access.user(&token, now + TOKEN_KEPT), None);
        let nobody = access.user(&Claim::Nothing, now).unwrap();
        let token = Claim::Token(access.token(&nobody, now));
        assert_eq!(access.user(&token, now), Some(nobody));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let hash = quick_hash("x");
        for (file, line, told) in [
            ("ann:secret".to_owned(), 1, "bocage registry password ann"),
            (format!("ann:{hash}\nann:{hash}"), 2, "already"),
            (format!(":{hash}"), 1, "name"),
            (format!("anonymous:{hash}"), 1, "name"),
            (format!("\nann:{hash}:read=*"), 2, "pull=PATTERN"),
            (format!("ann:{hash}:push"), 1, "push=*"),
        ] {
            let error = Access::users(&file, Rights::default()).err().unwrap();
            assert!(error.line == line && error.why.contains(told), "{error}");
        }
        assert!(hash_password("").is_err());
    }
}
