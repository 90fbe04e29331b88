//! The published API descriptions of AWS, Azure and Google Cloud, cut down to the calls that Amend
//! makes: what a call takes, what it answers, and where it goes. Pure data; nothing is sent here.
//!
//! The files under `data/` are written by `extract/extract.py` and never by hand; `data/NOTICE.md`
//! says where they come from. A call that is not in them cannot be made.

pub mod arm;
pub mod aws;
mod check;
pub mod discovery;
pub mod endpoints;
mod schema;
mod shape;
pub mod uri;

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use amend_domain::{Cloud, settings::nearest};
use include_dir::{Dir, include_dir};
use serde_json::{Map, Value};

pub use check::{Texts, Wrong};
pub use shape::{Kind, Member, Shape, ShapeRef, Shapes};

static DATA: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/data");

/// One call that can be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// How it goes over the wire.
    pub api: Api,
    /// The shapes of its description.
    pub shapes: &'static Shapes,
    /// What it takes; nothing, if absent.
    pub input: Option<ShapeRef>,
    /// What it answers; nothing, if absent.
    pub output: Option<ShapeRef>,
}

/// How a call goes over the wire.
#[derive(Clone, Copy, Debug)]
pub enum Api {
    /// An operation of an AWS service.
    Aws {
        /// The service.
        service: &'static aws::Service,
        /// The operation's name.
        name: &'static str,
        /// The operation.
        operation: &'static aws::Operation,
    },
    /// A method on a type of the Azure Resource Manager.
    Azure(&'static arm::ArmCall),
    /// A method of a Google API.
    Gcp {
        /// The API.
        api: &'static discovery::Service,
        /// The method.
        method: &'static discovery::Method,
    },
}

/// Why a call cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No description has it.
    #[error("`{call}` is not a call that Amend can make")]
    Unknown {
        /// What was asked for.
        call: String,
        /// What to do about it.
        hint: String,
    },
    /// The description cannot be read: the build is broken.
    #[error("the API description `{file}` cannot be read: {reason}")]
    Broken {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

impl ModelError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Unknown { hint, .. } => hint,
            Self::Broken { .. } => "this is a mistake in Amend: please report it",
        }
    }
}

impl Call {
    /// Finds a call by its name: `s3:PutPublicAccessBlock`,
    /// `PATCH Microsoft.Storage/storageAccounts@2024-01-01`, `storage.buckets.patch`.
    ///
    /// # Errors
    /// When no description has it.
    pub fn find(name: &str) -> Result<Self, ModelError> {
        if let Some((service, operation)) = name.split_once(':') {
            let unknown = |hint| ModelError::Unknown { call: name.to_owned(), hint };
            let Some(service) = aws_service(service)? else {
                let hint =
                    nearest(service, names_in("aws")).map_or_else(extend_hint, |n| format!("did you mean `{n}`?"));
                return Err(unknown(hint));
            };
            let Some((operation_name, operation)) = service.operations.get_key_value(operation) else {
                let near = nearest(operation, service.operations.keys().map(|name| &**name));
                return Err(unknown(
                    near.map_or_else(extend_hint, |n| format!("did you mean `{}:{n}`?", service.name)),
                ));
            };
            let find =
                |target: &Option<aws::Target>| target.as_ref().and_then(|target| service.shapes.find(&target.shape));
            return Ok(Self {
                api: Api::Aws { service, name: operation_name, operation },
                shapes: &service.shapes,
                input: find(&operation.input),
                output: find(&operation.output),
            });
        }
        if name.contains(' ') { arm::find(name) } else { discovery::find(name) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self.api {
            Api::Aws { service, name, .. } => format!("{}:{name}", service.name),
            Api::Azure(call) => call.name.to_string(),
            Api::Gcp { method, .. } => method.id.to_string(),
        }
    }

    /// The cloud that answers it.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        match self.api {
            Api::Aws { .. } => Cloud::Aws,
            Api::Azure(_) => Cloud::Azure,
            Api::Gcp { .. } => Cloud::Gcp,
        }
    }

    /// Whether it only reads, as far as its kind tells. Where it cannot be told, it writes.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self.api {
            Api::Aws { name, .. } => {
                ["Get", "List", "Describe", "Head", "Lookup"].iter().any(|verb| name.starts_with(verb))
            }
            // A query of Resource Graph is posted, and reads.
            Api::Azure(call) => &*call.method == "GET" || &*call.kind == "Microsoft.ResourceGraph/resources",
            Api::Gcp { method, .. } => {
                // Log entries are asked for with a body.
                &*method.http_method == "GET"
                    || method.id.ends_with("IamPolicy") && method.id.contains(".get")
                    || &*method.id == "logging.entries.list"
            }
        }
    }

    /// Everything that is wrong with `args`.
    #[must_use]
    pub fn check(&self, args: &Value, texts: Texts<'_>) -> Vec<Wrong> {
        match (self.input, args) {
            (Some(input), _) => check::check(self.shapes, input, args, texts),
            (None, Value::Null) => Vec::new(),
            (None, Value::Object(object)) if object.is_empty() => Vec::new(),
            (None, _) => vec![Wrong { path: String::new(), message: "this call takes nothing".into(), hint: None }],
        }
    }

    /// Everything that is wrong with `answer`, as an answer that somebody wrote down.
    #[must_use]
    pub fn check_answer(&self, answer: &Value) -> Vec<Wrong> {
        self.output.map(|output| check::check_answer(self.shapes, output, answer)).unwrap_or_default()
    }

    /// The response as expressions see it: see [`Shapes::complete`].
    pub fn complete(&self, response: &mut Value) {
        if let Some(output) = self.output {
            self.shapes.complete(output, response);
        }
    }
}

fn extend_hint() -> String {
    "name the call in a fix below shared/catalog/fixes and run `make models`".to_owned()
}

/// The names of the files in a folder, without their ends.
fn names_in(folder: &str) -> impl Iterator<Item = &'static str> {
    DATA.get_dir(folder)
        .into_iter()
        .flat_map(Dir::files)
        .filter_map(|file| file.path().file_stem().and_then(std::ffi::OsStr::to_str))
}

fn text(file: &str) -> Option<&'static str> {
    DATA.get_file(file).and_then(include_dir::File::contents_utf8)
}

/// Descriptions read so far. They live as long as the program, as they are part of it: each file is
/// read once, when it is first asked for.
struct Cache<T: 'static>(OnceLock<Mutex<HashMap<String, &'static T>>>);

impl<T: Send + Sync> Cache<T> {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get<E: std::fmt::Display>(
        &self,
        file: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<&'static T>, ModelError> {
        let Some(text) = text(file) else { return Ok(None) };
        let mut known = self.0.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(file) {
            return Ok(Some(found));
        }
        let parsed =
            parse(text).map_err(|error| ModelError::Broken { file: file.to_owned(), reason: error.to_string() })?;
        let kept: &'static T = Box::leak(Box::new(parsed));
        known.insert(file.to_owned(), kept);
        Ok(Some(kept))
    }
}

/// The description of an AWS service, by its name in botocore's folders.
///
/// # Errors
/// When the file in this build is broken.
pub fn aws_service(name: &str) -> Result<Option<&'static aws::Service>, ModelError> {
    static SERVICES: Cache<aws::Service> = Cache::new();
    SERVICES.get(&format!("aws/{name}.json"), |json| aws::Service::parse(name, json))
}

/// The names of all calls of AWS that can be made.
///
/// # Errors
/// When a file in this build is broken.
pub fn aws_calls() -> Result<Vec<String>, ModelError> {
    let mut calls = Vec::new();
    for name in names_in("aws").filter(|name| *name != "partitions") {
        let Some(service) = aws_service(name)? else { continue };
        calls.extend(service.operations.keys().map(|operation| format!("{name}:{operation}")));
    }
    calls.sort();
    Ok(calls)
}

/// The endpoint rules of an AWS service.
///
/// # Errors
/// When the file in this build is broken.
pub fn aws_endpoints(service: &str) -> Result<Option<&'static endpoints::RuleSet>, ModelError> {
    static RULES: Cache<endpoints::RuleSet> = Cache::new();
    RULES.get(&format!("aws/endpoints/{service}.json"), endpoints::RuleSet::parse)
}

/// The partitions of AWS.
///
/// # Errors
/// When the file in this build is broken.
pub fn aws_partitions() -> Result<Option<&'static endpoints::Partitions>, ModelError> {
    static PARTITIONS: Cache<endpoints::Partitions> = Cache::new();
    PARTITIONS.get("aws/partitions.json", endpoints::Partitions::parse)
}

/// The members of an object; none, where it is none.
fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}
