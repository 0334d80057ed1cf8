//! Versions of packages, and which of two is the later one (deb-version(7); Debian Policy 5.6.12).

use std::cmp::Ordering;
use std::fmt;

/// A version as it is written: `[epoch:]upstream[-revision]`. Two that are written differently can be the same one (`1.0` and `0:1.00`).
#[derive(Clone, Debug)]
pub struct Version(String);

impl Version {
    /// Takes a version as it is written.
    pub fn new(text: &str) -> Version {
        Version(text.trim().to_owned())
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Epoch, upstream version and revision. A missing epoch is 0, and a missing revision is empty, which is as early as `0`.
    fn parts(&self) -> (&str, &str, &str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("0", &self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.trim_start_matches('0'), upstream, revision)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let (ours, theirs) = (self.parts(), other.parts());
        // Numbers of any length: the longer one without zeros in front is the greater.
        let epochs = ours.0.len().cmp(&theirs.0.len()).then_with(|| ours.0.cmp(theirs.0));
        epochs.then_with(|| compare(ours.1, theirs.1)).then_with(|| compare(ours.2, theirs.2))
    }
}

/// Where a character stands among those that are no digits: a tilde before the end, letters before everything else.
fn rank(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(letter) if letter.is_ascii_alphabetic() => 2 + u16::from(letter),
        Some(other) => 0x200 + u16::from(other),
    }
}

/// Compares upstream versions, or revisions: in turn what is no digit by its characters, and what is as a number.
fn compare(ours: &str, theirs: &str) -> Ordering {
    let (mut ours, mut theirs) = (ours.as_bytes(), theirs.as_bytes());
    while !ours.is_empty() || !theirs.is_empty() {
        loop {
            let next = |rest: &[u8]| rest.first().copied().filter(|byte| !byte.is_ascii_digit());
            let (our, their) = (next(ours), next(theirs));
            if our.is_none() && their.is_none() {
                break;
            }
            match rank(our).cmp(&rank(their)) {
                Ordering::Equal => (ours, theirs) = (&ours[1..], &theirs[1..]),
                different => return different,
            }
        }
        let (our, their) = (number(&mut ours), number(&mut theirs));
        match our.len().cmp(&their.len()).then_with(|| our.cmp(their)) {
            Ordering::Equal => {}
            different => return different,
        }
    }
    Ordering::Equal
}

/// Takes the digits at the front, and gives them without zeros in front.
fn number<'t>(rest: &mut &'t [u8]) -> &'t [u8] {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    &number[number.iter().take_while(|byte| **byte == b'0').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(ours: &str, theirs: &str) -> Ordering {
        Version::new(ours).cmp(&Version::new(theirs))
    }

    #[test]
    fn a_tilde_is_earlier_than_the_end_and_letters_are_earlier_than_signs() {
        // The row of Debian Policy 5.6.12: each is earlier than the next.
        let row = ["~~", "~~a", "~", "", "a"];
        for pair in row.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(order("1.0a", "1.0+b"), Ordering::Less);
        assert_eq!(order("1.0~beta1~svn1245", "1.0~beta1"), Ordering::Less);
        assert_eq!(order("1.0~beta1", "1.0"), Ordering::Less);
    }

    #[test]
    fn digits_are_compared_as_numbers() {
        for (less, more) in [
            ("1.9", "1.10"),
            ("2.36-9+deb12u9", "2.36-9+deb12u10"),
            ("1.2-1", "1.2-1.1"),
            ("1.2-1", "1:0.1-1"),
            ("9:1", "10:1"),
            ("1.0", "1.0-1"),
            ("5.2.15-2+b7", "5.2.15-2+b10"),
            ("99999999999999999999999998", "99999999999999999999999999"),
            ("1-2-3", "1-2-4"),
            ("6.4+20221231-4", "6.4+20221231-4+deb12u1"),
        ] {
            assert_eq!(order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(order(more, less), Ordering::Greater, "{less} {more}");
        }
    }

    #[test]
    fn the_same_version_can_be_written_in_several_ways() {
        for (one, other) in
            [("1.0", "0:1.0"), ("1.00", "1.0"), ("1.0-0", "1.0"), ("00:1", "1"), ("1.", "1.0")]
        {
            assert_eq!(order(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-2a~+:.-]{0,6}", b in "[0-2a~+:.-]{0,6}", c in "[0-2a~+:.-]{0,6}") {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            if order(&a, &b) != Ordering::Greater && order(&b, &c) != Ordering::Greater {
                prop_assert_ne!(order(&a, &c), Ordering::Greater);
            }
        }
    }
}
