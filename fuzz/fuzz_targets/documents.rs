//! Any bytes as a manifest, an index or the configuration of an image: what the image store reads means the same to the
//! registry, and is read back as the same once it is written. `fuzz/documents.dict` has the words.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    images::fuzzing::document(bytes);
    images::fuzzing::config(bytes);
});
