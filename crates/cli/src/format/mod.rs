//! How things are shown: templates, tables, and figures in words.

pub(crate) mod bars;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod ports;
pub(crate) mod table;
pub(crate) mod template;
