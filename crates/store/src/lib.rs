//! `store`: to be written.
