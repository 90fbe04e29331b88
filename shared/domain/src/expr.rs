//! Expressions in rules, and in fixes (`formula`): CEL, within limits. This file and its folder alone
//! know the `cel` crate.
//!
//! A program is checked when it is compiled (names, functions, size, nesting) and then evaluated
//! on borrowed data: nothing is copied but what the expression asks for. What is not known makes
//! the result unknown, unless `&&` or `||` settle it; so does every error. It never panics and
//! never loops: there are no loops to write, and lists are short.

mod check;
pub mod formula;
mod names;
mod view;

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU16, Ordering},
    },
};

use cel::{
    Context, Env, ExecutionError, Value,
    common::{
        ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators},
        types::{CelBool, CelString},
    },
};

pub use names::Name;

use self::{
    check::{Dialect, parse},
    view::View,
};
use crate::{
    assessment::Assessment,
    facts::{Facts, Need, Needs},
    truth::Truth,
};

/// The longest source, in bytes.
pub const MAX_SOURCE: usize = 1_024;
/// The deepest nesting of a program.
pub const MAX_DEPTH: usize = 24;
/// The most elements of a list that an expression sees.
pub const MAX_LIST: usize = 256;
/// The longest text that an expression sees, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// Functions an expression may call, beside operators and the macros `has`, `all`, `exists`,
/// `exists_one`, `map` and `filter`.
pub const FUNCTIONS: &[&str] = &["size", "contains", "startsWith", "endsWith", "matches", "int", "string"];

/// A term that must hold for the whole program to hold: `name == 'literal'` or
/// `name in ['literal', …]`, joined by `&&` at the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The name compared.
    pub name: Name,
    /// Of `tags`: the tag compared. No index knows it; it can still settle a program.
    pub tag: Option<Box<str>>,
    /// The literals it may equal.
    pub values: Vec<Box<str>>,
}

/// A checked expression.
pub struct Program {
    source: Box<str>,
    ast: IdedExpr,
    terms: Vec<Term>,
    /// What must hold beside the terms; nothing where they are all there is.
    rest: Option<IdedExpr>,
}

/// Why a text is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
    /// Which bytes of the source it is about.
    pub span: Range<usize>,
}

/// What an expression says of an assessment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The result; unknown where it failed or something is not known.
    pub truth: Truth,
    /// What was not known.
    pub needs: Needs,
    /// How it failed, where it did.
    pub error: Option<String>,
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    // `matches` of the crate compiles its pattern at every call; ours looks it up. Declaring it
    // fails only if the crate declares it too, which its own feature decides at build time.
    let declared = cel::add_member_overload!(env, fn matches: (CelString, CelString) -> Result<CelBool>);
    debug_assert!(declared.is_ok(), "`matches` is declared twice");
    Arc::new(env)
});

static PATTERNS: LazyLock<RwLock<HashMap<Box<str>, regex::Regex>>> = LazyLock::new(RwLock::default);

fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let patterns = PATTERNS.read().unwrap_or_else(PoisonError::into_inner);
    match patterns.get(pattern.inner()) {
        Some(regex) => Ok(CelBool::from(regex.is_match(text.inner()))),
        None => Err(ExecutionError::function_error("matches", "the pattern was not compiled")),
    }
}

impl Program {
    /// Compiles and checks `source`.
    ///
    /// # Errors
    /// When it is over a limit, is not CEL, or uses a name or function that rules do not have.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        on_a_large_stack(|| Self::compile_here(source))
    }

    fn compile_here(source: &str) -> Result<Self, ExprError> {
        let (ast, _) = parse(source, &ENV, Dialect::Rule)?;
        if matches!(ast.expr, Expr::Ident(_) | Expr::List(_) | Expr::Literal(_))
            && !matches!(ast.expr, Expr::Literal(LiteralValue::Boolean(_)))
        {
            return Err(ExprError {
                message: "this is neither true nor false".into(),
                hint: Some("compare it: `severity == 'high'`".into()),
                span: 0..source.len(),
            });
        }
        let mut terms = Vec::new();
        let rest = split(&ast, &mut terms);
        Ok(Self { source: source.into(), ast, terms, rest })
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What must hold for the program to hold, as far as an index can use it.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether the program holds for `assessment`.
    #[must_use]
    pub fn holds(&self, assessment: &Assessment, facts: &Facts) -> Evaluated {
        let mut all_hold = true;
        for term in &self.terms {
            match term.holds(assessment, facts) {
                // `false && x` is false, whatever x is.
                Truth::False => return Evaluated { truth: Truth::False, needs: Needs::NONE, error: None },
                Truth::Unknown => all_hold = false,
                Truth::True => {}
            }
        }
        match &self.rest {
            _ if !all_hold => self.evaluate(assessment, facts),
            // `true && x` is x.
            Some(rest) => evaluate(rest, assessment, facts),
            None => Evaluated { truth: Truth::True, needs: Needs::NONE, error: None },
        }
    }

    /// The same as [`Self::holds`], without its short cut: what it is held equal to by a test.
    #[must_use]
    pub fn evaluate(&self, assessment: &Assessment, facts: &Facts) -> Evaluated {
        evaluate(&self.ast, assessment, facts)
    }
}

impl Term {
    /// Whether it holds, as far as that can be told without the evaluator.
    fn holds(&self, assessment: &Assessment, facts: &Facts) -> Truth {
        let text = match &self.tag {
            Some(key) => facts.tags.as_ref().map(|known| known.value.get(key)),
            None => self.name.text(assessment),
        };
        match text {
            None => Truth::Unknown,
            Some(None) => Truth::False,
            // What is over the limit is as good as not known.
            Some(Some(text)) if text.len() > MAX_TEXT => Truth::Unknown,
            Some(Some(text)) => self.values.iter().any(|value| **value == *text).into(),
        }
    }
}

fn evaluate(ast: &IdedExpr, assessment: &Assessment, facts: &Facts) -> Evaluated {
    // Nesting is limited when a program is compiled; what is left needs under a megabyte, in
    // debug builds.
    stacker::maybe_grow(1 << 20, 4 << 20, || evaluate_here(ast, assessment, facts))
}

fn evaluate_here(ast: &IdedExpr, assessment: &Assessment, facts: &Facts) -> Evaluated {
    let view = View { assessment, facts, needs: AtomicU16::new(0) };
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.set_variable_resolver(&view);
    let result = Value::resolve_val(ast, &context);
    let (truth, error) = match &result {
        Ok(value) => match value.downcast_ref::<CelBool>() {
            Some(b) => (Truth::from(*b.inner()), None),
            None => (Truth::Unknown, Some("the result is neither true nor false".to_owned())),
        },
        Err(error) => (Truth::Unknown, Some(error.to_string())),
    };
    let mut needs = Needs::NONE;
    let mut error = error;
    if truth == Truth::Unknown {
        needs = Needs::from_bits(view.needs.load(Ordering::Relaxed));
        if needs.is_empty() {
            needs.add(Need::Expression);
        } else {
            error = None;
        }
    }
    Evaluated { truth, needs, error }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

impl Clone for Program {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), ast: self.ast.clone(), terms: self.terms.clone(), rest: self.rest.clone() }
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Runs `work` where the parser of the `cel` crate has room: it takes about 100 KiB of stack for each
/// bracket in debug builds, and a thread's usual 2 MiB end at twenty. Cheap where there is room
/// already, as inside another call.
pub fn on_a_large_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(48 << 20, 96 << 20, work)
}

/// Takes the terms out of a conjunction. Returns what is left of it.
fn split(node: &IdedExpr, terms: &mut Vec<Term>) -> Option<IdedExpr> {
    if let Expr::Call(call) = &node.expr
        && call.func_name == operators::LOGICAL_AND
        && let [left, right] = call.args.as_slice()
    {
        return match (split(left, terms), split(right, terms)) {
            (Some(left), Some(right)) => {
                let call = CallExpr { func_name: call.func_name.clone(), target: None, args: vec![left, right] };
                Some(IdedExpr { id: node.id, expr: Expr::Call(call) })
            }
            (one, other) => one.or(other),
        };
    }
    match term(node) {
        Some(term) => {
            terms.push(term);
            None
        }
        None => Some(node.clone()),
    }
}

/// A comparison that needs no evaluator: `name == 'literal'`, `name in ['literal', …]`.
fn term(node: &IdedExpr) -> Option<Term> {
    let Expr::Call(call) = &node.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let text = |node: &IdedExpr| match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(Box::<str>::from(text.inner())),
        _ => None,
    };
    let name = |node: &IdedExpr| match &node.expr {
        Expr::Ident(text) => Name::of(text).map(|name| (name, None)),
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(text) if text == Name::Tags.as_str() => Some((Name::Tags, Some(select.field.as_str().into()))),
            _ => None,
        },
        _ => None,
    };
    match call.func_name.as_str() {
        operators::EQUALS => {
            let ((name, tag), value) = name(left).zip(text(right)).or_else(|| name(right).zip(text(left)))?;
            Some(Term { name, tag, values: vec![value] })
        }
        operators::IN => {
            let Expr::List(list) = &right.expr else { return None };
            let (name, tag) = name(left)?;
            let values = list.elements.iter().map(text).collect::<Option<Vec<_>>>()?;
            Some(Term { name, tag, values }).filter(|term| !term.values.is_empty())
        }
        _ => None,
    }
}
