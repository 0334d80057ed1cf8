//! `.deb`: an ar(5) archive of a version, a control archive and the files (deb(5)).
//!
//! Only the files are read here; everything else is for the distribution's own dpkg(1), in a container.

use crate::packing::Packing;
use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// Bytes of the head of a member.
const HEAD_BYTES: usize = 60;
/// Members that are looked at.
const MEMBERS_MAX: usize = 16;
/// Bytes of the member that says the version.
const VERSION_BYTES_MAX: u64 = 1 << 10;

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Finds the files of a package: an archive for tar(1), unpacked as it is read.
///
/// # Errors
/// It is no package, or one that is packed in a way that is not known.
pub fn files<'r>(mut input: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(wrong("it is no Debian package: it does not begin as one"));
    }
    for _ in 0..MEMBERS_MAX {
        let mut head = [0; HEAD_BYTES];
        input
            .read_exact(&mut head)
            .map_err(|_| wrong("it has no data.tar, which holds a package's files"))?;
        let (name, size) = member(&head)?;
        if name == "debian-binary" {
            let mut version = Vec::new();
            if size > VERSION_BYTES_MAX {
                return Err(wrong("its member debian-binary is too big"));
            }
            input.by_ref().take(size).read_to_end(&mut version)?;
            if !version.starts_with(b"2.") {
                return Err(wrong("it is of a version of the format other than 2"));
            }
            skip(&mut input, size % 2)?;
        } else if let Some(end) = name.strip_prefix("data.tar") {
            let packing = Packing::of_end(end);
            let packing = packing.ok_or_else(|| {
                wrong(&format!("its files are packed as {end:?}; gz, xz and zst are known"))
            })?;
            return packing.unpack(input.take(size));
        } else {
            skip(&mut input, size + size % 2)?;
        }
    }
    Err(wrong("it has too many members before data.tar"))
}

/// Name and size of a member.
fn member(head: &[u8; HEAD_BYTES]) -> io::Result<(&str, u64)> {
    let text = std::str::from_utf8(head).map_err(|_| wrong("the head of a member is no text"))?;
    if !text.ends_with("`\n") {
        return Err(wrong("the head of a member does not end as one"));
    }
    let name = text.get(..16).unwrap_or_default().trim_end().trim_end_matches('/');
    let size = text.get(48..58).and_then(|size| size.trim_end().parse().ok());
    Ok((name, size.ok_or_else(|| wrong("a member has no size"))?))
}

fn skip(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.by_ref().take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(wrong("it ends in the middle")) }
}

/// Looks at any bytes as a package, for fuzzers; reads at most so many bytes out of it.
pub fn look_at(bytes: &[u8], bytes_max: u64) {
    if let Ok(files) = files(bytes) {
        let mut archive = tar::Archive::new(files.take(bytes_max));
        let entries = archive.entries().map(|entries| entries.take_while(Result::is_ok).count());
        let _ = entries;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write as _;

    /// An ar archive of these members.
    pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, bytes) in members {
            out.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes(),
            );
            out.extend(*bytes);
            out.resize(out.len().next_multiple_of(2), b'\n');
        }
        out
    }

    fn read(package: &[u8]) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        let mut reader = files(package).map_err(|error| error.to_string())?;
        reader.read_to_end(&mut all).map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn files_are_found_however_they_are_packed() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"files").unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(b"files".as_slice(), 1).unwrap();
        // `printf files | xz -0`: a writer of xz is not carried along.
        let xz = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, XZ_FILES).unwrap();
        for (name, data) in [
            ("data.tar", b"files".as_slice()),
            ("data.tar.gz", &gzip),
            ("data.tar.zst", &zstd),
            ("data.tar.xz/", &xz),
        ] {
            let package = ar(&[("debian-binary", b"2.0\n"), ("control.tar", b"odd"), (name, data)]);
            assert_eq!(read(&package), Ok(b"files".to_vec()), "{name}");
        }
    }

    #[test]
    fn what_is_no_package_is_refused_with_a_reason() {
        for (package, told) in [
            (b"!<arch?\n and more".to_vec(), "does not begin"),
            (ar(&[("debian-binary", b"2.0\n")]), "no data.tar"),
            (ar(&[("debian-binary", b"3.0\n")]), "version"),
            (ar(&[("debian-binary", b"2.0\n"), ("data.tar.lzma", b"")]), "\".lzma\""),
            ([MAGIC.as_slice(), &[b'x'; 60]].concat(), "does not end as one"),
            (ar(&[("control.tar", b"1234")])[..70].to_vec(), "middle"),
        ] {
            let error = read(&package).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    const XZ_FILES: &str =
        "/Td6WFoAAATm1rRGAgAhAQwAAACPmEGcAQAEZmlsZXMAAAAA6Z4sMLPWxLoAAR0FuC2Arx+2830BAAAAAARZWg==";
}
