//! What tests, benches and fuzz targets share: a pipeline on a temporary store, random rules and
//! assessments, the entry points that are fuzzed, and the generated files.

pub mod clouds;
pub mod executors;
pub mod filing;
pub mod functions;
pub mod fuzz;
pub mod generated;
pub mod harness;
pub mod places;
pub mod random;
pub mod subject;
pub mod tokens;
