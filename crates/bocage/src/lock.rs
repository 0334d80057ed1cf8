//! One process for each data root and each exec root.
//!
//! A lock of flock(2) says that a root is in use: the kernel gives it back when its holder dies, however it dies. The file
//! holds the process id for the one who is refused.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// A root that this process has to itself until the lock is dropped.
pub(crate) struct Lock(File);

/// Takes a root. `hint` says what to do when somebody else has it.
///
/// # Errors
/// In words for the user: who has it, or why it cannot be used.
pub(crate) fn take(root: &Path, what: &str, hint: &str) -> Result<Lock, String> {
    std::fs::create_dir_all(root).map_err(|error| format!("make the {what} {}: {error}", root.display()))?;
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| format!("open {}: {error}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        return Err(format!(
            "the {what} {} is in use by the process with id {}: {hint}",
            root.display(),
            pid.trim()
        ));
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(Lock(file))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Not removed: who opened it before would then hold a lock that nobody else can see.
        let _ = self.0.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_with_the_first_ones_process_id() {
        let root = std::env::temp_dir().join(format!("bocage-lock-{}", std::process::id()));
        let first = take(&root, "data root", "stop it").map_err(|error| assert_eq!(error, "")).ok();
        let refusal = take(&root, "data root", "stop it").err().unwrap_or_default();
        assert!(refusal.contains(&format!("process with id {}", std::process::id())), "{refusal}");
        drop(first);
        assert!(take(&root, "data root", "stop it").is_ok());
        let _ = std::fs::remove_dir_all(&root);
    }
}
