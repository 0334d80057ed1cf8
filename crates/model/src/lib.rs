//! `model`: to be written.
