//! The steps that a source gives for a person, as Markdown that does no harm wherever it is shown.

use std::collections::HashSet;

/// Steps are not longer than that, in bytes.
const LONGEST: usize = 8_192;

/// HTML, as Defender writes it, or a plain text, as Markdown: paragraphs, lists, code and links to the web. Nothing,
/// where nothing is left of it.
pub(super) fn markdown(given: &str) -> Option<String> {
    let end = given.floor_char_boundary(LONGEST);
    let given = given.get(..end)?;
    // A text without tags keeps its lines.
    let is_html = given
        .split('<')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!'));
    let html = if is_html { given.to_owned() } else { ammonia::clean_text(given).replace("&#10;", "<br>") };
    let clean = ammonia::Builder::new()
        .tags(HashSet::from([
            "p",
            "br",
            "div",
            "span",
            "ol",
            "ul",
            "li",
            "b",
            "strong",
            "i",
            "em",
            "code",
            "pre",
            "a",
            "h1",
            "h2",
            "h3",
            "h4",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "blockquote",
        ]))
        .url_schemes(HashSet::from(["https", "http"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .clean(&html)
        .to_string();
    let text = htmd::convert(&clean).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
