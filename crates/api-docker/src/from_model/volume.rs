//! Volumes as they are shown.

use super::signed;
use crate::wire::volume::{VolumeInspect, VolumeRoom};
use base::Time;
use platform::Volume;

/// Docker's mark of a volume whose name was made up.
pub(crate) const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
/// Of which volume a snapshot is.
const SNAPSHOT_OF: &str = "bocage.snapshot-of";

/// A volume as it is inspected and listed.
pub(crate) fn volume(volume: &Volume) -> VolumeInspect {
    let spec = &volume.intent.spec;
    let mut labels = spec.labels.clone();
    if spec.anonymous {
        labels.insert(ANONYMOUS_LABEL.to_owned(), String::new());
    }
    if let Some(of) = &spec.snapshot_of {
        labels.insert(SNAPSHOT_OF.to_owned(), of.clone());
    }
    VolumeInspect {
        // To the second, as Docker tells it.
        created_at: Time::from_unix_seconds(volume.intent.created.unix_seconds()).to_string(),
        driver: "local".to_owned(),
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        mountpoint: volume.path.clone(),
        name: volume.intent.name.clone(),
        options: Some(spec.options.clone()).filter(|options| !options.is_empty()),
        scope: "local".to_owned(),
        usage_data: None,
    }
}

/// The same with what it takes on the disk; -1 where that is not known.
pub(crate) fn volume_with_room(of: &Volume) -> VolumeInspect {
    let size = of.bytes.map_or(-1, signed);
    let room = VolumeRoom { ref_count: signed(of.containers.len() as u64), size };
    VolumeInspect { usage_data: Some(room), ..volume(of) }
}
