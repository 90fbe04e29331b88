//! Texts as parts of addresses.

use serde_json::Value;

/// Encodes a text as one part of a path or a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Encodes a path part by part.
///
/// # Errors
/// When a part of it leads upwards.
pub fn encoded_path(path: &str) -> Result<String, String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        if matches!(part, "." | "..") {
            return Err(format!("`{path}` is no path of a resource"));
        }
        parts.push(encoded(part));
    }
    Ok(parts.join("/"))
}

/// A text or number as it stands in a path or query.
#[must_use]
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}
