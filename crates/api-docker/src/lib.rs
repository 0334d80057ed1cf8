//! `api-docker`: to be written.
