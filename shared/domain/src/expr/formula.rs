//! Expressions in fixes: CEL over JSON values, giving JSON values. A failed or undefined expression is
//! an error, and an error means "do not write".
//!
//! What a cloud leaves out is `null`, and a member of `null` is `null`; a member that is not there at
//! all is an error, as it is a slip of whoever wrote the expression: responses are completed from
//! their API's description.

use std::{collections::HashMap, fmt, sync::Arc, sync::LazyLock};

use cel::{
    Context, Env, ExecutionError,
    common::{
        ast::{Expr, IdedExpr, LiteralValue},
        types::{
            CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, DYN_TYPE, STRING_TYPE,
        },
        value::{CowVal, Val},
    },
};
use serde_json::Value as Json;

use super::{
    ExprError,
    check::{Dialect, parse},
    on_a_large_stack,
};

/// The most elements of a list that an expression in a fix sees.
pub const MAX_ELEMENTS: usize = 4_096;
/// The longest source of an expression in a fix, in bytes.
pub const MAX_FORMULA: usize = 4_096;

/// The functions of fixes, with what they are for: beside those of CEL itself.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("get(map, key)", "The value at a key of a map; null, where there is none."),
    ("one(list)", "The only element of a list; an error, where there are none or more."),
    ("json(text)", "What a JSON text says; null of null."),
    ("text(value)", "A value as JSON text."),
    ("list(value)", "A list as it is; a list of one, where the value is none; an empty one of null."),
    ("merge(map, map)", "Both maps in one; members of the second win; null counts as empty."),
    ("split(text, by)", "The parts of a text."),
    ("lower(text)", "A text in lower-case letters; null of null."),
    ("has_port(range, port)", "Whether `22`, `20-25` or `*` holds a port."),
    ("open_to_all(cidr)", "Whether an address range means everybody: `0.0.0.0/0`, `::/0`, `*`, `Internet`, `Any`."),
];

/// A checked expression of a fix.
#[derive(Clone)]
pub struct Formula {
    source: Box<str>,
    ast: IdedExpr,
    names: Vec<Box<str>>,
    paths: Vec<(Box<str>, Box<str>)>,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{source_text}` has no value: {reason}")]
pub struct FormulaError {
    /// The expression.
    pub source_text: String,
    /// Why.
    pub reason: String,
}

/// The values that an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Scope(Vec<(Box<str>, Json)>);

impl Scope {
    /// Gives `name` a value; the last one given counts.
    pub fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.into(), value)),
        }
    }

    /// The same, with `name` having a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Json) -> Self {
        self.set(name, value);
        self
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    let one = || vec![DYN_TYPE];
    let two = || vec![DYN_TYPE, DYN_TYPE];
    // Declaring fails only where the crate declares the same, which a test would show.
    let declared = [
        env.add_overload(MEMBER, "amend_member", two(), member),
        env.add_overload("get", "amend_get", two(), get),
        env.add_overload("one", "amend_one", one(), only),
        env.add_overload("json", "amend_json", one(), from_json),
        env.add_overload("text", "amend_text", one(), to_text),
        env.add_overload("list", "amend_list", one(), to_list),
        env.add_overload("merge", "amend_merge", two(), merge),
        env.add_overload("lower", "amend_lower", one(), lower),
        env.add_overload("split", "amend_split", vec![STRING_TYPE, STRING_TYPE], split),
        env.add_overload("has_port", "amend_has_port", two(), has_port),
        env.add_overload("open_to_all", "amend_open_to_all", one(), open_to_all),
        cel::add_member_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>).map(|_| ()),
    ];
    debug_assert!(declared.iter().all(Result::is_ok), "a function is declared twice");
    Arc::new(env)
});

fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    super::matches(text, pattern)
}

/// What selecting a member is rewritten to.
pub(super) const MEMBER: &str = "@member";

impl Formula {
    /// Compiles and checks `source`, which may use `names`.
    ///
    /// # Errors
    /// When it is over a limit, is not CEL, or uses a name or function that is not there.
    pub fn compile(source: &str, names: &[&str]) -> Result<Self, ExprError> {
        on_a_large_stack(|| {
            let dialect = Dialect::Fix { names };
            let (ast, used) = parse(source, &ENV, dialect)?;
            Ok(Self {
                source: source.into(),
                ast,
                names: used.names.into_iter().map(Into::into).collect(),
                paths: used.paths,
            })
        })
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it uses `name`.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        self.names.iter().any(|known| **known == *name)
    }

    /// The members of `name` that it uses: of `before.a.b`, `a`.
    pub fn members_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths.iter().filter(move |(root, _)| **root == *name).map(|(_, member)| &**member)
    }

    /// Its value.
    ///
    /// # Errors
    /// When it has none.
    pub fn evaluate(&self, scope: &Scope) -> Result<Json, FormulaError> {
        stacker::maybe_grow(1 << 20, 8 << 20, || {
            let mut context = Context::with_env(Arc::clone(&ENV));
            for (name, value) in &scope.0 {
                if self.uses(name) {
                    context.add_variable_as_val(&**name, val(value));
                }
            }
            let value = cel::Value::resolve_val(&self.ast, &context).map_err(|error| self.fails(plain(&error)))?;
            json(value.as_ref()).map_err(|error| self.fails(plain(&error)))
        })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When it is neither true nor false.
    pub fn holds(&self, scope: &Scope) -> Result<bool, FormulaError> {
        let value = self.evaluate(scope)?;
        value.as_bool().ok_or_else(|| self.fails(format!("it is neither true nor false, but {value}")))
    }

    fn fails(&self, reason: String) -> FormulaError {
        FormulaError { source_text: self.source.to_string(), reason }
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.source).finish()
    }
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// The crate's words are for programmers.
fn plain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no member `{key}`"),
        ExecutionError::FunctionError { function, message } if function == MEMBER => message.clone(),
        ExecutionError::FunctionError { function, message } => format!("`{function}`: {message}"),
        error => error.to_string(),
    }
}

fn val<'v>(value: &Json) -> Box<dyn Val + 'v> {
    match value {
        Json::Null => Box::new(CelNull),
        Json::Bool(b) => Box::new(CelBool::from(*b)),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => Box::new(CelInt::from(n)),
            (None, Some(n)) => Box::new(CelUInt::from(n)),
            (None, None) => Box::new(CelDouble::from(n.as_f64().unwrap_or_default())),
        },
        Json::String(text) => Box::new(CelString::from(text.clone())),
        Json::Array(list) => Box::new(CelList::from(list.iter().map(val).collect::<Vec<_>>())),
        Json::Object(map) => {
            let entries = map.iter().map(|(key, value)| (CelMapKey::from(key.clone()), val(value)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

fn json(value: &dyn Val) -> Result<Json, ExecutionError> {
    let too_long = || ExecutionError::function_error("list", format!("a list has more than {MAX_ELEMENTS} elements"));
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Json::Null);
    }
    if let Some(b) = value.downcast_ref::<CelBool>() {
        return Ok((*b.inner()).into());
    }
    if let Some(n) = value.downcast_ref::<CelInt>() {
        return Ok((*n.inner()).into());
    }
    if let Some(n) = value.downcast_ref::<CelUInt>() {
        return Ok((*n.inner()).into());
    }
    if let Some(n) = value.downcast_ref::<CelDouble>() {
        return Ok((*n.inner()).into());
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return Ok(text.inner().into());
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let list = list.inner();
        if list.len() > MAX_ELEMENTS {
            return Err(too_long());
        }
        return list.iter().map(|value| json(&**value)).collect::<Result<Vec<_>, _>>().map(Json::Array);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut entries = Vec::with_capacity(map.len());
        for (key, value) in map.inner() {
            let CelMapKey::String(key) = key else {
                return Err(ExecutionError::function_error("map", "the keys of a map are texts"));
            };
            entries.push((key.inner().to_owned(), json(&**value)?));
        }
        // The same value has one form.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        return Ok(Json::Object(entries.into_iter().collect()));
    }
    Err(ExecutionError::function_error("value", "it is no JSON value"))
}

type Values<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn args<'b, 'v, const N: usize>(values: Values<'b, 'v>) -> Result<[CowVal<'b, 'v>; N], ExecutionError> {
    let actual = values.len();
    values.try_into().map_err(|_| ExecutionError::invalid_argument_count(N, actual))
}

fn is_null(value: &CowVal<'_, '_>) -> bool {
    value.as_ref().downcast_ref::<CelNull>().is_some()
}

fn answer<'b, 'v>(value: &Json) -> Answer<'b, 'v> {
    Ok(CowVal::Owned(val(value)))
}

fn member<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [of, key] = args(values)?;
    if is_null(&of) {
        return Ok(CowVal::owned(CelNull));
    }
    let name = || {
        json(key.as_ref())
            .map(|key| key.as_str().map_or_else(|| key.to_string(), ToOwned::to_owned))
            .unwrap_or_default()
    };
    let fails = |what: &str| ExecutionError::function_error(MEMBER, format!("there is no member `{}`{what}", name()));
    if let Some(map) = of.as_ref().downcast_ref::<CelMap<'_>>() {
        let key = json(key.as_ref())?;
        let found = key.as_str().and_then(|key| map.inner().get(&CelMapKey::from(key)));
        let names = || {
            let known = map.inner().keys().filter_map(|key| match key {
                CelMapKey::String(key) => Some(key.inner()),
                _ => None,
            });
            crate::settings::nearest(key.as_str().unwrap_or_default(), known)
                .map_or_else(String::new, |near| format!(", but `{near}`"))
        };
        return match found {
            Some(value) => Ok(CowVal::Owned(value.clone())),
            None => Err(fails(&names())),
        };
    }
    let list = of.as_ref().downcast_ref::<CelList<'_>>().ok_or_else(|| fails(": the value has none"))?;
    let at = json(key.as_ref())?.as_u64().and_then(|at| usize::try_from(at).ok());
    match at.and_then(|at| list.inner().get(at)) {
        Some(value) => Ok(CowVal::Owned(value.clone())),
        None => {
            let message = format!("the list has no element {}", json(key.as_ref())?);
            Err(ExecutionError::function_error(MEMBER, message))
        }
    }
}

fn get<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [of, key] = args(values)?;
    match (json(of.as_ref())?, json(key.as_ref())?) {
        (Json::Null, _) => answer(&Json::Null),
        (Json::Object(map), Json::String(key)) => answer(map.get(&key).unwrap_or(&Json::Null)),
        _ => Err(ExecutionError::function_error("get", "takes a map and a text")),
    }
}

fn only<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [list] = args(values)?;
    match json(list.as_ref())? {
        Json::Array(list) => match list.as_slice() {
            [only] => answer(only),
            list => Err(ExecutionError::function_error("one", format!("the list has {} elements", list.len()))),
        },
        _ => Err(ExecutionError::function_error("one", "takes a list")),
    }
}

fn from_json<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [text] = args(values)?;
    match json(text.as_ref())? {
        Json::Null => answer(&Json::Null),
        Json::String(text) => {
            let fails = |error: serde_json::Error| ExecutionError::function_error("json", error.to_string());
            answer(&serde_json::from_str(&text).map_err(fails)?)
        }
        _ => Err(ExecutionError::function_error("json", "takes a text")),
    }
}

fn to_text<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [value] = args(values)?;
    answer(&json(value.as_ref())?.to_string().into())
}

fn to_list<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [value] = args(values)?;
    answer(&match json(value.as_ref())? {
        Json::Null => Json::Array(Vec::new()),
        list @ Json::Array(_) => list,
        one => Json::Array(vec![one]),
    })
}

fn merge<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [first, second] = args(values)?;
    let map = |value: &CowVal<'_, '_>| match json(value.as_ref())? {
        Json::Null => Ok(serde_json::Map::new()),
        Json::Object(map) => Ok(map),
        _ => Err(ExecutionError::function_error("merge", "takes two maps")),
    };
    let mut both = map(&first)?;
    both.extend(map(&second)?);
    answer(&Json::Object(both))
}

fn lower<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [text] = args(values)?;
    match json(text.as_ref())? {
        Json::Null => answer(&Json::Null),
        Json::String(text) => answer(&text.to_lowercase().into()),
        _ => Err(ExecutionError::function_error("lower", "takes a text")),
    }
}

fn split<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [text, by] = args(values)?;
    match (json(text.as_ref())?, json(by.as_ref())?) {
        (Json::String(text), Json::String(by)) => answer(&text.split(&*by).map(Json::from).collect()),
        _ => Err(ExecutionError::function_error("split", "takes two texts")),
    }
}

fn has_port<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [range, port] = args(values)?;
    let fails = || ExecutionError::function_error("has_port", "takes `22`, `20-25` or `*`, and a port");
    let port = json(port.as_ref())?.as_i64().ok_or_else(fails)?;
    let holds = match json(range.as_ref())? {
        Json::Number(one) => one.as_i64() == Some(port),
        Json::String(range) if range == "*" => true,
        Json::String(range) => {
            let (first, last) = range.split_once('-').unwrap_or((&range, &range));
            let number = |text: &str| text.trim().parse::<i64>().map_err(|_| fails());
            (number(first)?..=number(last)?).contains(&port)
        }
        _ => return Err(fails()),
    };
    answer(&holds.into())
}

fn open_to_all<'b, 'v>(values: Values<'b, 'v>) -> Answer<'b, 'v> {
    let [cidr] = args(values)?;
    let open = match json(cidr.as_ref())? {
        Json::Null => false,
        Json::String(cidr) => {
            let cidr = cidr.trim();
            // `::0/0` and `0.0.0.0/00` mean the same: everything that keeps no bit.
            let everything =
                cidr.split_once('/').is_some_and(|(_, bits)| bits.parse::<u8>().is_ok_and(|bits| bits == 0));
            everything || ["*", "internet", "any"].iter().any(|word| cidr.eq_ignore_ascii_case(word))
        }
        _ => return Err(ExecutionError::function_error("open_to_all", "takes a text")),
    };
    answer(&open.into())
}

/// Notes what an expression uses.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// Names.
    pub names: Vec<String>,
    /// Names with the first member asked of them.
    pub paths: Vec<(Box<str>, Box<str>)>,
}

impl Used {
    pub(super) fn note(&mut self, of: &IdedExpr, member: &IdedExpr) {
        if let (Expr::Ident(root), Expr::Literal(LiteralValue::String(member))) = (&of.expr, &member.expr) {
            self.paths.push((root.as_str().into(), member.inner().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(source: &str, expected: &Json) {
        let scope = Scope::default()
            .with("a", json!({"b": {"c": 1, "none": null}, "list": [1, 2], "text": "{\"x\":[1]}"}))
            .with("empty", Json::Null);
        let formula = Formula::compile(source, &["a", "empty"]).unwrap_or_else(|error| panic!("{source}: {error}"));
        match formula.evaluate(&scope) {
            Ok(value) => assert_eq!(&value, expected, "{source}"),
            Err(error) => assert_eq!(&Json::from(error.reason), expected, "{source}"),
        }
    }

    #[test]
    fn a_member_of_nothing_is_nothing_and_a_slip_is_an_error() {
        check("a.b.c", &json!(1));
        check("a.b.none.of.this", &Json::Null);
        check("empty.x.y == null", &json!(true));
        check("a.b.d", &json!("there is no member `d`"));
        check("a.texts", &json!("there is no member `texts`, but `text`"));
        check("a['list'][1]", &json!(2));
        check("get(a.b, 'd')", &Json::Null);
        check("a.list[7]", &json!("the list has no element 7"));
    }

    #[test]
    fn values_are_made_and_taken_apart() {
        check("{'z': 1, 'a': [a.b.c]}", &json!({"a": [1], "z": 1}));
        check("json(a.text).x", &json!([1]));
        check("json(empty)", &Json::Null);
        check("text({'b': 1, 'a': null})", &json!("{\"a\":null,\"b\":1}"));
        check("one(a.list)", &json!("`one`: the list has 2 elements"));
        check("one(a.list.filter(n, n > 1))", &json!(2));
        check("list(empty) + list('x') + list(['y'])", &json!(["x", "y"]));
        check("merge(a.b, {'c': 2})", &json!({"c": 2, "none": null}));
        check("split('p/q', '/')[1]", &json!("q"));
        check("lower('Ab') == 'ab' && lower(empty) == null", &json!(true));
        check("a.list.filter(n, !(n in [2]))", &json!([1]));
        check("[[1, 2], [3]].filter(l, l.exists(n, n == 3))", &json!([[3]]));
    }

    #[test]
    fn ports_and_addresses() {
        for (range, holds) in [("22", true), ("20-25", true), ("*", true), ("23-25", false), ("220", false)] {
            check(&format!("has_port('{range}', 22)"), &json!(holds));
        }
        check("has_port('ssh', 22)", &json!("`has_port`: takes `22`, `20-25` or `*`, and a port"));
        for (cidr, open) in
            [("0.0.0.0/0", true), ("::/0", true), ("Internet", true), ("10.0.0.0/8", false), ("VirtualNetwork", false)]
        {
            check(&format!("open_to_all('{cidr}')"), &json!(open));
        }
        check("open_to_all(empty)", &json!(false));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let refused = |source: &str| Formula::compile(source, &["a"]).map(|_| ()).map_err(|error| error.message);
        assert_eq!(refused("b.c"), Err("`b` is not a name that is known here".into()));
        assert_eq!(refused("foo(a)"), Err("`foo` is not a function that fixes know".into()));
        assert_eq!(refused("has(a.b)"), Err("`has` does not tell here: what a cloud leaves out is null".into()));
        assert!(refused("a.b").is_ok());
        let formula = Formula::compile("a.x.y == a['z'] && a.list.all(i, i.q > 0)", &["a"]).expect("an expression");
        assert_eq!(formula.members_of("a").collect::<Vec<_>>(), ["x", "z", "list"]);
    }
}
