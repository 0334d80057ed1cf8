//! `plan`: to be written.
