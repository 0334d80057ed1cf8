//! Any bytes as what an archive of packages sends: signed texts and keyrings, `Release` and `Packages`, a package. Nothing of it may
//! panic, or take more memory than its bounds say; versions must be in an order. `crates/bootstrap/tests/signed` has texts to begin with.

#![no_main]

use bootstrap::index::Index;
use bootstrap::release::Release;
use bootstrap::version::Version;
use bootstrap::{deb, openpgp, resolve};

/// Bytes that are read out of one package.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    openpgp::look_at(bytes);
    deb::look_at(bytes, UNPACKED_BYTES_MAX);
    let text = String::from_utf8_lossy(bytes);
    let _ = Release::parse(&text, "fuzz");
    let mut index = Index::default();
    if index.add(bytes, "fuzz", "amd64", 0).is_ok() {
        let wishes: Vec<String> = index.packages().map(|package| package.name.clone()).take(3).collect();
        if let Ok(chosen) = resolve::choose(&index, &wishes) {
            assert!(wishes.iter().all(|wish| chosen.names().any(|name| name == wish)));
        }
    }
    let mut parts = text.split('\n').map(Version::new);
    if let (Some(one), Some(other)) = (parts.next(), parts.next()) {
        assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
    }
});
