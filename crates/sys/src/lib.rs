//! The kernel's calls that `rustix` lacks, each behind a safe function. The only crate that writes `unsafe`.
//!
//! A function here does one call and says what the manual page says; it decides nothing. Errors are the kernel's own
//! numbers: the caller knows which operation on which object failed, and names it.

#![allow(unsafe_code, reason = "this is the crate where unsafe code stands")]

pub mod attributes;
pub mod device_filter;
pub mod filter;
pub mod link;
pub mod listener;
pub mod mount;
pub mod process;
pub mod socket;
