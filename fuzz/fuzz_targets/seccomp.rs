//! Any text as a profile of system calls: what is read must compile to a program that the kernel takes and that does
//! what the profile says. `fuzz/seccomp.dict` has the words, `fuzz/seeds/seccomp` profiles to begin with.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runtime::seccomp::fuzzing::check(bytes);
});
