//! Any bytes as the configuration of a bundle: read, understood, refused or turned into what a shim is told, without a
//! panic; and what is kept of it beside the container is read back as the same. `fuzz/config.dict` has the words.

#![no_main]

use runtime::bundle::config::Config;
use runtime::bundle::convert::{Given, setup};
use std::path::PathBuf;
use std::sync::LazyLock;

/// A bundle with nothing in it but a root.
static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("bocage-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("rootfs")).expect("a folder can be made");
    folder
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = Config::parse(bytes) else { return };
    let kept = serde_json::to_vec(&config).expect("a configuration can be written");
    assert_eq!(serde_json::from_slice::<Config>(&kept).expect("it can be read again"), config);
    let given = Given {
        id: "fuzz".to_owned(),
        bundle: BUNDLE.clone(),
        directory: BUNDLE.join("state"),
        ..Given::default()
    };
    if let Ok(told) = setup(&config, &given) {
        assert!(!told.process.args.is_empty() && told.process.cwd.is_absolute());
        assert!(told.mounts.iter().all(|mount| mount.target.is_absolute()), "{:?}", told.mounts);
    }
});
