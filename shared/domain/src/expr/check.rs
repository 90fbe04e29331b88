//! What is refused before a program is kept: names and functions that are not there, nesting,
//! comparisons that cannot mean what they say. Also makes comparisons ignore case where values do, and
//! members of nothing nothing.

use std::{ops::Range, sync::PoisonError};

use cel::{
    Env,
    common::{
        ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators},
        types::CelString,
    },
};

use super::{
    ExprError, FUNCTIONS, MAX_DEPTH, MAX_LIST, MAX_SOURCE, Name, PATTERNS,
    formula::{self, MEMBER, Used},
};

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) enum Dialect<'a> {
    /// In a rule: a condition on an assessment and the facts.
    Rule,
    /// In a fix: a value made of JSON values.
    Fix {
        /// The names it may use.
        names: &'a [&'a str],
    },
}

impl Dialect<'_> {
    fn longest(self) -> usize {
        match self {
            Self::Rule => MAX_SOURCE,
            Self::Fix { .. } => formula::MAX_FORMULA,
        }
    }

    /// How deep comprehensions may stand in each other.
    fn loops(self) -> usize {
        match self {
            Self::Rule => 1,
            Self::Fix { .. } => 3,
        }
    }

    fn split_hint(self) -> &'static str {
        match self {
            Self::Rule => "split the rule",
            Self::Fix { .. } => "name parts of it under `let`",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Rule => "write a condition such as `tags.env == 'prod'`",
            Self::Fix { .. } => "write a value such as `=target.name`",
        }
    }

    fn functions(self) -> Vec<&'static str> {
        let of_fixes = formula::FUNCTIONS.iter().filter_map(|(form, _)| form.split('(').next());
        match self {
            Self::Rule => FUNCTIONS.to_vec(),
            Self::Fix { .. } => FUNCTIONS.iter().copied().chain(of_fixes).collect(),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Rule => "rules",
            Self::Fix { .. } => "fixes",
        }
    }
}

/// Parses and checks `source`. Its literal patterns are compiled.
pub(super) fn parse(source: &str, env: &Env, dialect: Dialect<'_>) -> Result<(IdedExpr, Used), ExprError> {
    let fail = |message: String, hint: Option<String>, span: Range<usize>| Err(ExprError { message, hint, span });
    let whole = 0..source.len();
    if source.trim().is_empty() {
        return fail("the expression is empty".into(), Some(dialect.example().into()), whole);
    }
    let longest = dialect.longest();
    if source.len() > longest {
        let hint = match dialect {
            Dialect::Rule => "split the rule, or use conditions (`severity:`, `tag:`) for parts of it",
            Dialect::Fix { .. } => dialect.split_hint(),
        };
        let message = format!("the expression has {} bytes; at most {longest} are allowed", source.len());
        return fail(message, Some(hint.into()), whole);
    }
    // INVARIANT: what reaches the parser cannot exhaust the stack, in debug builds either.
    if let Some(at) = too_deep(source) {
        let message = format!("the expression nests deeper than {MAX_DEPTH}");
        return fail(message, Some(dialect.split_hint().into()), at..at.saturating_add(1));
    }
    let (mut ast, info) = env.parser().max_recursion_depth(96).parse_with_source_info(source).map_err(|errors| {
        let first = errors.errors.first();
        let message = first.map_or_else(|| "not an expression".to_owned(), |e| plain_parse_error(&e.msg));
        let at = first.map_or(0, |e| byte_offset(source, e.pos));
        let single = source.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "").contains('=');
        let hint = single.then(|| "compare with `==`".to_owned());
        ExprError { message, hint, span: at..at.saturating_add(1).min(source.len()).max(at) }
    })?;
    let mut checker =
        Checker { source, info: &info, dialect, locals: Vec::new(), patterns: Vec::new(), used: Used::default() };
    checker.check(&mut ast, 1, 0)?;
    let Checker { patterns: compiled, used, .. } = checker;
    PATTERNS.write().unwrap_or_else(PoisonError::into_inner).extend(compiled);
    Ok((ast, used))
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

/// Walks a program once, from the top.
struct Checker<'s> {
    source: &'s str,
    info: &'s SourceInfo,
    dialect: Dialect<'s>,
    /// The variables of the comprehensions around the node.
    locals: Vec<String>,
    patterns: Vec<(Box<str>, regex::Regex)>,
    used: Used,
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
    fn check(&mut self, node: &mut IdedExpr, depth: usize, loops: usize) -> Result<(), ExprError> {
        let id = node.id;
        if depth > MAX_DEPTH {
            return self.refuse(
                id,
                format!("the expression nests deeper than {MAX_DEPTH}"),
                Some(self.dialect.split_hint().into()),
            );
        }
        let next = depth.saturating_add(1);
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                if self.locals.iter().any(|local| local == name) {
                    return Ok(());
                }
                if let Dialect::Fix { names } = self.dialect {
                    if names.contains(&name.as_str()) {
                        self.used.names.push(name.clone());
                        return Ok(());
                    }
                    let hint = crate::settings::nearest(name, names.iter().copied()).map_or_else(
                        || format!("known are {}", names.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    let message = format!("`{name}` is not a name that is known here");
                    return self.refuse(id, message, Some(hint));
                }
                if Name::of(name).is_some() {
                    return Ok(());
                }
                let known = Name::ALL.iter().map(|n| n.as_str());
                let hint = crate::settings::nearest(name, known)
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| Some("docs/reference/expressions.md lists the names".into()));
                let name = name.clone();
                self.refuse(id, format!("`{name}` is not a name that rules know"), hint)
            }
            Expr::Select(select) if matches!(self.dialect, Dialect::Fix { .. }) => {
                if select.test {
                    let hint = "compare with null: `a.b != null`";
                    let message = "`has` does not tell here: what a cloud leaves out is null";
                    return self.refuse(id, message.into(), Some(hint.into()));
                }
                self.check(&mut select.operand, next, loops)?;
                let key = LiteralValue::String(CelString::from(std::mem::take(&mut select.field)));
                let key = IdedExpr { id, expr: Expr::Literal(key) };
                node.expr = self.member(std::mem::take(&mut select.operand), key);
                Ok(())
            }
            Expr::Select(select) => {
                // The keys of tags have no case.
                if is_tags(&select.operand) {
                    select.field.make_ascii_lowercase();
                }
                self.check(&mut select.operand, next, loops)
            }
            Expr::List(list) => {
                if list.elements.len() > MAX_LIST {
                    return self.refuse(id, format!("a list has at most {MAX_LIST} elements"), None);
                }
                list.elements.iter_mut().try_for_each(|element| self.check(element, next, loops))
            }
            Expr::Call(call) => {
                if matches!(self.dialect, Dialect::Rule)
                    && let Some(select) = self.tag_by_index(id, call)?
                {
                    node.expr = select;
                    return Ok(());
                }
                if let Some(target) = &mut call.target {
                    self.check(target, next, loops)?;
                }
                for arg in &mut call.args {
                    self.check(arg, next, loops)?;
                }
                let operator = !call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
                let functions = self.dialect.functions();
                if !operator && !functions.contains(&call.func_name.as_str()) {
                    let noun = self.dialect.noun();
                    let hint = crate::settings::nearest(&call.func_name, functions.iter().copied())
                        .map(|near| format!("did you mean `{near}`?"))
                        .or_else(|| Some(format!("{noun} have {}", functions.join(", "))));
                    let name = call.func_name.clone();
                    return self.refuse(id, format!("`{name}` is not a function that {noun} know"), hint);
                }
                if call.func_name == "matches" {
                    return self.check_pattern(id, call.target.is_some(), &call.args);
                }
                if matches!(self.dialect, Dialect::Fix { .. }) {
                    if let ([of, key], operators::INDEX) = (call.args.as_mut_slice(), call.func_name.as_str()) {
                        let (of, key) = (std::mem::take(of), std::mem::take(key));
                        node.expr = self.member(Box::new(of), key);
                    }
                    return Ok(());
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
                let loops = loops.saturating_add(1);
                if loops > self.dialect.loops() {
                    let (message, hint) = match self.dialect {
                        Dialect::Rule => (
                            "a comprehension inside another is not allowed",
                            "name the values in a list: `risk_factors.exists(f, f in ['a', 'b'])`",
                        ),
                        Dialect::Fix { .. } => {
                            ("comprehensions stand deeper in each other than 3", self.dialect.split_hint())
                        }
                    };
                    return self.refuse(id, message.into(), Some(hint.into()));
                }
                self.check(&mut comprehension.iter_range, next, loops)?;
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
                    self.check(part, next, loops)?;
                }
                self.locals.truncate(before);
                Ok(())
            }
            Expr::Map(map) if matches!(self.dialect, Dialect::Fix { .. }) => {
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                        return self.refuse(id, "messages cannot be written here".into(), None);
                    };
                    self.check(&mut entry.key, next, loops)?;
                    self.check(&mut entry.value, next, loops)?;
                }
                Ok(())
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(id, "maps and messages cannot be written in a rule".into(), None)
            }
        }
    }

    /// A member of nothing is nothing.
    fn member(&mut self, of: Box<IdedExpr>, key: IdedExpr) -> Expr {
        self.used.note(&of, &key);
        Expr::Call(CallExpr { func_name: MEMBER.to_owned(), target: None, args: vec![*of, key] })
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
