//! `cli`: to be written.
