//! All integration tests, in one binary. `make test` runs them; `make test-long` at full size.

mod architecture;
mod aws_calls;
mod aws_fixes;
mod bulk;
mod catalogue;
mod configuration;
mod corpus;
mod demo;
mod expressions;
mod fixer;
mod fixes;
mod forms;
mod generated_files;
mod governance;
mod http;
mod live_import;
mod lookup;
mod mistakes;
mod outbound;
mod reference_samples;
mod roles;
mod rule_properties;
mod scripts;
mod store;
mod story;
mod work;
