//! Expressions in rules: CEL, within limits. The only file that knows the `cel` crate.
//!
//! A program is checked when it is compiled (names, functions, size, nesting) and then evaluated
//! on borrowed data: nothing is copied but what the expression asks for. What is not known makes
//! the result unknown, unless `&&` or `||` settle it; so does every error. It never panics and
//! never loops: there are no loops to write, and lists are short.

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
        ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators},
        types::{CelBool, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};
use rustc_hash::FxHashMap;

use crate::{
    assessment::Assessment,
    facts::{Fact, Facts, Need, Needs, Tags},
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

/// Implements the names that an expression may use.
macro_rules! names {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $lower:literal;)+) => {
        /// A name that an expression may use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name { $($(#[doc = $doc])* $variant),+ }

        impl Name {
            /// All of them, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it stands for, in a sentence for the manual.
            #[must_use]
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*)),+ }
            }

            /// Whether its value is lower-cased, so that literals compared with it are, too.
            #[must_use]
            pub fn ignores_case(self) -> bool {
                match self { $(Self::$variant => $lower),+ }
            }
        }
    };
}

names! {
    /// The recommendation's key: `defender:<guid>`, `securityhub:s3.8`.
    Key = "key", true;
    /// The recommendation's title, as the source writes it.
    Title = "name", false;
    /// Defender's `recommendationCategory`, or null.
    Category = "category", true;
    /// The areas (`categories`) that the recommendation belongs to, a list.
    Areas = "areas", true;
    /// The Azure Policy definition behind it, or null.
    Policy = "policy", true;
    /// Who says so: `defender`, `policy-state`, `security-hub`, `scc`.
    Source = "source", true;
    /// `low`, `medium`, `high`, `critical`; unknown where the event has none.
    Severity = "severity", true;
    /// The risk level; unknown without Defender CSPM.
    Risk = "risk", true;
    /// The risk factors, a list; unknown without Defender CSPM.
    RiskFactors = "risk_factors", true;
    /// How many attack paths lead through the resource; unknown without Defender CSPM.
    AttackPaths = "attack_paths", false;
    /// `azure`, `aws`, `gcp`, `other`.
    Cloud = "cloud", true;
    /// The resource's type, or null.
    Kind = "type", true;
    /// The region, or null.
    Region = "region", true;
    /// `/subscriptions/…`, `aws:…`, `gcp:projects/…`; unknown where the event has none.
    Account = "account", true;
    /// The Azure resource group's id, or null.
    Group = "group", true;
    /// The resource's native id, as its cloud writes it (ARM ids lower-cased).
    Resource = "resource", false;
    /// What people call the resource.
    ResourceName = "resource_name", false;
    /// The Defender security connector, or null.
    Connector = "connector", true;
    /// Whole days since the finding began; unknown where the event has no date.
    AgeDays = "age_days", false;
    /// The management scopes above the account, outermost first; a fact.
    Ancestors = "ancestors", true;
    /// The resource's tags: `tags.env`, `tags['cost centre']`; keys have no case; null where the tag is missing; a fact.
    Tags = "tags", false;
    /// The tags of its resource group; a fact.
    GroupTags = "group_tags", false;
    /// The tags of its account; a fact.
    AccountTags = "account_tags", false;
}

impl Name {
    /// The text it stands for, or null; nothing where it is no text, or not known.
    fn text(self, a: &Assessment) -> Option<Option<&str>> {
        Some(match self {
            Self::Key => Some(a.recommendation.key.as_str()),
            // What is over the limit is as good as not known.
            Self::Title if a.recommendation.title.len() > MAX_TEXT => return None,
            Self::Title => Some(&a.recommendation.title),
            Self::Category => a.recommendation.category.as_deref(),
            Self::Policy => a.recommendation.policy.as_deref(),
            Self::Source => Some(a.source.as_str()),
            Self::Severity => Some(a.severity?.as_str()),
            Self::Risk => Some(a.risk.as_ref()?.level.as_str()),
            Self::Cloud => Some(a.resource.cloud.as_str()),
            Self::Kind => a.resource.kind.as_deref(),
            Self::Region => a.resource.region.as_deref(),
            Self::Account => Some(a.resource.account.as_ref()?.as_str()),
            Self::Group => a.resource.group(),
            Self::Resource => Some(a.resource.id.as_str()),
            Self::ResourceName => Some(&a.resource.name),
            Self::Connector => a.resource.connector.as_deref(),
            Self::Areas
            | Self::RiskFactors
            | Self::AttackPaths
            | Self::AgeDays
            | Self::Ancestors
            | Self::Tags
            | Self::GroupTags
            | Self::AccountTags => return None,
        })
    }

    /// Whether it stands for a text, not for a list, a number or tags.
    fn is_text(self) -> bool {
        !matches!(
            self,
            Self::Areas
                | Self::RiskFactors
                | Self::AttackPaths
                | Self::AgeDays
                | Self::Ancestors
                | Self::Tags
                | Self::GroupTags
                | Self::AccountTags
        )
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

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
        let whole = 0..source.len();
        let fail = |message: String, hint: &str, span: Range<usize>| {
            let hint = (!hint.is_empty()).then(|| hint.to_owned());
            Err(ExprError { message, hint, span })
        };
        if source.trim().is_empty() {
            return fail("the expression is empty".into(), "write a condition such as `tags.env == 'prod'`", whole);
        }
        if source.len() > MAX_SOURCE {
            return fail(
                format!("the expression has {} bytes; at most {MAX_SOURCE} are allowed", source.len()),
                "split the rule, or use conditions (`severity:`, `tag:`) for parts of it",
                whole,
            );
        }
        // INVARIANT: what reaches the parser cannot exhaust the stack, in debug builds either.
        if let Some(at) = too_deep(source) {
            return fail(
                format!("the expression nests deeper than {MAX_DEPTH}"),
                "split the rule",
                at..at.saturating_add(1),
            );
        }
        let (mut ast, info) =
            ENV.parser().max_recursion_depth(96).parse_with_source_info(source).map_err(|errors| {
                let first = errors.errors.first();
                let message = first.map_or_else(|| "not an expression".to_owned(), |e| plain_parse_error(&e.msg));
                let at = first.map_or(0, |e| byte_offset(source, e.pos));
                let single =
                    source.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "").contains('=');
                let hint = single.then(|| "compare with `==`".to_owned());
                ExprError { message, hint, span: at..at.saturating_add(1).min(source.len()).max(at) }
            })?;
        let mut checker = Checker { source, info: &info, locals: Vec::new(), patterns: Vec::new() };
        if matches!(ast.expr, Expr::Ident(_) | Expr::List(_) | Expr::Literal(_))
            && !matches!(ast.expr, Expr::Literal(LiteralValue::Boolean(_)))
        {
            let hint = "compare it: `severity == 'high'`";
            checker.check(&mut ast, 1, false)?;
            return fail("this is neither true nor false".into(), hint, whole);
        }
        checker.check(&mut ast, 1, false)?;
        let compiled = std::mem::take(&mut checker.patterns);
        let mut patterns = PATTERNS.write().unwrap_or_else(PoisonError::into_inner);
        patterns.extend(compiled);
        drop(patterns);
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
        let missing = view.needs.load(Ordering::Relaxed);
        needs = Need::ALL.into_iter().filter(|n| missing & 1_u16.checked_shl(*n as u32).unwrap_or(0) != 0).fold(
            Needs::NONE,
            |mut all, need| {
                all.add(need);
                all
            },
        );
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

/// Where the brackets of a text nest too deep, or a chain of operators is too long, for the
/// parser and the evaluator to walk on a small stack.
fn too_deep(source: &str) -> Option<usize> {
    let (mut depth, mut chain, mut quote) = (0_usize, 0_usize, None);
    for (at, byte) in source.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), b) if b == open => quote = None,
            (Some(_), _) => continue,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth = depth.saturating_add(1),
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            (None, b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'?' | b'<' | b'>' | b'=' | b'.') => {
                chain = chain.saturating_add(1);
            }
            _ => {}
        }
        if depth > MAX_DEPTH || chain > 256 {
            return Some(at);
        }
    }
    None
}

fn plain_parse_error(message: &str) -> String {
    let message = message.trim().strip_prefix("Syntax error: ").unwrap_or(message.trim());
    if let Some((_, odd)) = message.split_once("token recognition error at: '") {
        return format!("`{}` is not an operator", odd.trim_end_matches('\'').trim());
    }
    let mut chars = message.chars();
    chars.next().map_or_else(|| "not an expression".to_owned(), |c| c.to_lowercase().chain(chars).collect())
}

/// The byte at a one-based line and column.
fn byte_offset(source: &str, (line, column): (isize, isize)) -> usize {
    let before: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line.saturating_sub(1)).unwrap_or(0))
        .map(str::len)
        .fold(0, usize::saturating_add);
    let mut at = before.saturating_add(usize::try_from(column.saturating_sub(1)).unwrap_or(0)).min(source.len());
    while !source.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

struct Checker<'s> {
    source: &'s str,
    info: &'s SourceInfo,
    /// The variables of the comprehensions around the node.
    locals: Vec<String>,
    patterns: Vec<(Box<str>, regex::Regex)>,
}

impl Checker<'_> {
    fn refuse<T>(&self, id: u64, message: String, hint: Option<String>) -> Result<T, ExprError> {
        let (start, stop) = self.info.offset_for(id).unwrap_or((0, 0));
        let start = usize::try_from(start).unwrap_or(0).min(self.source.len());
        let stop = usize::try_from(stop).unwrap_or(0).saturating_add(1).clamp(start, self.source.len());
        Err(ExprError { message, hint, span: start..stop })
    }

    /// Checks a node and all below it, and lower-cases the literals that stand beside a name whose
    /// values are lower-cased.
    fn check(&mut self, node: &mut IdedExpr, depth: usize, looped: bool) -> Result<(), ExprError> {
        let id = node.id;
        if depth > MAX_DEPTH {
            return self.refuse(
                id,
                format!("the expression nests deeper than {MAX_DEPTH}"),
                Some("split the rule".into()),
            );
        }
        let next = depth.saturating_add(1);
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                if self.locals.iter().any(|local| local == name) || Name::of(name).is_some() {
                    return Ok(());
                }
                let known = Name::ALL.iter().map(|n| n.as_str());
                let hint = crate::settings::nearest(name, known)
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| Some("docs/reference/expressions.md lists the names".into()));
                let name = name.clone();
                self.refuse(id, format!("`{name}` is not a name that rules know"), hint)
            }
            Expr::Select(select) => {
                // The keys of tags have no case.
                if is_tags(&select.operand) {
                    select.field.make_ascii_lowercase();
                }
                self.check(&mut select.operand, next, looped)
            }
            Expr::List(list) => {
                if list.elements.len() > MAX_LIST {
                    return self.refuse(id, format!("a list has at most {MAX_LIST} elements"), None);
                }
                list.elements.iter_mut().try_for_each(|element| self.check(element, next, looped))
            }
            Expr::Call(call) => {
                if let Some(select) = self.tag_by_index(id, call)? {
                    node.expr = select;
                    return Ok(());
                }
                if let Some(target) = &mut call.target {
                    self.check(target, next, looped)?;
                }
                for arg in &mut call.args {
                    self.check(arg, next, looped)?;
                }
                let operator = !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
                if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    let hint = crate::settings::nearest(&call.func_name, FUNCTIONS.iter().copied())
                        .map(|near| format!("did you mean `{near}`?"))
                        .or_else(|| Some(format!("rules have {}", FUNCTIONS.join(", "))));
                    let name = call.func_name.clone();
                    return self.refuse(id, format!("`{name}` is not a function that rules know"), hint);
                }
                if call.func_name == "matches" {
                    return self.check_pattern(id, call.target.is_some(), &call.args);
                }
                if let [left, right] = call.args.as_mut_slice() {
                    self.check_order(id, &call.func_name, left, right)?;
                }
                if let [left, right] = call.args.as_mut_slice()
                    && matches!(call.func_name.as_str(), operators::EQUALS | operators::NOT_EQUALS | operators::IN)
                {
                    fold_case(left, right);
                    fold_case(right, left);
                }
                Ok(())
            }
            Expr::Comprehension(comprehension) => {
                if looped {
                    return self.refuse(
                        id,
                        "a comprehension inside another is not allowed".into(),
                        Some("name the values in a list: `risk_factors.exists(f, f in ['a', 'b'])`".into()),
                    );
                }
                self.check(&mut comprehension.iter_range, next, true)?;
                let before = self.locals.len();
                self.locals.push(comprehension.iter_var.clone());
                self.locals.extend(comprehension.iter_var2.clone());
                self.locals.push(comprehension.accu_var.clone());
                let parts = [
                    &mut comprehension.accu_init,
                    &mut comprehension.loop_cond,
                    &mut comprehension.loop_step,
                    &mut comprehension.result,
                ];
                for part in parts {
                    self.check(part, next, true)?;
                }
                self.locals.truncate(before);
                Ok(())
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(id, "maps and messages cannot be written in a rule".into(), None)
            }
        }
    }

    /// `tags['key']` as `tags.key`, so that a missing tag is null in both.
    fn tag_by_index(&self, id: u64, call: &mut CallExpr) -> Result<Option<Expr>, ExprError> {
        let [operand, index] = call.args.as_mut_slice() else { return Ok(None) };
        if call.func_name != operators::INDEX || !is_tags(operand) {
            return Ok(None);
        }
        let Expr::Literal(LiteralValue::String(key)) = &index.expr else {
            let hint = "write the key as a text: `tags['cost centre']`";
            return self.refuse(id, "tags are indexed by a literal key".into(), Some(hint.into()));
        };
        let field = key.inner().to_ascii_lowercase();
        Ok(Some(Expr::Select(SelectExpr { operand: Box::new(std::mem::take(operand)), field, test: false })))
    }

    /// Texts are ordered by their letters: `severity >= 'high'` would mean something nobody meant.
    fn check_order(&self, id: u64, function: &str, left: &IdedExpr, right: &IdedExpr) -> Result<(), ExprError> {
        let orders = [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];
        let level = |node: &IdedExpr| match &node.expr {
            Expr::Ident(name) => Name::of(name).filter(|name| matches!(name, Name::Severity | Name::Risk)),
            _ => None,
        };
        match level(left).or_else(|| level(right)).filter(|_| orders.contains(&function)) {
            Some(name) => self.refuse(
                id,
                format!("`{}` is a word, and words have no order here", name.as_str()),
                Some(format!("list the levels: `{} in ['high', 'critical']`", name.as_str())),
            ),
            None => Ok(()),
        }
    }

    fn check_pattern(&mut self, id: u64, on_value: bool, args: &[IdedExpr]) -> Result<(), ExprError> {
        let literal = match args {
            [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }] if on_value => text.inner(),
            _ => {
                return self.refuse(
                    id,
                    "`matches` takes one literal pattern".into(),
                    Some("write it as `name.matches('^public')`".into()),
                );
            }
        };
        match regex::RegexBuilder::new(literal).size_limit(1 << 18).build() {
            Ok(regex) => {
                self.patterns.push((literal.into(), regex));
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                let last = message.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
                self.refuse(id, format!("not a regular expression: {last}"), None)
            }
        }
    }
}

fn is_tags(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if matches!(Name::of(name), Some(Name::Tags | Name::GroupTags | Name::AccountTags)))
}

/// Lower-cases the text literals of `literal` where `name` is a name whose values are.
fn fold_case(name: &IdedExpr, literal: &mut IdedExpr) {
    let named = match &name.expr {
        Expr::Ident(text) => Name::of(text),
        _ => None,
    };
    if !named.is_some_and(Name::ignores_case) && !is_tags(name) {
        return;
    }
    let lower = |node: &mut IdedExpr| {
        if let Expr::Literal(LiteralValue::String(text)) = &mut node.expr {
            let lower = text.inner().to_lowercase();
            // A bare GUID names a Defender recommendation, as it does in `key:`.
            let bare = named == Some(Name::Key) && crate::ids::is_guid(&lower);
            *text = CelString::from(if bare { format!("defender:{lower}") } else { lower });
        }
    };
    match &mut literal.expr {
        Expr::List(list) => list.elements.iter_mut().for_each(lower),
        _ => lower(literal),
    }
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
        Expr::Ident(text) => Name::of(text).filter(|name| name.is_text()).map(|name| (name, None)),
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

/// What an expression sees: the assessment and the facts, borrowed, read on demand.
struct View<'a> {
    assessment: &'a Assessment,
    facts: &'a Facts,
    needs: AtomicU16,
}

impl View<'_> {
    fn missing<'b>(&self, need: Need) -> Option<CowVal<'b, 'b>> {
        self.needs.fetch_or(1_u16.checked_shl(need as u32).unwrap_or(0), Ordering::Relaxed);
        None
    }

    fn tag<'b>(&'b self, fact: &'b Fact<Tags>, need: Need, key: &str) -> Option<CowVal<'b, 'b>> {
        match fact {
            Some(known) => self.optional(known.value.get(key)),
            None => self.missing(need),
        }
    }

    /// A text; one over the limit is as good as not known, never cut.
    fn text<'b>(&self, value: &'b str) -> Option<CowVal<'b, 'b>> {
        if value.len() > MAX_TEXT {
            return self.missing(Need::Expression);
        }
        Some(CowVal::owned(CelString::from(value)))
    }

    fn optional<'b>(&self, value: Option<&'b str>) -> Option<CowVal<'b, 'b>> {
        value.map_or_else(|| Some(CowVal::owned(CelNull)), |value| self.text(value))
    }

    /// A list; one over the limits is as good as not known, never cut.
    fn list<'b>(&self, values: impl ExactSizeIterator<Item = &'b str>) -> Option<CowVal<'b, 'b>> {
        if values.len() > MAX_LIST {
            return self.missing(Need::Expression);
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            if value.len() > MAX_TEXT {
                return self.missing(Need::Expression);
            }
            list.push(Box::new(CelString::from(value)) as Box<dyn Val + 'b>);
        }
        Some(CowVal::owned(CelList::from(list)))
    }

    fn tag_map<'b>(&'b self, fact: &'b Fact<Tags>, need: Need) -> Option<CowVal<'b, 'b>> {
        let Some(known) = fact else { return self.missing(need) };
        if known.value.0.len() > MAX_LIST || known.value.0.values().any(|value| value.len() > MAX_TEXT) {
            return self.missing(Need::Expression);
        }
        let entries = known.value.0.iter().map(|(key, value)| {
            (CelMapKey::from(key.to_ascii_lowercase()), Box::new(CelString::from(value.as_str())) as Box<dyn Val + 'b>)
        });
        Some(CowVal::owned(CelMap::from(entries.collect::<HashMap<_, _>>())))
    }

    fn group_tags(&self) -> Option<&Fact<Tags>> {
        // What has no resource group has no tags of one: known, and empty.
        self.assessment.resource.group().is_some().then_some(&self.facts.group_tags)
    }
}

static NAMES: LazyLock<FxHashMap<&'static str, Name>> =
    LazyLock::new(|| Name::ALL.iter().map(|name| (name.as_str(), *name)).collect());

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Some(name) = NAMES.get(variable).copied() else {
            // A tag, `tags.env`: answered whole, so that no map is built.
            let (scope, key) = variable.split_once('.')?;
            return match NAMES.get(scope)? {
                Name::Tags => self.tag(&self.facts.tags, Need::Tags, key),
                Name::GroupTags => match self.group_tags() {
                    Some(fact) => self.tag(fact, Need::GroupTags, key),
                    None => Some(CowVal::owned(CelNull)),
                },
                Name::AccountTags => self.tag(&self.facts.account_tags, Need::AccountTags, key),
                _ => None,
            };
        };
        let a = self.assessment;
        if let Some(text) = name.text(a) {
            return self.optional(text);
        }
        match name {
            Name::Severity => self.missing(Need::Severity),
            Name::Risk => self.missing(Need::Risk),
            Name::Account => self.missing(Need::Account),
            Name::Areas => self.list(a.recommendation.areas.iter().map(|area| &**area)),
            Name::RiskFactors => match &a.risk {
                Some(risk) => self.list(risk.factors.iter().map(|factor| &**factor)),
                None => self.missing(Need::Risk),
            },
            Name::AttackPaths => match &a.risk {
                Some(risk) => Some(CowVal::owned(CelInt::from(i64::from(risk.attack_paths)))),
                None => self.missing(Need::Risk),
            },
            Name::AgeDays => match crate::rule::age(a, self.facts) {
                Some(age) => Some(CowVal::owned(CelInt::from(age.as_hours().checked_div(24).unwrap_or(0)))),
                None => self.missing(Need::Time),
            },
            Name::Ancestors => match &self.facts.ancestors {
                Some(known) => self.list(known.value.iter().map(crate::scope::ScopeId::as_str)),
                None => self.missing(Need::Ancestors),
            },
            Name::Tags => self.tag_map(&self.facts.tags, Need::Tags),
            Name::GroupTags => match self.group_tags() {
                Some(fact) => self.tag_map(fact, Need::GroupTags),
                None => Some(CowVal::owned(CelMap::default())),
            },
            Name::AccountTags => self.tag_map(&self.facts.account_tags, Need::AccountTags),
            // All of these are texts: known or null, unless over the limit.
            Name::Key
            | Name::Title
            | Name::Category
            | Name::Policy
            | Name::Source
            | Name::Cloud
            | Name::Kind
            | Name::Region
            | Name::Group
            | Name::Resource
            | Name::ResourceName
            | Name::Connector => self.missing(Need::Expression),
        }
    }
}
