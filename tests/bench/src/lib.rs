//! The measurements of `make bench` stand in `benches/`.
