//! GitHub Issues, by the REST API. A ticket is an issue with the label `amend` and its key in a comment that is not
//! shown.
//! <https://docs.github.com/rest/issues>

use amend_domain::ticket::{Change, Draft, Entry, Ticket};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use serde_json::{Map, Value, json};

use crate::{
    Check, Fields, Secret, Tracker, TrackerError,
    service::{Service, add_labels, cut, encoded, title},
};

/// The label of every issue.
const LABEL: &str = "amend";
/// The version of the API.
const VERSION: &str = "2022-11-28";
/// The longest title and text, in characters.
const TITLE: usize = 256;
const BODY: usize = 65_000;
/// Issues on a page, and pages that are read.
const PAGE: usize = 100;
const PAGES: usize = 20;

/// How GitHub is reached, and what issues are made there.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The API: `https://api.github.com`.
    pub url: String,
    /// The repository: `owner/name`.
    pub repository: String,
    /// A token that may read and write its issues.
    pub token: Secret,
    /// Fields of new issues: `assignees`, `labels`, `milestone`, `type`.
    pub fields: Fields,
}

/// The issues of a repository.
pub struct GitHub {
    service: Service,
    settings: Settings,
}

impl GitHub {
    /// The tracker called `name` in the configuration.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn new(name: &str, settings: Settings) -> Result<Self, String> {
        let headers = vec![
            ("authorization".into(), format!("Bearer {}", settings.token.reveal())),
            ("x-github-api-version".into(), VERSION.into()),
            ("user-agent".into(), "amend".into()),
        ];
        Ok(Self { service: Service::new(name, &settings.url, headers)?, settings })
    }

    fn path(&self, below: &str) -> String {
        format!("/repos/{}{below}", self.settings.repository)
    }

    fn entry(&self, issue: &Value) -> Result<Entry, TrackerError> {
        let key = self.service.text(issue, "/number")?.into();
        let url = Some(self.service.text(issue, "/html_url")?.into());
        Ok(Entry { key, url, open: self.service.text(issue, "/state")? == "open" })
    }

    /// Whether a comment with this name is there.
    async fn heard(&self, ticket: &Ticket, number: &str, id: &str) -> Result<bool, TrackerError> {
        let since = ticket
            .told
            .telling
            .as_ref()
            .map_or(ticket.began, |telling| telling.at)
            .saturating_sub(SignedDuration::from_mins(10));
        let since = since.unwrap_or(ticket.began).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let path = self.path(&format!("/issues/{number}/comments?per_page={PAGE}&since={}", encoded(&since)));
        let comments = self.service.get("GET", &path, None).await?.body;
        Ok(comments.as_array().is_some_and(|all| all.iter().any(|one| holds(one, &marker(id)))))
    }
}

/// A comment in Markdown that is not shown.
fn marker(id: &str) -> String {
    format!("<!-- {id} -->")
}

fn holds(one: &Value, marker: &str) -> bool {
    one.get("body").and_then(Value::as_str).is_some_and(|body| body.contains(marker))
}

/// A text in Markdown that mentions nobody: what events and resources are called must not call people, or other
/// issues. Code, which mentions nobody, stays as it is.
fn quiet(markdown: &str) -> String {
    let mut quiet = String::with_capacity(markdown.len());
    let (mut done, mut in_code) = (0, false);
    for (event, range) in Parser::new(markdown).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(_) if !in_code && range.start >= done => {
                quiet.push_str(markdown.get(done..range.start).unwrap_or_default());
                let mut before = ' ';
                for c in markdown.get(range.clone()).unwrap_or_default().chars() {
                    quiet.push(c);
                    if (c == '@' || c == '#') && !before.is_alphanumeric() {
                        quiet.push(JOINER);
                    }
                    before = c;
                }
                done = range.end;
            }
            _ => {}
        }
    }
    quiet.push_str(markdown.get(done..).unwrap_or_default());
    quiet
}

/// A character without width.
const JOINER: char = '\u{2060}';

#[async_trait]
impl Tracker for GitHub {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        if let Some(told) = &ticket.told.entry {
            let path = self.path(&format!("/issues/{}", encoded(&told.key)));
            if let Some(issue) = self.service.send("GET", &path, None).await? {
                return self.entry(&issue.body).map(Some);
            }
            // INVARIANT: it is gone where the repository is there; else we may not see it any more.
            self.service.get("GET", &self.path(""), None).await?;
            return Ok(None);
        }
        // Listed, not searched for: the search may not know of it yet.
        let since = ticket.began.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(ticket.began);
        let since = encoded(&since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let marker = marker(ticket.id.as_str());
        for page in 1..=PAGES {
            let query = format!(
                "labels={LABEL}&state=all&sort=created&direction=asc&since={since}&per_page={PAGE}&page={page}"
            );
            let found = self.service.get("GET", &self.path(&format!("/issues?{query}")), None).await?.body;
            let list = found.as_array().cloned().unwrap_or_default();
            if let Some(issue) = list.iter().find(|one| holds(one, &marker)) {
                return self.entry(issue).map(Some);
            }
            if list.len() < PAGE {
                return Ok(None);
            }
        }
        // INVARIANT: what was not looked through to its end may hold it.
        Err(self.service.busy(format!("more than {} issues changed since {since}", PAGE.saturating_mul(PAGES)), None))
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, _: Timestamp) -> Result<Entry, TrackerError> {
        let body = format!("{}\n\n{}", cut(&quiet(&draft.body), BODY), marker(ticket.id.as_str()));
        let mut issue = Map::from_iter([("title".to_owned(), json!(title(&draft.title, TITLE)))]);
        self.settings.fields.put(ticket, &self.service.name, &mut issue)?;
        // INVARIANT: by its label and its text it is found again.
        issue.insert("body".into(), json!(body));
        add_labels(&mut issue, &[LABEL]);
        let issue = self.service.get("POST", &self.path("/issues"), Some(&Value::Object(issue))).await?.body;
        self.entry(&issue)
    }

    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        _: Timestamp,
    ) -> Result<Entry, TrackerError> {
        let number = encoded(&entry.key);
        let heard = ticket.told.telling.is_some() && self.heard(ticket, &number, &change.id).await?;
        if !heard {
            let body = format!("{}\n\n{}", cut(&quiet(&change.text), BODY), marker(&change.id));
            let path = self.path(&format!("/issues/{number}/comments"));
            self.service.get("POST", &path, Some(&json!({ "body": body }))).await?;
        }
        let state = match change.open {
            Some(open) if open == entry.open => return Ok(entry.clone()),
            Some(true) => json!({ "state": "open", "state_reason": "reopened" }),
            Some(false) => json!({ "state": "closed", "state_reason": "completed" }),
            None => return Ok(entry.clone()),
        };
        let issue = self.service.get("PATCH", &self.path(&format!("/issues/{number}")), Some(&state)).await?.body;
        self.entry(&issue)
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        let name = &self.settings.repository;
        let Some(found) = self.service.send("GET", &self.path(""), None).await? else {
            let missing = "there is none, or the token may not see it: give the token access to it";
            return Ok(vec![Check::holds(format!("repository {name}"), false, missing)]);
        };
        let flag = |pointer: &str| found.body.pointer(pointer) == Some(&json!(true));
        let mut checks = vec![
            Check::good(format!("repository {name}")),
            Check::holds("issues are on", flag("/has_issues"), "turn them on in the settings of the repository"),
            Check::holds("it takes changes", !flag("/archived"), "the repository is archived"),
        ];
        let writes = ["push", "triage", "maintain", "admin"].iter().any(|role| flag(&format!("/permissions/{role}")));
        let missing =
            "give the token `Issues: read and write` in the repository, and its owner the role Triage or more";
        checks.push(Check::holds("issues can be labelled and closed", writes, missing));
        let left = found.headers.iter().find(|(name, _)| name == "x-ratelimit-remaining");
        if let Some((_, left)) = left {
            checks.push(Check::good(format!("{left} requests are left in this hour")));
        }
        Ok(checks)
    }
}
