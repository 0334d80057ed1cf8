//! Paragraphs of fields, the form in which archives tell everything: `Release`, `Packages` (deb822(5)).

use std::io::{self, BufRead};

/// Bytes of one paragraph. The longest are `Release` files, a line for each file of an archive.
const PARAGRAPH_BYTES_MAX: usize = 32 << 20;
/// Fields of one paragraph.
const FIELDS_MAX: usize = 1000;

/// What is wrong with a file of paragraphs.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It cannot be read, or unpacked.
    #[error("line {line}")]
    Read {
        /// The line.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// A line is neither a field nor a continuation.
    #[error("line {line} is neither a field nor the continuation of one: {text:?}")]
    NoField {
        /// The line.
        line: usize,
        /// The beginning of it.
        text: String,
    },
    /// A field stands twice in one paragraph.
    #[error("line {line} has the field {name} a second time")]
    Twice {
        /// The line.
        line: usize,
        /// The field.
        name: String,
    },
    /// A paragraph is bigger than any that makes sense.
    #[error("the paragraph that ends in line {line} is too big")]
    TooBig {
        /// The line.
        line: usize,
    },
}

/// One paragraph: fields by their names, which may be written in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// The value of a field; the lines of a longer one end with line feeds.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The words of a field; none where there is no such field.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).unwrap_or_default().split_whitespace()
    }

    fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Reads paragraphs one after the other.
#[derive(Debug)]
pub struct Paragraphs<R> {
    input: R,
    line: usize,
}

impl<R: BufRead> Paragraphs<R> {
    /// Reads from the front.
    pub fn new(input: R) -> Paragraphs<R> {
        Paragraphs { input, line: 0 }
    }

    /// The next paragraph; none at the end.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn read(&mut self) -> Result<Option<Paragraph>, Malformed> {
        let mut paragraph = Paragraph::default();
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let ended = read_line(&mut self.input, &mut bytes)
                .map_err(|source| Malformed::Read { line: self.line + 1, source })?;
            self.line += 1;
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\n', '\r', ' ', '\t']);
            if text.is_empty() {
                if !paragraph.fields.is_empty() {
                    return Ok(Some(paragraph));
                }
                if ended {
                    return Ok(None);
                }
                continue;
            }
            self.take(text, &mut paragraph)?;
            if paragraph.bytes_are_too_many(bytes.len()) {
                return Err(Malformed::TooBig { line: self.line });
            }
        }
    }

    fn take(&self, text: &str, paragraph: &mut Paragraph) -> Result<(), Malformed> {
        if text.starts_with('#') {
            return Ok(());
        }
        if text.starts_with([' ', '\t']) {
            if let Some((_, value)) = paragraph.fields.last_mut() {
                value.push('\n');
                value.push_str(text.trim_start());
                return Ok(());
            }
        } else if let Some((name, value)) = text.split_once(':').filter(|(name, _)| is_name(name)) {
            if paragraph.get(name).is_some() {
                return Err(Malformed::Twice { line: self.line, name: name.to_owned() });
            }
            paragraph.fields.push((name.to_owned(), value.trim().to_owned()));
            return Ok(());
        }
        Err(Malformed::NoField { line: self.line, text: text.chars().take(40).collect() })
    }
}

impl Paragraph {
    /// Looked at only now and then, as counting takes its time.
    fn bytes_are_too_many(&self, last_line: usize) -> bool {
        let last = self.fields.last().map_or(0, |(_, value)| value.len());
        self.fields.len() > FIELDS_MAX
            || last_line > PARAGRAPH_BYTES_MAX
            || last > PARAGRAPH_BYTES_MAX
            || (self.fields.len() % 100 == 99 && self.bytes() > PARAGRAPH_BYTES_MAX)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
}

/// Reads one line, as long as a paragraph may be; tells whether the input has ended.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    use io::Read as _;
    let bound = PARAGRAPH_BYTES_MAX as u64 + 1;
    let read = input.by_ref().take(bound).read_until(b'\n', line)?;
    Ok(read == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Paragraph>, Malformed> {
        let mut paragraphs = Paragraphs::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(paragraph) = paragraphs.read()? {
            all.push(paragraph);
        }
        Ok(all)
    }

    #[test]
    fn fields_and_their_continuations_are_read() {
        let all = read(
            "\n# a note\nPackage: dash\nDepends: a,\n b\nSHA256:\n 12 3 x\n 45 6 y\n\n \nPackage:bash\n",
        )
        .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("package"), Some("dash"));
        assert_eq!(all[0].get("Depends"), Some("a,\nb"));
        assert_eq!(all[0].words("SHA256").collect::<Vec<_>>(), ["12", "3", "x", "45", "6", "y"]);
        assert_eq!((all[1].get("Package"), all[1].get("Version")), (Some("bash"), None));
    }

    #[test]
    fn what_is_no_paragraph_is_refused_with_its_line() {
        for (text, told) in [
            ("A: b\nnonsense\n", "line 2 is neither"),
            (" continued\n", "line 1 is neither"),
            ("A: b\na: c\n", "line 2 has the field a a second time"),
            (": x\n", "line 1 is neither"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut paragraphs = Paragraphs::new(bytes.as_slice());
            while let Ok(Some(_)) = paragraphs.read() {}
        }
    }
}
