//! `images`: to be written.
