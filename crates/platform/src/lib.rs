//! `platform`: to be written.
