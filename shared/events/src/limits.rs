//! How much a delivery may hold.

use serde::{Deserialize, Serialize};

/// The largest delivery that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the body. The default, 16 MiB, is above what any platform sends (Pub/Sub: 10 MB,
    /// in base64).
    pub bytes: usize,
    /// How deep JSON may nest.
    pub nesting: usize,
    /// How many records one delivery may hold. Event Grid batches hold up to 5,000.
    pub records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, nesting: 64, records: 10_000 }
    }
}

/// Why a delivery was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The body is too large.
    #[error("the body has {bytes} bytes; at most {limit} are allowed (`limits.bytes`)")]
    Bytes {
        /// How many it has.
        bytes: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The JSON nests too deep.
    #[error("the JSON nests deeper than {limit} (`limits.nesting`)")]
    Nesting {
        /// How deep it may nest.
        limit: usize,
    },
    /// There are too many records.
    #[error("the delivery holds more than {limit} records (`limits.records`)")]
    Records {
        /// How many are allowed.
        limit: usize,
    },
}

impl Limits {
    /// Checks what can be checked without parsing: bytes and nesting.
    ///
    /// # Errors
    /// Which of them is exceeded.
    pub fn check(&self, body: &[u8]) -> Result<(), Refused> {
        if body.len() > self.bytes {
            return Err(Refused::Bytes { bytes: body.len(), limit: self.bytes });
        }
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for byte in body {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => {
                    depth = depth.saturating_add(1);
                    if depth > self.nesting {
                        return Err(Refused::Nesting { limit: self.nesting });
                    }
                }
                b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_do_not_nest() {
        let limits = Limits { bytes: 40, nesting: 2, records: 1 };
        assert_eq!(limits.check(br#"{"a":["[[[\"[["]}"#), Ok(()));
        assert_eq!(limits.check(b"[[[]]]"), Err(Refused::Nesting { limit: 2 }));
        assert_eq!(limits.check(&[b' '; 41]), Err(Refused::Bytes { bytes: 41, limit: 40 }));
    }
}
