//! What is refused before a program is kept: names and functions that rules do not have, nesting,
//! comparisons that cannot mean what they say. Also makes comparisons ignore case where values do.

use cel::common::{
    ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators},
    types::CelString,
};

use super::{ExprError, FUNCTIONS, MAX_DEPTH, MAX_LIST, Name};

/// Where the brackets of a text nest too deep, or a chain of operators is too long, for the
/// parser and the evaluator to walk on a small stack.
pub(super) fn too_deep(source: &str) -> Option<usize> {
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

pub(super) fn plain_parse_error(message: &str) -> String {
    let message = message.trim().strip_prefix("Syntax error: ").unwrap_or(message.trim());
    if let Some((_, odd)) = message.split_once("token recognition error at: '") {
        return format!("`{}` is not an operator", odd.trim_end_matches('\'').trim());
    }
    let mut chars = message.chars();
    chars.next().map_or_else(|| "not an expression".to_owned(), |c| c.to_lowercase().chain(chars).collect())
}

/// The byte at a one-based line and column.
pub(super) fn byte_offset(source: &str, (line, column): (isize, isize)) -> usize {
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
pub(super) struct Checker<'s> {
    pub(super) source: &'s str,
    pub(super) info: &'s SourceInfo,
    /// The variables of the comprehensions around the node.
    pub(super) locals: Vec<String>,
    pub(super) patterns: Vec<(Box<str>, regex::Regex)>,
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
    pub(super) fn check(&mut self, node: &mut IdedExpr, depth: usize, looped: bool) -> Result<(), ExprError> {
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
