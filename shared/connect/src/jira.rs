//! Jira Cloud, by its platform API (v3). A ticket is an issue with the ticket's key as a label.
//! <https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/>

use amend_domain::ticket::{Change, Draft, Entry, Ticket};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    Check, Fields, Secret, Tracker, TrackerError,
    adf::document,
    service::{Service, add_labels, basic, cut, encoded, title},
};

/// The longest `summary`.
const SUMMARY: usize = 255;
/// The longest `description`, in characters; the document around the text is not counted.
const DESCRIPTION: usize = 30_000;
/// What the search may not find yet. It is eventually consistent.
/// <https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/>
const SETTLES: SignedDuration = SignedDuration::from_mins(2);
/// What is needed to open, comment and close.
const PERMISSIONS: [&str; 4] = ["BROWSE_PROJECTS", "CREATE_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES"];

/// How a Jira Cloud site is reached, and what issues are made there.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The site: `https://example.atlassian.net`.
    pub url: String,
    /// The address of the account.
    pub user: String,
    /// Its API token.
    pub token: Secret,
    /// The key of the project.
    pub project: String,
    /// The name of the issue type.
    pub kind: String,
    /// The name of the transition that closes; any that leads to a status that means done, if absent.
    pub close: Option<String>,
    /// The name of the transition that opens again; any that leads to another status, if absent.
    pub reopen: Option<String>,
    /// Fields of new issues.
    pub fields: Fields,
}

/// A Jira Cloud site.
pub struct Jira {
    service: Service,
    settings: Settings,
}

impl Jira {
    /// The tracker called `name` in the configuration.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn new(name: &str, settings: Settings) -> Result<Self, String> {
        let headers = vec![basic(&settings.user, &settings.token), ("user-agent".into(), "amend".into())];
        Ok(Self { service: Service::new(name, &settings.url, headers)?, settings })
    }

    fn entry(&self, issue: &Value) -> Result<Entry, TrackerError> {
        let key = self.service.text(issue, "/key")?;
        let category = self.service.text(issue, "/fields/status/statusCategory/key")?;
        let url = Some(self.service.url(&format!("/browse/{key}")).into());
        Ok(Entry { key: key.into(), url, open: category != "done" })
    }

    /// The account of a person, where there is exactly one with that address who can be assigned.
    async fn account(&self, owner: Option<&str>) -> Result<Option<String>, TrackerError> {
        let Some(owner) = owner.filter(|owner| owner.contains('@')) else { return Ok(None) };
        let (project, owner) = (encoded(&self.settings.project), encoded(owner));
        let path = format!("/rest/api/3/user/assignable/search?project={project}&query={owner}&maxResults=2");
        let answer = match self.service.send("GET", &path, None).await {
            // Whoever may not look people up opens issues nevertheless; the text names the owner.
            Err(TrackerError::Denied { .. } | TrackerError::Refused { .. }) => None,
            answer => answer?,
        };
        let found = answer.map(|reply| reply.body).unwrap_or_default();
        match found.as_array().map(Vec::as_slice) {
            Some([one]) => Ok(one.get("accountId").and_then(Value::as_str).map(ToOwned::to_owned)),
            _ => Ok(None),
        }
    }

    /// The transition that leads there.
    async fn transition(&self, key: &str, open: bool) -> Result<String, TrackerError> {
        let path = format!("/rest/api/3/issue/{key}/transitions");
        let answer = self.service.get("GET", &path, None).await?.body;
        let all = answer.get("transitions").and_then(Value::as_array).cloned().unwrap_or_default();
        let named = if open { &self.settings.reopen } else { &self.settings.close };
        let category =
            |one: &Value| one.pointer("/to/statusCategory/key").and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = |one: &Value| one.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let fits = |one: &&Value| match named {
            Some(named) => name(one).eq_ignore_ascii_case(named),
            None if open => category(one) != "done",
            None => category(one) == "done",
        };
        // What was not begun is rather opened again than what is in progress.
        let found = all.iter().filter(fits).min_by_key(|one| category(one) != "new");
        let names: Vec<String> = all.iter().map(name).collect();
        let member = if open { "reopen" } else { "close" };
        let found = found.ok_or_else(|| {
            let why = match named {
                Some(named) => format!("no transition of {key} is called `{named}`"),
                None => format!("no transition of {key} {}s it", member),
            };
            self.service
                .refused(format!("{why}; there are: {}. Name one as `{member}` in amend.yaml", names.join(", ")))
        })?;
        self.service.text(found, "/id")
    }

    /// Whether a comment with this name is there.
    async fn heard(&self, key: &str, id: &str) -> Result<bool, TrackerError> {
        let path = format!("/rest/api/3/issue/{key}/comment?orderBy=-created&maxResults=50");
        let answer = self.service.get("GET", &path, None).await?.body;
        let comments = answer.get("comments").and_then(Value::as_array);
        let marker = format!("({id})");
        Ok(comments.is_some_and(|all| all.iter().any(|one| one.to_string().contains(&marker))))
    }
}

#[async_trait]
impl Tracker for Jira {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        if let Some(told) = &ticket.told.entry {
            let path = format!("/rest/api/3/issue/{}?fields=status", encoded(&told.key));
            if let Some(issue) = self.service.send("GET", &path, None).await? {
                return self.entry(&issue.body).map(Some);
            }
            // INVARIANT: it is gone where we may see the project; else we may not see it any more.
            let project = encoded(&self.settings.project);
            let path = format!("/rest/api/3/mypermissions?projectKey={project}&permissions=BROWSE_PROJECTS");
            let granted = self.service.get("GET", &path, None).await?.body;
            return match granted.pointer("/permissions/BROWSE_PROJECTS/havePermission") {
                Some(Value::Bool(true)) => Ok(None),
                _ => Err(self.service.denied(format!("the project {} may not be seen", self.settings.project))),
            };
        }
        let jql =
            format!("project = \"{}\" AND labels = \"{}\" ORDER BY created ASC", self.settings.project, ticket.id);
        let body = json!({ "jql": jql, "fields": ["status"], "maxResults": 1 });
        let found = self.service.get("POST", "/rest/api/3/search/jql", Some(&body)).await?.body;
        found.pointer("/issues/0").map(|issue| self.entry(issue)).transpose()
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, _: Timestamp) -> Result<Entry, TrackerError> {
        let mut fields = Map::from_iter([
            ("project".to_owned(), json!({ "key": self.settings.project })),
            ("issuetype".to_owned(), json!({ "name": self.settings.kind })),
            ("summary".to_owned(), json!(title(&draft.title, SUMMARY))),
            ("description".to_owned(), document(&cut(&draft.body, DESCRIPTION))),
        ]);
        if let Some(account) = self.account(draft.owner.as_deref()).await? {
            fields.insert("assignee".into(), json!({ "accountId": account }));
        }
        self.settings.fields.put(ticket, &self.service.name, &mut fields)?;
        // INVARIANT: by the label it is found again; what the configuration adds does not take it away.
        add_labels(&mut fields, &["amend", ticket.id.as_str()]);
        let answer = self.service.get("POST", "/rest/api/3/issue", Some(&json!({ "fields": fields }))).await?.body;
        let key = self.service.text(&answer, "/key")?;
        let url = Some(self.service.url(&format!("/browse/{key}")).into());
        Ok(Entry { key: key.into(), url, open: true })
    }

    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        _: Timestamp,
    ) -> Result<Entry, TrackerError> {
        let key = encoded(&entry.key);
        // Looked up before anything is said: what cannot be done is not announced over and over.
        let transition = match change.open {
            Some(open) if open != entry.open => Some(self.transition(&key, open).await?),
            _ => None,
        };
        let heard = ticket.told.telling.is_some() && self.heard(&key, &change.id).await?;
        if !heard {
            let text = format!("{}\n\n({})", cut(&change.text, DESCRIPTION), change.id);
            let path = format!("/rest/api/3/issue/{key}/comment");
            self.service.get("POST", &path, Some(&json!({ "body": document(&text) }))).await?;
        }
        if let Some(id) = transition {
            let path = format!("/rest/api/3/issue/{key}/transitions");
            self.service.get("POST", &path, Some(&json!({ "transition": { "id": id } }))).await?;
        }
        Ok(Entry { open: change.open.unwrap_or(entry.open), ..entry.clone() })
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        let who = self.service.get("GET", "/rest/api/3/myself", None).await?.body;
        let mut checks = vec![Check::good(format!("signed in as {}", self.service.text(&who, "/displayName")?))];
        let project = encoded(&self.settings.project);
        let path = format!("/rest/api/3/mypermissions?projectKey={project}&permissions={}", PERMISSIONS.join(","));
        let Some(granted) = self.service.send("GET", &path, None).await? else {
            let missing = format!("there is no project `{}`, or this account may not see it", self.settings.project);
            checks.push(Check::holds(format!("project {}", self.settings.project), false, missing));
            return Ok(checks);
        };
        for permission in PERMISSIONS {
            let have = granted.body.pointer(&format!("/permissions/{permission}/havePermission"));
            let missing = format!("give the account {permission} in the project {}", self.settings.project);
            checks.push(Check::holds(permission, have == Some(&json!(true)), missing));
        }
        let path = format!("/rest/api/3/issue/createmeta/{project}/issuetypes?maxResults=200");
        let kinds = self.service.get("GET", &path, None).await?.body;
        let kinds = kinds.get("issueTypes").and_then(Value::as_array).cloned().unwrap_or_default();
        let named = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(self.settings.kind.as_str());
        let Some(kind) = kinds.iter().find(named) else {
            let names: Vec<&str> = kinds.iter().filter_map(|one| one.get("name")).filter_map(Value::as_str).collect();
            let missing = format!("the project has {}; name one of them as `type`", names.join(", "));
            checks.push(Check::holds(format!("issue type {}", self.settings.kind), false, missing));
            return Ok(checks);
        };
        checks.push(Check::good(format!("issue type {}", self.settings.kind)));
        let path = format!(
            "/rest/api/3/issue/createmeta/{project}/issuetypes/{}?maxResults=200",
            self.service.text(kind, "/id")?
        );
        let meta = self.service.get("GET", &path, None).await?.body;
        let meta = meta.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
        let id = |field: &Value| field.get("fieldId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let given = |name: &str| {
            ["project", "issuetype", "summary", "description", "labels", "reporter"].contains(&name)
                || self.settings.fields.names().any(|given| given == name)
        };
        for field in ["labels", "description"].into_iter().chain(self.settings.fields.names()) {
            let there = meta.iter().any(|one| id(one) == field);
            checks.push(Check::holds(
                format!("field {field}"),
                there,
                "the issue type does not have it: put it on the create screen",
            ));
        }
        for field in &meta {
            let flag = |name: &str| field.get(name) == Some(&json!(true));
            if flag("required") && !flag("hasDefaultValue") && !given(&id(field)) {
                let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
                let missing = format!("the issue type requires it: give `{}` under `fields`", id(field));
                checks.push(Check::holds(format!("field {name}"), false, missing));
            }
        }
        Ok(checks)
    }

    fn settles(&self) -> SignedDuration {
        SETTLES
    }
}
