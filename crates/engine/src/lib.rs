//! `engine`: to be written.
