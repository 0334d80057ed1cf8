//! The keys with which the user leaves a container running: `ctrl-p,ctrl-q` unless others are chosen.
//!
//! They are looked for on this side, so that the end of a stream never has to be guessed at: either the user left, or the container
//! ended. The daemon is told the same keys and never sees them.

use crate::failure::Failure;

/// What is looked for, and how much of it was typed already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    sequence: Vec<u8>,
    typed: usize,
}

/// What becomes of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// What goes on to the container.
    pub(crate) onward: Vec<u8>,
    /// Whether the user leaves.
    pub(crate) leaves: bool,
}

impl Keys {
    /// Reads keys as `docker` writes them: characters or `ctrl-` with a letter or one of `@[\]^_`, between commas.
    ///
    /// # Errors
    /// They are not written so.
    pub(crate) fn parse(text: Option<&str>) -> Result<Keys, Failure> {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("ctrl-p,ctrl-q");
        let code = |key: &str| match key.as_bytes() {
            [one] => Some(*one),
            [b'c', b't', b'r', b'l', b'-', key @ (b'a'..=b'z' | b'@' | b'['..=b'_')] => Some(key & 0x1f),
            _ => None,
        };
        let sequence = text.split(',').map(code).collect::<Option<Vec<u8>>>();
        let sequence = sequence.ok_or_else(|| {
            Failure::new(format!("invalid detach keys {text:?}"))
                .with_hint("write keys between commas, as in ctrl-p,ctrl-q or ctrl-a,d")
        })?;
        Ok(Keys { sequence, typed: 0 })
    }

    /// Takes what was typed. What may still become the sequence is held back until the next key.
    pub(crate) fn take(&mut self, input: &[u8]) -> Typed {
        let mut onward = Vec::with_capacity(input.len());
        for byte in input {
            if *byte == self.sequence[self.typed] {
                self.typed += 1;
                if self.typed == self.sequence.len() {
                    return Typed { onward, leaves: true };
                }
            } else {
                let held = std::mem::take(&mut self.typed);
                onward.extend_from_slice(&self.sequence[..held]);
                if *byte == self.sequence[0] {
                    self.typed = 1;
                } else {
                    onward.push(*byte);
                }
            }
        }
        Typed { onward, leaves: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: Option<&str>, pieces: &[&str]) -> (String, bool) {
        let mut keys = Keys::parse(keys).unwrap();
        let mut all = String::new();
        for piece in pieces {
            let typed = keys.take(piece.as_bytes());
            all.push_str(&String::from_utf8(typed.onward).unwrap());
            if typed.leaves {
                return (all, true);
            }
        }
        (all, false)
    }

    #[test]
    fn the_sequence_leaves_however_it_is_cut_to_pieces() {
        assert_eq!(typed(None, &["ls\r\u{10}\u{11}rest"]), ("ls\r".to_owned(), true));
        assert_eq!(typed(None, &["a\u{10}", "\u{11}"]), ("a".to_owned(), true));
        assert_eq!(typed(Some("ctrl-a,x"), &["\u{1}", "\u{1}x"]), ("\u{1}".to_owned(), true));
        assert_eq!(typed(Some("q"), &["abq"]), ("ab".to_owned(), true));
    }

    #[test]
    fn what_only_began_like_it_goes_on() {
        assert_eq!(typed(None, &["\u{10}", "a\u{11}"]), ("\u{10}a\u{11}".to_owned(), false));
        assert_eq!(typed(None, &["\u{10}\u{10}\u{11}"]), ("\u{10}".to_owned(), true));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        assert!(Keys::parse(Some("ctrl-")).is_err() && Keys::parse(Some("shift-a")).is_err());
        assert_eq!(Keys::parse(Some("ctrl-@,ctrl-[,ctrl-_")).unwrap().sequence, [0, 27, 31]);
    }
}
