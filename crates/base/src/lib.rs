//! `base`: to be written.
