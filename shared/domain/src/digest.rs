//! One way to name content: `sha256:` over canonical JSON (RFC 8785).

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The digest of `value`: `sha256:` and 64 hexadecimal digits over its canonical JSON.
///
/// # Errors
/// When `value` cannot be written as JSON (a map with keys that are not text, a number JSON lacks).
pub fn digest<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(digest_bytes(&serde_json_canonicalizer::to_vec(value)?))
}

/// The digest of bytes that are already in their one form, such as a file.
#[must_use]
pub fn digest_bytes(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_order_and_spacing_do_not_change_a_digest() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b":1.0,"a":[true,null]}"#).expect("JSON");
        let two: serde_json::Value = serde_json::from_str(r#"{ "a" : [true, null], "b" : 1 }"#).expect("JSON");
        assert_eq!(digest(&one).expect("digest"), digest(&two).expect("digest"));
        assert_eq!(digest_bytes(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
