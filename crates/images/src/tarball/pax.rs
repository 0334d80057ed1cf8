//! PAX records: what stands in front of an entry and counts for more than its header (pax(1) of POSIX.1-2017).

use super::{Entry, Record, TarError};
use crate::sparse;

/// Splits PAX records: `LENGTH KEY=VALUE\n`, the length counting all of it.
pub(super) fn records(mut bytes: &[u8]) -> Result<Vec<Record>, TarError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&byte| byte == b' ').ok_or(TarError::Pax)?;
        let length = decimal(&bytes[..space]).and_then(|n| usize::try_from(n).ok()).ok_or(TarError::Pax)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(TarError::Pax);
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(TarError::Pax)?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Ok(records)
}

/// A number of digits alone.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `SECONDS[.FRACTION]`, possibly negative.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(9)];
    let nanos: u32 = format!("{kept:0<9}").parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

/// Lays PAX records over the header's fields. What they say of a sparse file is returned.
pub(super) fn apply(entry: &mut Entry, records: &[Record]) -> Result<Option<sparse::Records>, TarError> {
    let id =
        |value: &[u8], name| decimal(value).and_then(|n| u32::try_from(n).ok()).ok_or(TarError::Number(name));
    let mut sparse = sparse::Collected::default();
    for (key, value) in records {
        match key.as_slice() {
            // An empty value takes a record back.
            _ if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") => {}
            b"path" => entry.path.clone_from(value),
            b"linkpath" => entry.link.clone_from(value),
            b"size" => {
                let size = decimal(value).filter(|size| i64::try_from(*size).is_ok());
                entry.size = size.ok_or(TarError::Number("size"))?;
            }
            b"uid" => entry.uid = id(value, "uid")?,
            b"gid" => entry.gid = id(value, "gid")?,
            b"mtime" => entry.mtime = time(value).ok_or(TarError::Number("mtime"))?,
            b"GNU.sparse.name" => entry.path.clone_from(value),
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    entry.xattrs.push((name.to_vec(), value.clone()));
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    sparse.add(name, value)?;
                }
            }
        }
    }
    sparse.finish()
}
