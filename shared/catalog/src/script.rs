//! A plan as a script for the clouds' own command lines: for those who do it by hand, in a pipeline of
//! their own, or where Amend may only read.
//!
//! INVARIANT: what comes from a cloud stands in single quotes, or in a comment without line ends.

use amend_domain::{
    Cloud,
    plan::{Plan, PlannedCall, Verdict, without_nulls},
};
use amend_models::{Api, Call, ModelError};
use serde_json::Value;

/// A bash script that does what `plans` say. It checks that it is signed in to the right account, shows
/// what there is, asks, and then writes. How to undo it stands in comments.
///
/// # Errors
/// When a plan names a call that is not known.
pub fn render(plans: &[Plan]) -> Result<String, ModelError> {
    let mut lines: Vec<String> = HEAD.lines().map(ToOwned::to_owned).collect();
    for plan in plans.iter().filter(|plan| plan.verdict == Verdict::Write) {
        lines.push(String::new());
        lines.push(comment(&format!("{} ({})", plan.title, plan.fix)));
        lines.push(comment(&format!("resource: {}", plan.at.resource)));
        lines.push(comment(&format!("plan: {}", plan.digest)));
        lines.push(signed_in(plan));
        lines.push(format!("say {}", quoted(&format!("{}: now", plan.at.resource))));
        for read in &plan.reads {
            // A read that finds nothing is no failure.
            lines.push(format!("{} || true", command(plan, &read.call, &read.with)?));
        }
        lines.push(format!("ask {}", quoted(&plan.title)));
        for PlannedCall { call, with, .. } in &plan.calls {
            lines.push(command(plan, call, with)?);
        }
        lines.push(format!("say {}", quoted(&format!("{}: done", plan.at.resource))));
        if !plan.undo.is_empty() {
            lines.push("# To undo:".to_owned());
            for PlannedCall { call, with, .. } in &plan.undo {
                lines.push(comment(&command(plan, call, with)?));
            }
        }
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

const HEAD: &str = r#"#!/usr/bin/env bash
# Made by amend. Read it before you run it. AMEND_YES=1 answers every question with yes.
set -euo pipefail
say() { printf '%s\n' "$1" >&2; }
ask() {
  if [ "${AMEND_YES:-}" = 1 ]; then return; fi
  read -r -p "$1? [y/N] " answer
  if [ "$answer" != y ]; then say 'stopped; what stands below was not done'; exit 1; fi
}
in_account() { if [ "$1" != "$2" ]; then say "signed in to $1, and this is about $2"; exit 1; fi; }"#;

/// Stops a script that is signed in elsewhere.
fn signed_in(plan: &Plan) -> String {
    let account = plan.at.account.as_ref().map(|account| account.native().to_owned());
    match (plan.at.cloud, account) {
        (Cloud::Aws, Some(account)) => {
            let region =
                plan.at.region.as_deref().map_or_else(String::new, |region| format!("--region {} ", quoted(region)));
            let asked = format!("aws sts get-caller-identity {region}--query Account --output text");
            format!("in_account \"$({asked})\" {}", quoted(&account))
        }
        // Both name the account in every call.
        _ => "true".to_owned(),
    }
}

fn command(plan: &Plan, call: &str, with: &Value) -> Result<String, ModelError> {
    let found = Call::find(call)?;
    let region = plan.at.region.as_deref();
    Ok(match found.api {
        Api::Aws { service, name, .. } => {
            // The command line has its own name for the calls of S3 that are not about files.
            let service = if &*service.name == "s3" { "s3api" } else { &service.name };
            let region = region.map_or_else(String::new, |region| format!(" --region {}", quoted(region)));
            let input = without_nulls(with);
            let input = match input.as_object() {
                Some(map) if map.is_empty() => String::new(),
                _ => format!(" --cli-input-json {}", quoted(&input.to_string())),
            };
            format!("aws {service} {}{region}{input}", dashed(name))
        }
        Api::Azure(arm) => {
            let id = with.get("id").and_then(Value::as_str).unwrap_or_default();
            let url = format!("{id}?api-version={}", arm.version);
            let body = with.get("body").filter(|body| !body.is_null());
            let body =
                body.map_or_else(String::new, |body| format!(" --body {}", quoted(&without_nulls(body).to_string())));
            let etag = with.get("if_match").and_then(Value::as_str);
            let etag =
                etag.map_or_else(String::new, |etag| format!(" --headers {}", quoted(&format!("If-Match={etag}"))));
            format!("az rest --method {} --url {}{etag}{body}", arm.method.to_ascii_lowercase(), quoted(&url))
        }
        Api::Gcp { api, method } => {
            let url = api.url(method, with).unwrap_or_default();
            let body = with.get("body").filter(|body| !body.is_null());
            let body = body.map_or_else(String::new, |body| {
                format!(
                    " --header 'Content-Type: application/json' --data {}",
                    quoted(&without_nulls(body).to_string())
                )
            });
            let etag = with.get("if_match").and_then(Value::as_str);
            let etag =
                etag.map_or_else(String::new, |etag| format!(" --header {}", quoted(&format!("If-Match: {etag}"))));
            format!(
                "curl --fail-with-body --silent --show-error --request {} --header \"Authorization: Bearer $(gcloud auth print-access-token)\"{etag}{body} {}",
                method.http_method,
                quoted(&url)
            )
        }
    })
}

/// `DescribeDBSnapshotAttributes` as `describe-db-snapshot-attributes`: as the AWS command line does.
fn dashed(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len().saturating_add(8));
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(at.saturating_add(1));
        let begins = before.is_some_and(|before| {
            before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
        });
        if letter.is_ascii_uppercase() && begins {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// One word of the shell, whatever it holds.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '=' | ',' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A comment of one line.
fn comment(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_as_the_command_line_names_them() {
        for (name, dashed_name) in [
            ("PutPublicAccessBlock", "put-public-access-block"),
            ("DescribeDBSnapshotAttributes", "describe-db-snapshot-attributes"),
            ("ModifyDBSnapshotAttribute", "modify-db-snapshot-attribute"),
            ("GetEbsEncryptionByDefault", "get-ebs-encryption-by-default"),
            ("GetQueueUrl", "get-queue-url"),
        ] {
            assert_eq!(dashed(name), dashed_name);
        }
    }

    #[test]
    fn nothing_that_a_cloud_says_leaves_its_quotes() {
        assert_eq!(quoted("it's $(rm -rf /) `x`"), r"'it'\''s $(rm -rf /) `x`'");
        assert_eq!(quoted(""), "''");
        assert_eq!(comment("a\nrm -rf /\r"), "# a rm -rf / ");
    }
}
