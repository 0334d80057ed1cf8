//! Any bytes where messages of DNS are read: what containers ask, and what other servers answer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    traffic::fuzzing::query(bytes);
    traffic::fuzzing::answer(bytes);
});
