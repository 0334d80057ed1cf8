//! What another implementation has signed (`tests/signed`, made by its `make.sh`), and what a key of our own has.

#[path = "../../tests/common/signer.rs"]
mod signer;

use super::*;
use signer::Signer as Key;

const KEYRING: &[u8] = include_bytes!("../../tests/signed/keyring.gpg");
const ARMORED: &[u8] = include_bytes!("../../tests/signed/keyring.asc");
/// Two days after everything was signed, and long after one of the keys has expired.
const NOW: i64 = 1_767_225_600 + 2 * 86_400;
const LATER: i64 = 1_793_491_200;

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../tests/signed/", $name, ".txt"))
    };
}

fn verify(keyring: &[u8], text: &str, now: i64, patient: bool) -> Result<String, String> {
    let keyring = Keyring::parse(keyring).map_err(|error| error.to_string())?;
    let message = Cleartext::parse(text).map_err(|error| error.to_string())?;
    let signer = keyring.verify(&message, Time::from_unix_seconds(now), patient);
    signer.map(|signer| signer.user).map_err(|error| error.to_string())
}

#[test]
fn what_gnupg_has_signed_is_believed() {
    let user = |text| verify(KEYRING, text, NOW, false).unwrap();
    assert_eq!(user(text!("rsa")), "Subkey RSA <rsa@example>");
    assert_eq!(user(text!("ed")), "Ed25519 <ed@example>");
    assert_eq!(user(text!("both")), "Subkey RSA <rsa@example>");
    // One known signer of two is enough.
    assert_eq!(verify(ARMORED, text!("both"), NOW, false).unwrap(), "Ed25519 <ed@example>");
    let message = Cleartext::parse(text!("ed")).unwrap();
    assert!(message.text.contains("\n- a dash\n-- two\n"), "{}", message.text);
    assert!(message.text.contains("at its end\n"), "{}", message.text);
}

#[test]
fn a_signature_that_does_not_count_says_why() {
    let refused = |text: &str, why: &str| {
        let told = verify(KEYRING, text, NOW, false).unwrap_err();
        assert!(told.contains(why), "{told}");
    };
    refused(text!("weak"), "SHA-1, which is too weak");
    refused(text!("stranger"), "the keyring does not have the key");
    refused(text!("revoked"), "is revoked");
    refused(text!("small"), "RSA of fewer than 2048 bits");
    let told = verify(KEYRING, text!("expired"), LATER, false).unwrap_err();
    assert!(told.contains("has expired"), "{told}");
    assert_eq!(verify(KEYRING, text!("expired"), LATER, true).unwrap(), "Expired <expired@example>");
    let told = verify(KEYRING, text!("ed"), NOW - 30 * 86_400, false).unwrap_err();
    assert!(told.contains("is from the future"), "{told}");
}

#[test]
fn every_change_of_the_text_is_seen() {
    for text in [text!("both"), text!("rsa"), text!("ed")] {
        for (from, to) in
            [("stable", "stabel"), ("Codename: test\n", ""), ("- -- two", "- - two"), ("UTC\n", "UTC\n\n")]
        {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let told = verify(KEYRING, &changed, NOW, false).unwrap_err();
            assert!(told.contains("is wrong: the text was changed"), "{from:?}: {told}");
        }
    }
}

#[test]
fn text_that_nobody_signed_is_refused() {
    let text = text!("ed");
    for (changed, why) in [
        (format!("Suite: evil\n{text}"), "it is not signed"),
        (format!("{text}Suite: evil\n"), "behind the signature"),
        (text.replacen("Hash: SHA512\n", "Hash: SHA512\nSuite: evil\n", 1), "header"),
        (text.replacen("- - a dash", "- a dash\n-a", 1), "begins with a dash"),
        (text[..text.len() / 2].to_owned(), "it ends before"),
        ("Suite: stable\n".to_owned(), "it is not signed"),
        (text.replacen("-----BEGIN PGP SIGNATURE-----\n", "-----BEGIN PGP SIGNATURE-----\n\n?", 1), "base64"),
    ] {
        let told = verify(KEYRING, &changed, NOW, false).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[test]
fn what_is_no_keyring_is_refused() {
    let told = |bytes: &[u8]| Keyring::parse(bytes).unwrap_err().to_string();
    assert!(told(b"\0\0\0\x20\x01\x01\0\0KBXf\0\0\0\0").contains("gpg --export"));
    assert!(told(b"hello").contains("it is no keyring"));
    assert!(told(b"").contains("no key"));
    assert!(told(&KEYRING[..KEYRING.len() - 3]).contains("in the middle"));
}

#[test]
fn keys_of_both_versions_are_understood() {
    for version in [4, 6] {
        let key = Key::new(3, version);
        let signed = key.sign("Suite: x\nCodename: y\n", 1_767_225_600);
        assert_eq!(
            verify(&key.keyring(), &signed, NOW, false).unwrap(),
            "A test <test@example>",
            "{version}"
        );
        assert!(verify(&key.keyring(), &signed.replace("Suite: x", "Suite: z"), NOW, false).is_err());
        assert!(verify(&Key::new(4, version).keyring(), &signed, NOW, false).is_err());
    }
}

/// Somebody else's signing key, put into one's own certificate, must not make his signatures one's own.
#[test]
fn no_bit_of_a_keyring_can_be_changed_for_a_signature_to_be_another_s() {
    let user = "Subkey RSA <rsa@example>";
    for at in (0..KEYRING.len()).step_by(7) {
        let mut changed = KEYRING.to_vec();
        changed[at] ^= 0x10;
        // It is either still the same key's, or refused.
        if let Ok(found) = verify(&changed, text!("rsa"), NOW, false) {
            assert_eq!(found, user, "byte {at}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        look_at(&bytes);
        look_at(&[KEYRING, &bytes].concat());
    }
}
