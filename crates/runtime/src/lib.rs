//! `runtime`: to be written.
