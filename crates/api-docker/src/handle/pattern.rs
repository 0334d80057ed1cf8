//! Patterns of names in filters: a part of the name, or a small regular expression.
//!
//! Literals, `.`, `[a-z]`, `\` before a literal, `*`, `+`, `?` after any of these, `^`, `$` and `|` are understood. Groups and
//! counted repetition are refused by name.

use platform::Error;

/// Characters of a pattern.
const PATTERN_CHARS_MAX: usize = 256;

/// One place of a pattern and how often it may be filled.
#[derive(Clone, Debug)]
struct Place {
    kind: Kind,
    min: usize,
    many: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Any,
    One(char),
    Set { ranges: Vec<(char, char)>, negated: bool },
}

#[derive(Clone, Debug, Default)]
struct Branch {
    places: Vec<Place>,
    from_start: bool,
    to_end: bool,
}

/// A pattern that was read.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Branch>);

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Pattern, Error> {
        let refused =
            |what: &str| Error::not_supported(format!("the pattern \"{text}\" is not supported yet: {what}"));
        if text.chars().count() > PATTERN_CHARS_MAX {
            return Err(refused("it is too long"));
        }
        let mut branches = vec![Branch::default()];
        let mut chars = text.chars().peekable();
        while let Some(next) = chars.next() {
            let Some(branch) = branches.last_mut() else { break };
            let kind = match next {
                '^' => {
                    branch.from_start = true;
                    continue;
                }
                '$' => {
                    branch.to_end = true;
                    continue;
                }
                '|' => {
                    branches.push(Branch::default());
                    continue;
                }
                '(' | ')' | '{' | '}' => return Err(refused("groups and counts are not understood")),
                '*' | '+' | '?' => return Err(refused("a repetition of nothing")),
                '.' => Kind::Any,
                '[' => set(&mut chars).ok_or_else(|| refused("a set without an end"))?,
                '\\' => match chars.next() {
                    Some(literal) if !literal.is_ascii_alphanumeric() => Kind::One(literal),
                    _ => return Err(refused("classes of characters are not understood")),
                },
                literal => Kind::One(literal),
            };
            let (min, many) = match chars.peek() {
                Some('*') => (0, true),
                Some('+') => (1, true),
                Some('?') => (0, false),
                _ => (1, false),
            };
            if min == 0 || many {
                chars.next();
            }
            branch.places.push(Place { kind, min, many });
        }
        Ok(Pattern(branches))
    }

    /// Whether the pattern is found in a text.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.0.iter().any(|branch| {
            let last = if branch.from_start { 0 } else { text.len() };
            (0..=last).any(|start| {
                ends(&branch.places, &text, start).any(|end| !branch.to_end || end == text.len())
            })
        })
    }
}

/// Where a match that begins at `start` can end. All positions are carried side by side, so that no pattern takes
/// longer than its length times the text's.
fn ends(places: &[Place], text: &[char], start: usize) -> impl Iterator<Item = usize> {
    let mut at = vec![false; text.len() + 1];
    at[start] = true;
    for place in places {
        let mut next = if place.min == 0 { at.clone() } else { vec![false; text.len() + 1] };
        for (index, letter) in text.iter().enumerate() {
            if (at[index] || (place.many && next[index])) && place.kind.fits(*letter) {
                next[index + 1] = true;
            }
        }
        at = next;
    }
    at.into_iter().enumerate().filter_map(|(index, reached)| reached.then_some(index))
}

impl Kind {
    fn fits(&self, letter: char) -> bool {
        match self {
            Kind::Any => true,
            Kind::One(wanted) => *wanted == letter,
            Kind::Set { ranges, negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter)) != *negated
            }
        }
    }
}

fn set(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Kind> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let first = chars.next()?;
        if first == ']' && !ranges.is_empty() {
            return Some(Kind::Set { ranges, negated });
        }
        let mut last = first;
        if chars.peek() == Some(&'-') {
            chars.next();
            match chars.next()? {
                ']' => {
                    ranges.extend([(first, first), ('-', '-')]);
                    return Some(Kind::Set { ranges, negated });
                }
                end => last = end,
            }
        }
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_anchors_fit_as_in_docker() {
        for (pattern, text, fits) in [
            ("web", "my-web-1", true),
            ("^web$", "web", true),
            ("^/web$", "web", false),
            ("^web$", "web1", false),
            ("w.b", "wxb", true),
            ("web[0-9]+$", "web12", true),
            ("web[^0-9]", "web1", false),
            ("a|^b", "xb", false),
            ("a|^b", "bx", true),
            ("^a*b?$", "aaab", true),
            (r"a\.b", "axb", false),
            ("", "anything", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().fits(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in ["(a)", "a{2}", "*", r"\d", "[a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
