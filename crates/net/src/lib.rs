//! `net`: to be written.
