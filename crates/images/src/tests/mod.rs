//! Tests that look at the whole crate from inside.

mod crashes;
