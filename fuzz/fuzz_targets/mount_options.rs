//! Any words as the options of a mount: they never contradict each other, and the last on a matter counts.

#![no_main]

use runtime::setup::{Attributes, Change, Options};

/// Words of mount(8) for one attribute each, with what sets it and what clears it.
const OPPOSITES: [(&str, &str, Attributes); 6] = [
    ("ro", "rw", Attributes::READ_ONLY),
    ("nosuid", "suid", Attributes::NO_SET_USER_ID),
    ("nodev", "dev", Attributes::NO_DEVICES),
    ("noexec", "exec", Attributes::NO_EXECUTE),
    ("nodiratime", "diratime", Attributes::NO_DIRECTORY_ACCESS_TIME),
    ("nosymfollow", "symfollow", Attributes::NO_SYMBOLIC_LINKS),
];

/// What is set is not cleared, but for the way of keeping times of access: the kernel wants it cleared as a whole first.
fn agrees(change: &Change) {
    let cleared = change.clear.without(Attributes::ACCESS_TIME);
    assert_eq!(change.set.without(cleared), change.set, "{change:?}");
    let way = change.set.without(change.set.without(Attributes::ACCESS_TIME));
    assert!(way.is_empty() || change.clear.contains(Attributes::ACCESS_TIME), "{change:?}");
    let both = Attributes::NO_ACCESS_TIME.and(Attributes::STRICT_ACCESS_TIME);
    assert!(!change.set.contains(both), "two ways of keeping times of access: {change:?}");
}

/// The last word on an attribute is what is done to it.
fn last_counts(words: &[&str], change: &Change, prefix: &str) {
    for (set, clear, attribute) in OPPOSITES {
        let is = |word: &&&str, of: &str| word.strip_prefix(prefix) == Some(of);
        let last = words.iter().rev().find(|word| is(word, set) || is(word, clear));
        let sets = last.is_some_and(|word| is(&word, set));
        assert_eq!(change.set.contains(attribute), sets, "{set} in {words:?}");
        assert_eq!(change.clear.contains(attribute), last.is_some() && !sets, "{clear} in {words:?}");
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let words: Vec<&str> = text.split([',', ' ', '\n']).collect();
    let options = Options::parse(words.iter().copied());
    agrees(&options.mount);
    agrees(&options.tree);
    last_counts(&words, &options.mount, "");
    last_counts(&words, &options.tree, "r");
    // Said twice it means the same, where no word goes into a list.
    let twice = Options::parse(words.iter().chain(&words).copied());
    assert_eq!((&twice.mount, &twice.tree), (&options.mount, &options.tree), "{words:?}");
    assert!(options.data.len() + options.passing.len() <= words.len());
});
