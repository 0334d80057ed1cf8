//! `sys`: to be written.
