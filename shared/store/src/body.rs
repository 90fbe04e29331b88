//! Bodies of rows: JSON.

use serde::{Serialize, de::DeserializeOwned};

use crate::{StoreError, database::Row};

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|source| StoreError::Damaged { what, source })
}

/// Writes a body.
pub(crate) fn write<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Damaged { what, source })
}

/// Reads the bodies that are the first columns of rows.
pub(crate) fn read_all<T: DeserializeOwned>(what: &'static str, rows: &[Row]) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| read(what, row.get(0)?)).collect()
}

/// Reads the body that is the first column of a row, where there is one.
pub(crate) fn read_one<T: DeserializeOwned>(what: &'static str, row: Option<Row>) -> Result<Option<T>, StoreError> {
    row.map(|row| read(what, row.get(0)?)).transpose()
}
