//! Names of images, as people write them and as they are kept.
//!
//! `nginx` means `docker.io/library/nginx:latest`. The grammar is that of the distribution project's reference
//! documentation; messages are the ones that Docker's users know.

use model::Digest;
use std::fmt;
use std::str::FromStr;

/// The registry of names without one, the older name of it, and its directory of names without one.
const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const DEFAULT_DIRECTORY: &str = "library/";
/// The tag of names without one.
const DEFAULT_TAG: &str = "latest";
/// Bytes that domain and path may have together.
const NAME_BYTES_MAX: usize = 255;
/// Bytes that a tag may have.
const TAG_BYTES_MAX: usize = 128;

/// Why a text is no name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// Its path has capital letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Its domain and path are too long.
    #[error("repository name must not be more than {NAME_BYTES_MAX} characters")]
    TooLong,
    /// It looks like an id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
}

/// The name of an image: domain and path, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as a person writes it. No tag is added.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Reference, BadReference> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadReference::LooksLikeId(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| BadReference::Format)?)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path = match domain == DEFAULT_DOMAIN && !path.contains('/') {
            true => format!("{DEFAULT_DIRECTORY}{path}"),
            false => path.to_owned(),
        };
        if path.chars().any(char::is_uppercase) {
            return Err(BadReference::Uppercase(path));
        }
        if !is_domain(&domain) || !path.split('/').all(is_component) || !tag.is_none_or(is_tag) {
            return Err(BadReference::Format);
        }
        if domain.len() + 1 + path.len() > NAME_BYTES_MAX {
            return Err(BadReference::TooLong);
        }
        Ok(Reference { domain, path, tag: tag.map(str::to_owned), digest })
    }

    /// Itself, with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The registry: a host, maybe with a port, or `docker.io`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository as its registry knows it: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and repository: `docker.io/library/nginx`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The same repository with another tag and no digest.
    ///
    /// # Errors
    /// When it is no tag.
    pub fn tagged(&self, tag: &str) -> Result<Reference, BadReference> {
        if !is_tag(tag) {
            return Err(BadReference::Format);
        }
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with a digest and no tag.
    #[must_use]
    pub fn digested(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Its tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Its digest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether it has neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Whether both name the same repository, whatever tag or digest they have.
    pub fn same_repository(&self, other: &Reference) -> bool {
        self.domain == other.domain && self.path == other.path
    }

    /// The repository as people write it: without the default registry, unless the rest would mean something else.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.full_name();
        }
        let short = self.path.strip_prefix(DEFAULT_DIRECTORY).filter(|rest| !rest.contains('/'));
        let short = short.unwrap_or(&self.path);
        // A directory of the default registry may look like a registry, and a repository like an id.
        match Reference::parse(short) {
            Ok(read) if read.same_repository(self) => short.to_owned(),
            _ => self.full_name(),
        }
    }

    /// All of it as people write it.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    /// In full: `docker.io/library/nginx:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = BadReference;
    fn from_str(text: &str) -> Result<Reference, BadReference> {
        Reference::parse(text)
    }
}

/// The registry that a name or a word begins with, Docker's where it names none, and what stands behind it. What stands before the
/// first slash is a registry if it could not be a directory of Docker's.
pub fn split_domain(text: &str) -> (String, &str) {
    let looks_like_domain = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
    };
    match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN.to_owned(), rest),
        Some((first, rest)) if looks_like_domain(first) => (first.to_owned(), rest),
        _ => (DEFAULT_DOMAIN.to_owned(), text),
    }
}

fn is_domain(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let digits = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return !address.is_empty()
            && digits
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inside && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Letters and digits, with single separators between them: `.`, `_`, `__` or any number of `-`.
pub(crate) fn is_component(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(is_word) || !bytes.last().is_some_and(is_word) {
        return false;
    }
    bytes.split(is_word).all(|separator| match separator {
        b"" | b"." | b"_" | b"__" => true,
        other => other.iter().all(|&byte| byte == b'-'),
    })
}

pub(crate) fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    bytes.next().is_some_and(is_word)
        && text.len() <= TAG_BYTES_MAX
        && bytes.all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_of_the_default_registry_that_looks_like_something_else_is_shown_in_full() {
        let id = "0".repeat(64);
        for text in
            ["docker.io/other.example/app", "docker.io/localhost/app", &format!("docker.io/library/{id}")]
        {
            let name = Reference::parse(text).unwrap();
            assert_eq!(
                (name.familiar().as_str(), Reference::parse(&name.familiar())),
                (text, Ok(name.clone()))
            );
        }
        assert_eq!(Reference::parse("docker.io/library/nginx:1").unwrap().familiar(), "nginx:1");
    }

    #[test]
    fn short_names_mean_the_default_registry_and_are_shown_short() {
        for (written, full, familiar) in [
            ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine", "nginx:1.27-alpine"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("host:5000/a/b_c__d--e.f:T_1", "host:5000/a/b_c__d--e.f:T_1", "host:5000/a/b_c__d--e.f:T_1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ] {
            let reference = Reference::parse(written).unwrap().with_default_tag();
            assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar));
        }
    }

    #[test]
    fn a_digest_is_part_of_a_name() {
        let digest = Digest::from_sha256([7; 32]);
        let reference = Reference::parse(&format!("nginx:1@{digest}")).unwrap();
        assert_eq!((reference.digest(), reference.tag()), (Some(digest), Some("1")));
        assert_eq!(reference.familiar(), format!("nginx:1@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused_in_the_words_that_users_know() {
        for bad in [
            "",
            ":latest",
            "a:",
            "a b",
            "-a",
            "a/",
            "/a",
            "a//b",
            "a..b",
            "a___b",
            "a@sha256:1",
            "a:b:c",
            "host:x/a",
        ] {
            let error = Reference::parse(bad).unwrap_err();
            assert_eq!(error.to_string(), "invalid reference format", "{bad:?}");
        }
        let error = Reference::parse("Nginx").unwrap_err().to_string();
        assert_eq!(error, "invalid reference format: repository name (library/Nginx) must be lowercase");
        assert_eq!(Reference::parse(&format!("{}a", "a/".repeat(130))), Err(BadReference::TooLong));
        assert!(matches!(Reference::parse(&"ab".repeat(32)), Err(BadReference::LooksLikeId(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(text in "([a-z]{1,5}[.:/]){0,3}[a-z0-9]{1,5}(:[a-zA-Z0-9_.-]{1,5})?") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.familiar()), Ok(reference.clone()));
                prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Reference::parse(&text);
        }
    }
}
