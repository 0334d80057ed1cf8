//! Requests that carry who sends them: AWS Signature Version 4, as every store with S3's API reads it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>). Pure: the time comes in.

use aws_lc_rs::{digest, hmac};
use base::Time;
use std::fmt::Write;

/// Whose requests they are.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    /// Of keys that are lent for a while.
    pub(super) token: Option<String>,
}

/// What is signed of a request.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// Escaped, as it is sent.
    pub(super) path: &'a str,
    /// Names and values of the query, sorted by name.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Further headers, in small letters.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// The headers that a request gets: names in small letters, and values.
pub(super) fn headers(keys: &Keys, region: &str, now: Time, request: &Signed<'_>) -> Vec<(String, String)> {
    let (year, month, day, hour, minute, second) = now.civil();
    let date = format!("{year:04}{month:02}{day:02}");
    let stamp = format!("{date}T{hour:02}{minute:02}{second:02}Z");
    let hash = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    let mut all: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.push(("host".to_owned(), request.host.to_owned()));
    all.push(("x-amz-content-sha256".to_owned(), hash.clone()));
    all.push(("x-amz-date".to_owned(), stamp.clone()));
    if let Some(token) = &keys.token {
        all.push(("x-amz-security-token".to_owned(), token.clone()));
    }
    all.sort();
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = all.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical =
        format!("{}\n{}\n{}\n{lines}\n{names}\n{hash}", request.method, request.path, query(request.query));
    let scope = format!("{date}/{region}/s3/aws4_request");
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for part in [&date, region, "s3", "aws4_request", &text] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={}",
        keys.id,
        hex(&key)
    );
    all.push(("authorization".to_owned(), authorization));
    all
}

/// A query as it is sent and signed.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escape(name, false), escape(value, false));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Escapes all but RFC 3986's unreserved letters, and slashes where they are those of a path.
pub(super) fn escape(text: &str, is_path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if is_path => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification's own page.
    fn signature(request: &Signed<'_>) -> String {
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let then = Time::parse_rfc3339("2013-05-24T00:00:00Z").unwrap();
        let signed = headers(&keys, "us-east-1", then, request);
        let (_, line) = signed.iter().find(|(name, _)| name == "authorization").unwrap();
        line.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        let get = Signed {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            headers: &[("range", "bytes=0-9")],
            body: b"",
        };
        assert_eq!(signature(&get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let put = Signed {
            method: "PUT",
            path: &escape("/test$file.text", true),
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            body: b"Welcome to Amazon S3.",
            ..get
        };
        assert_eq!(signature(&put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
        let list = Signed {
            method: "GET",
            path: "/",
            query: &[("max-keys", "2"), ("prefix", "J")],
            headers: &[],
            body: b"",
            ..put
        };
        assert_eq!(signature(&list), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }
}
