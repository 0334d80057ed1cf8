//! Binary data as text between two lines of dashes (RFC 9580, 6.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Takes the data out of the lines between `BEGIN` and `END`, given without these two. The checksum at the end is optional and says
/// nothing that a signature does not say better (6.1): it is left out.
///
/// # Errors
/// What is wrong with it.
pub(super) fn data<'t>(lines: impl Iterator<Item = &'t str>) -> Result<Vec<u8>, String> {
    let mut in_headers = true;
    let mut text = String::new();
    for line in lines.map(str::trim) {
        if in_headers {
            // `Version: …`, up to an empty line; lines of the data have no colon.
            if line.is_empty() || !line.contains(": ") {
                in_headers = false;
            } else {
                continue;
            }
        }
        if line.starts_with('=') {
            break;
        }
        text.push_str(line);
    }
    STANDARD.decode(&text).map_err(|error| format!("its base64 is broken: {error}"))
}

/// Takes the data of every armored block of one kind out of a text; none where there is no block.
///
/// # Errors
/// A block is broken.
pub(super) fn blocks(text: &str, kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("-----BEGIN PGP {kind}-----"), format!("-----END PGP {kind}-----"));
    let mut lines = text.lines().map(str::trim_end);
    let mut blocks = Vec::new();
    while lines.by_ref().any(|line| line == begin) {
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line == end => break,
                Some(line) => block.push(line),
                None => return Err(format!("it ends before {end}")),
            }
        }
        blocks.push(data(block.into_iter())?);
    }
    Ok(blocks)
}
