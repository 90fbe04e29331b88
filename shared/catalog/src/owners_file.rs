//! Owners in a file: YAML, or a table as CSV.

use std::ops::Range;

use amend_domain::{
    notice::is_address,
    owners::{Mapped, Owners},
    pattern::Pattern,
};

use crate::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind, Shape, may, must},
    yaml::{self, Node},
};

static OWNER: Shape = Shape {
    name: "an owner",
    fields: &[
        may("name", Kind::Text, "What tags and rules call them; `*` stands for anything."),
        may(
            "account",
            Kind::Text,
            "Where that holds, by id: a subscription, account or project; everywhere, if absent.",
        ),
        may("owner", Kind::Text, "Who they are: best an address; what they are called, if absent."),
        may("manager", Kind::Text, "Who is told of what is overdue: an address."),
    ],
};

/// A file of owners.
pub static FILE: Shape = Shape {
    name: "a file of owners",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        must("owners", Kind::List(&Kind::Map(&OWNER)), "Owners, in order: the first that fits counts."),
    ],
};

/// The columns of a table.
const COLUMNS: [&str; 4] = ["name", "account", "owner", "manager"];

/// The JSON Schema of such files.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend owners")
}

/// Reads a file of owners: a table, where its name ends with `.csv`; else YAML.
///
/// # Errors
/// Every mistake in it.
pub fn load(file: &SourceText) -> Result<Owners, Mistakes> {
    let mut mistakes = Collector::new(file);
    let is_table = file.name.to_ascii_lowercase().ends_with(".csv");
    let rows = if is_table { table(file, &mut mistakes) } else { document(file, &mut mistakes) };
    if rows.is_empty() && !mistakes.has_errors() {
        let hint = "a first line `name,account,owner,manager`, and a row for each owner; or YAML, in a file that does not end with `.csv`";
        mistakes.error_at(0..0, "there are no owners in it", Some(hint.into()));
    }
    let owners = rows.into_iter().filter_map(|(at, row)| mapped(at, row, &mut mistakes)).collect();
    let owners = Owners::new(owners, &file.name);
    mistakes.finish().into_result(Some(owners)).map(|(owners, _)| owners)
}

/// The texts of a row, in the order of the columns, and where it stands.
type Row = (Range<usize>, [String; 4]);

fn document(file: &SourceText, mistakes: &mut Collector) -> Vec<Row> {
    let Some(root) = yaml::parse(file, mistakes) else { return Vec::new() };
    shape::check(&root, Kind::Map(&FILE), mistakes);
    let elements = root.get("owners").map(Node::elements).unwrap_or_default();
    elements
        .iter()
        .map(|node| {
            let text = |member: &str| node.get(member).map(|node| mistakes.text(node)).unwrap_or_default();
            (node.span.clone(), COLUMNS.map(text))
        })
        .collect()
}

fn table(file: &SourceText, mistakes: &mut Collector) -> Vec<Row> {
    let text = file.text.trim_start_matches('\u{feff}');
    let skipped = file.text.len().saturating_sub(text.len());
    let delimiter = if text.lines().next().is_some_and(|line| line.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let at = |position: Option<&csv::Position>, columns: &csv::StringRecord| {
        let start = position.map_or(0, |position| usize::try_from(position.byte()).unwrap_or_default());
        let start = start.saturating_add(skipped).min(file.text.len());
        // What stands before a row belongs to it, to the reader: empty lines and comments.
        let mut rest = file.text.get(start..).unwrap_or_default().trim_start();
        while let Some((_, after)) = rest.strip_prefix('#').and_then(|comment| comment.split_once('\n')) {
            rest = after.trim_start();
        }
        let start = file.text.len().saturating_sub(rest.len());
        let length = columns.as_slice().len().saturating_add(columns.len().saturating_sub(1)).max(1);
        start..file.text.floor_char_boundary(start.saturating_add(length))
    };
    let heads = match reader.headers() {
        Ok(heads) => heads.clone(),
        Err(error) => {
            mistakes.error_at(0..1.min(file.text.len()), format!("this is no table: {error}"), None);
            return Vec::new();
        }
    };
    let mut places = Vec::new();
    for head in &heads {
        let place = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(head));
        let message = match place {
            _ if head.is_empty() => format!("column {} has no name", places.len().saturating_add(1)),
            None => format!("there is no column `{head}` here"),
            Some(_) if places.contains(&place) => format!("the column `{head}` stands here twice"),
            Some(_) => {
                places.push(place);
                continue;
            }
        };
        let columns = COLUMNS.join(", ");
        let hint = format!("the columns are {columns}, each once, in any order, separated by `,` or by `;`");
        mistakes.error_at(at(heads.position(), &heads), message, Some(hint));
        return Vec::new();
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let place = at(error.position(), &csv::StringRecord::new());
                mistakes.error_at(place, format!("this row cannot be read: {error}"), None);
                continue;
            }
        };
        let place = at(record.position(), &record);
        if record.len() != heads.len() {
            let hint = match record.iter().any(|cell| cell.contains('\n')) {
                true => "is a double quote not closed in it?",
                false => "a row has as many separators as the first line; what holds one stands between double quotes",
            };
            let message = format!("this row has {} columns, and the first line {}", record.len(), heads.len());
            mistakes.error_at(place, message, Some(hint.into()));
            continue;
        }
        let mut row = <[String; 4]>::default();
        for (text, place) in record.iter().zip(&places) {
            if let Some(cell) = place.and_then(|place| row.get_mut(place)) {
                text.clone_into(cell);
            }
        }
        rows.push((place, row));
    }
    rows
}

/// The id of an account, however it is written: as lists show it, too.
fn native(text: &str) -> Option<Box<str>> {
    let text = text.trim_end_matches('/');
    let id = ["/subscriptions/", "aws:", "gcp:projects/", "projects/"]
        .iter()
        .find_map(|start| text.strip_prefix(start))
        .unwrap_or(text);
    let fits = (6..=36).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-:.".contains(c));
    fits.then(|| id.into())
}

fn mapped(at: Range<usize>, [name, account, owner, manager]: [String; 4], mistakes: &mut Collector) -> Option<Mapped> {
    let some = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(Box::<str>::from);
    let (name, owner, manager) = (some(&name), some(&owner), some(&manager));
    let mut wrong = |message: String, hint: &str| {
        mistakes.error_at(at.clone(), message, Some(hint.into()));
        None
    };
    let account = match account.trim() {
        "" => None,
        text => match native(text) {
            Some(native) => Some(native),
            None => {
                let hint = "a subscription, an account or a project by its id, as findings name it: `/subscriptions/…`, `111122223333`, `gcp:projects/…`";
                return wrong(format!("`{text}` is no account"), hint);
            }
        },
    };
    if name.is_none() && (account.is_none() || owner.is_none()) {
        let hint = "a name that tags and rules use; or an account, and who owns what nobody else does there";
        return wrong("this row is about nobody".into(), hint);
    }
    if owner.is_none() && manager.is_none() {
        return wrong("this row says nothing".into(), "add `owner`, or `manager`");
    }
    let manager_is_none = manager.as_deref().filter(|text| !is_address(text));
    let owner_is_none = owner.as_deref().filter(|text| text.contains('@') && !is_address(text));
    if let Some(who) = manager_is_none.or(owner_is_none) {
        return wrong(format!("`{}` is no address", who.escape_debug()), "write it as `mara@example.org`");
    }
    if owner.iter().chain(&name).any(|text| text.chars().any(char::is_control)) {
        return wrong("this row holds what cannot be seen".into(), "write the name again");
    }
    Some(Mapped { name: name.map(|name| Pattern::new(&name)), account, owner, manager })
}
