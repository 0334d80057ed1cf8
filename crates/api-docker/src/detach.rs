//! The keys with which a client leaves a terminal: `ctrl-p,ctrl-q` unless it names others.

use platform::Error;

/// The keys, and how many of them were just typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Reads keys separated by commas: single characters, or `ctrl-` and one of `a-z@[\]^_`.
    pub(crate) fn parse(text: &str) -> Result<DetachKeys, Error> {
        if text.is_empty() {
            return Ok(DetachKeys { keys: vec![0x10, 0x11], typed: 0 });
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        let keys = keys.ok_or_else(|| Error::invalid(format!("Invalid detach keys ({text}) provided")))?;
        Ok(DetachKeys { keys, typed: 0 })
    }

    /// Takes what was typed and gives what goes on to the container. True at the end means that the client leaves.
    ///
    /// Keys that began the sequence and were not followed by its rest go on late.
    pub(crate) fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(input.len() + self.typed);
        for &byte in input {
            if byte == self.keys[self.typed] {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.typed]);
            self.typed = usize::from(byte == self.keys[0]);
            if self.typed == 0 {
                out.push(byte);
            }
        }
        (out, false)
    }
}

fn key(word: &str) -> Option<u8> {
    if let [byte] = word.as_bytes() {
        return Some(*byte);
    }
    match word.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        [mark @ b'['..=b'_'] => Some(mark - b'[' + 27),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_taken_out_even_when_it_comes_in_pieces() {
        let mut keys = DetachKeys::parse("").unwrap();
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (vec![], true));
    }

    #[test]
    fn the_beginning_of_the_sequence_goes_on_when_something_else_follows() {
        let mut keys = DetachKeys::parse("ctrl-p,ctrl-q").unwrap();
        assert_eq!(keys.filter(b"\x10x\x10\x10\x11"), (b"\x10x\x10".to_vec(), true));
    }

    #[test]
    fn keys_that_do_not_exist_are_refused_by_name() {
        assert_eq!(DetachKeys::parse("ctrl-1").unwrap_err().message, "Invalid detach keys (ctrl-1) provided");
        assert_eq!(DetachKeys::parse("a,ctrl-[").unwrap().keys, [b'a', 27]);
    }
}
