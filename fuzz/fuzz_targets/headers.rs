//! Any text in the lines of requests and answers: paths, queries, `Range`, `Content-Range`, `WWW-Authenticate`, `Link` and
//! `Location`. What is understood lies within the content, and means the same once it is written again.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u64, &str)| {
    let (bytes, text) = input;
    images::fuzzing::request_headers(text, bytes);
    images::fuzzing::response_headers(text);
});
