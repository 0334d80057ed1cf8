//! Any text as the name of an image, a repository, a tag or a digest: what is read is shown as it was read, in full and as people
//! write it.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    images::fuzzing::reference(text);
});
