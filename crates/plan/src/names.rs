//! A name for a container that was given none: `adjective_surname`, of people who made computing and science.

const ADJECTIVES: [&str; 48] = [
    "able", "amber", "bold", "brave", "bright", "calm", "candid", "clever", "cosy", "curious", "daring",
    "eager", "earnest", "fair", "fond", "gentle", "glad", "happy", "honest", "jolly", "keen", "kind",
    "lively", "loyal", "lucid", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid",
    "proud", "quick", "quiet", "ready", "serene", "sharp", "sincere", "steady", "sunny", "swift", "tender",
    "tidy", "vivid", "warm", "wise",
];

const SURNAMES: [&str; 56] = [
    "abel",
    "ampere",
    "babbage",
    "bernoulli",
    "bohr",
    "boole",
    "cantor",
    "church",
    "codd",
    "curie",
    "darwin",
    "dijkstra",
    "dirac",
    "einstein",
    "euler",
    "faraday",
    "fermat",
    "feynman",
    "fourier",
    "galois",
    "gauss",
    "germain",
    "godel",
    "goldberg",
    "hamilton",
    "hamming",
    "hilbert",
    "hoare",
    "hopper",
    "jacobi",
    "kepler",
    "knuth",
    "lamarr",
    "lamport",
    "laplace",
    "leibniz",
    "liskov",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "naur",
    "newton",
    "noether",
    "pascal",
    "perlman",
    "planck",
    "poincare",
    "ramanujan",
    "ritchie",
    "shannon",
    "thompson",
    "turing",
    "volta",
    "wilkes",
    "wirth",
];

/// The name that goes with a random number. On the later attempts, when names were taken, a digit is added.
pub fn made_up(random: u64, attempt: u32) -> String {
    let adjective = ADJECTIVES[(random % ADJECTIVES.len() as u64) as usize];
    let surname = SURNAMES[(random / ADJECTIVES.len() as u64 % SURNAMES.len() as u64) as usize];
    match attempt {
        0 => format!("{adjective}_{surname}"),
        _ => format!("{adjective}_{surname}{}", random / 4096 % 10u64.pow(attempt.min(9))),
    }
}

/// Whether a container may have this name: a letter or digit, then at least one of `a-zA-Z0-9_.-`.
pub fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_made_up_name_is_valid() {
        for random in 0..10_000 {
            assert!(is_valid(&made_up(random * 7919, (random % 3) as u32)));
        }
    }

    #[test]
    fn names_with_other_characters_or_of_one_letter_are_refused() {
        for bad in ["", "a", "-a", "a/b", "a b", "é1"] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert!(is_valid("web-1.example_x"));
    }
}
