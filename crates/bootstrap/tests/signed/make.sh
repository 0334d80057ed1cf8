#!/bin/sh
# Makes the keys and signed texts that the tests of OpenPGP read, with GnuPG 2.2 or later: another implementation than ours.
# Run it in this folder; everything is made anew, with new keys.
set -eu
export GNUPGHOME=$(mktemp -d)
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
g() { gpg --batch --quiet --yes --pinentry-mode loopback --passphrase '' --faked-system-time 20260101T000000 "$@"; }
g --quick-gen-key 'Subkey RSA <rsa@example>' rsa3072 cert never
rsa=$(g --list-keys --with-colons rsa@example | awk -F: '/^fpr/ { print $10; exit }')
g --quick-add-key "$rsa" rsa3072 sign never
g --quick-gen-key 'Ed25519 <ed@example>' ed25519 sign never
g --quick-gen-key 'Expired <expired@example>' ed25519 sign 20260601T000000
g --quick-gen-key 'Encryption only <enc@example>' rsa2048 cert never
g --quick-gen-key 'Revoked <revoked@example>' ed25519 sign never
g --quick-gen-key 'Small <small@example>' rsa1024 sign never
g --quick-gen-key 'Stranger <stranger@example>' ed25519 sign never
printf 'Suite: stable\nCodename: test\nDescription: a line with spaces at its end \t\n- a dash\n-- two\nDate: Thu, 01 Jan 2026 00:00:00 UTC' > text
sign() { out=$1; shift; g --digest-algo "$hash" "$@" --clearsign --output "$out" text; }
hash=SHA512 sign both.txt -u rsa@example -u ed@example
hash=SHA256 sign rsa.txt -u rsa@example
hash=SHA512 sign ed.txt -u ed@example
hash=SHA1 sign weak.txt -u rsa@example
hash=SHA512 sign expired.txt -u expired@example
hash=SHA512 sign revoked.txt -u revoked@example
hash=SHA512 sign small.txt -u small@example
hash=SHA512 sign stranger.txt -u stranger@example
revoked=$(g --list-keys --with-colons revoked@example | awk -F: '/^fpr/ { print $10; exit }')
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$revoked.rev" | g --import
g --export rsa@example ed@example expired@example enc@example revoked@example small@example > keyring.gpg
g --armor --export ed@example > keyring.asc
rm text
