//! Configuration: defaults, the file, the environment, and mistakes in all of them.

use std::path::Path;

use amend_catalog::SourceText;
use amend_domain::{Cloud, Source, problem::SourceOfTruth};
use amend_pipeline::{config, people};
use amend_store::Place;
use amend_tests::harness::moment;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<config::Config, String> {
    let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let file = SourceText::new("amend.yaml", text);
    config::load(Some(&file), Path::new("/etc/amend"), &environment, moment("2026-11-20T12:00:00Z"))
        .map(|(config, _)| config)
        .map_err(|mistakes| {
            mistakes
                .list()
                .iter()
                .map(|m| format!("{}:{}: {} ({})", m.file, m.line, m.message, m.hint.as_deref().unwrap_or("-")))
                .collect::<Vec<_>>()
                .join("\n")
        })
}

#[test]
fn the_file_is_read_and_the_environment_wins() {
    let text = "
version: 1
tenant: 6C1D4B1E-5a0f-4f0e-9a57-1f2e3d4c5b60
listen: '[::1]:9000'
rules: [rules/a.yaml, rules/b.yaml]
store: { path: data/amend.db }
source_of_truth: { aws: security-hub }
limits: { bytes: 2_000_000, records: 50 }
event_grid: { subscriptions: amend-prod }
";
    let config = load(text, &[("AMEND__LIMITS__RECORDS", "7"), ("AMEND__STORE__PATH", "/var/lib/amend.db")])
        .expect("no mistakes");
    assert_eq!(config.tenant.as_str(), "6c1d4b1e-5a0f-4f0e-9a57-1f2e3d4c5b60");
    assert_eq!(config.listen, "[::1]:9000");
    assert_eq!(config.rules, [Path::new("/etc/amend/rules/a.yaml"), Path::new("/etc/amend/rules/b.yaml")]);
    assert_eq!(config.store, Place::File("/var/lib/amend.db".into()));
    assert_eq!(config.truths, [(Cloud::Aws, SourceOfTruth(Source::SecurityHub))]);
    assert_eq!((config.limits.bytes, config.limits.records, config.limits.nesting), (2_000_000, 7, 64));
    let from = |name: &str| config.options.iter().find(|option| option.name == name).map(|option| option.from.clone());
    assert_eq!(from("limits.records").as_deref(), Some("AMEND__LIMITS__RECORDS"));
    assert_eq!(from("store.path").as_deref(), Some("AMEND__STORE__PATH"));
    assert_eq!(from("listen").as_deref(), Some("amend.yaml:4"));
    assert_eq!(from("log.level").as_deref(), Some("default"));
    assert!(config.options.iter().all(|option| !option.doc.is_empty()));
}

#[test]
fn a_file_may_have_the_value_of_a_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, missing) = (folder.path().join("url"), folder.path().join("missing").display().to_string());
    std::fs::write(&path, "postgres://amend:p%23w@127.0.0.1:5432/amend\r\n").expect("written");
    let path = path.display().to_string();
    let config = load("version: 1", &[("AMEND__STORE__URL_FILE", &path)]).expect("no mistakes");
    assert_eq!(config.store.to_string(), "postgres://amend@127.0.0.1:5432/amend");
    let from = config.options.iter().find(|option| option.name == "store.url").map(|option| option.from.as_str());
    assert_eq!(from, Some("AMEND__STORE__URL_FILE"));
    // An option that is called so is itself.
    let config = load("version: 1", &[("AMEND__FACTS__FILE", "facts.yaml")]).expect("no mistakes");
    assert_eq!(config.facts.as_deref(), Some(Path::new("/etc/amend/facts.yaml")));

    let found = load(
        "version: 1",
        &[
            ("AMEND__LOG__LEVEL", "info"),
            ("AMEND__LOG__LEVEL_FILE", &path),
            ("AMEND__STORE__KEYS_FILE", &missing),
            ("AMEND__STORE__KEY_FILE", &path),
        ],
    );
    let found = found.expect_err("mistakes");
    for expected in [
        "`AMEND__LOG__LEVEL_FILE` and `AMEND__LOG__LEVEL` give the same option",
        "missing`, which has the value, cannot be used",
        "`AMEND__STORE__KEY_FILE` names no option",
    ] {
        assert!(found.to_string().contains(expected), "{expected}: {found}");
    }
    assert!(!found.to_string().contains("p%23w"), "{found}");
}

#[test]
fn all_mistakes_are_shown_at_once_with_what_to_do() {
    let text = "
version: 2
listn: 127.0.0.1:1
listen: 0.0.0.0:8080
limits: { bytes: lots }
source_of_truth: { aws: securityhub }
";
    let found = load(text, &[("AMEND__LISTEN_ON", "x"), ("AMEND__LOG__LEVEL", "loud")]).expect_err("mistakes");
    for expected in [
        "`AMEND__LISTEN_ON` names no option (did you mean `AMEND__LISTEN`?)",
        "`loud` is no level",
        "amend.yaml:2: expected a whole number from 1 to 1",
        "amend.yaml:3: `listn` is not a member of amend.yaml (did you mean `listen`?)",
        "amend.yaml:4: `0.0.0.0:8080` is not a loopback address",
        "amend.yaml:5: expected a whole number",
        "amend.yaml:6: `securityhub` is not known here (did you mean `security-hub`?)",
    ] {
        assert!(found.contains(expected), "`{expected}` is not in\n{found}");
    }
}

#[test]
fn a_file_without_a_version_is_refused_and_no_file_is_fine() {
    assert!(load("listen: 127.0.0.1:1\n", &[]).expect_err("refused").contains("lacks `version`"));
    let (config, _) =
        config::load(None, Path::new(""), &[], moment("2026-11-20T12:00:00Z")).expect("the defaults are fine");
    assert_eq!(config.listen, "127.0.0.1:8080");
    assert!(config.rules.is_empty());
}

#[test]
fn people_are_known_by_their_tokens_and_only_as_long_as_they_hold() {
    let (token, digest) = people::new_token().expect("a token");
    assert!(token.starts_with("amend_") && token.len() == 49, "{token}");
    let (other, _) = people::new_token().expect("a token");
    let text = |until: &str| {
        format!("version: 1\npeople:\n  - {{ name: ann@contoso.com, token: '{digest}', until: '{until}' }}\n")
    };
    let who = |text: &str, token: &str| {
        let config = load(text, &[("AMEND__TOKEN", token)]).expect("no more than a warning");
        assert!(!format!("{config:?}").contains(&token[6..]), "the token is shown");
        assert!(config.remediate.named);
        config.who.name().to_owned()
    };
    // It is noon of the twentieth.
    assert_eq!(who(&text("2026-11-20"), &token), "ann@contoso.com", "to the end of the day");
    assert_eq!(who(&text("2026-11-19"), &token), people::LOCAL_USER);
    assert_eq!(who(&text("2026-11-20"), &other), people::LOCAL_USER);
    assert_eq!(load(&text("2026-11-20"), &[]).expect("fine").who.name(), people::LOCAL_USER);
    assert!(!load("version: 1\n", &[]).expect("fine").remediate.named);
    for (people, expected) in [
        ("[{ name: amend, token: 'D' }]", "`amend` is no name of a person"),
        ("[{ name: The Local User, token: 'D' }]", "is no name of a person"),
        ("[{ name: ann, token: 'D' }, { name: bob, token: 'D' }]", "it is the token of ann, too"),
        ("[{ name: ann, token: amend_x }]", "that is the token itself"),
        ("[{ name: ann, token: 'sha256:12' }]", "it is no digest of a token"),
        ("[{ name: ann, token: 'D', until: summer }]", "this is no day"),
        ("[{ name: ann }]", "lacks `token`"),
    ] {
        let people = people.replace('D', &digest);
        let mistakes = load(&format!("version: 1\npeople: {people}\n"), &[]).expect_err(expected);
        assert!(mistakes.contains(expected), "{mistakes}");
    }
    let mistakes = load(&format!("version: 1\ntoken: {token}\n"), &[]).expect_err("refused");
    assert!(mistakes.contains("a token stands in the environment, not in a file"), "{mistakes}");
    assert!(!mistakes.contains(&token), "{mistakes}");
}

#[test]
fn connectors_are_read_and_their_mistakes_are_shown() {
    let text = "
version: 1
connect:
  sec: { jira: { url: 'https://example.atlassian.net', user: a@example.org, token: t1, project: SEC, type: Bug, fields: { duedate: =ticket.due } } }
  snow: { servicenow: { url: 'https://example.service-now.com', user: amend } }
  hook: { webhook: { url: 'https://hooks.example.org/amend', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw } }
tickets:
  to: sec
  per_owner: 5
  routes:
    - { cloud: aws, account: '111122223333', to: snow }
    - { owner: ['*@data.example.org'], to: hook }
";
    let environment = [
        ("AMEND__CONNECT__SNOW__SERVICENOW__PASSWORD", "p1"),
        ("AMEND__CONNECT__GH__GITHUB__REPOSITORY", "acme/findings"),
        ("AMEND__CONNECT__GH__GITHUB__TOKEN", "g1"),
    ];
    let config = load(text, &environment).expect("no mistakes");
    let names: Vec<_> =
        config.connectors.iter().map(|one| (one.name.as_str(), one.to.word(), one.to.place())).collect();
    assert_eq!(
        names,
        [
            ("gh", "github", "https://api.github.com"),
            ("hook", "webhook", "hooks.example.org"),
            ("sec", "jira", "https://example.atlassian.net"),
            ("snow", "servicenow", "https://example.service-now.com"),
        ]
    );
    assert_eq!((config.tickets.per_owner, config.tickets.per_rule), (5, 200));
    assert_eq!((config.routes.usual(), config.routes.has("hook"), config.routes.has("gh")), ("sec", true, false));
    let shown = format!("{config:?}");
    for secret in ["t1", "p1", "g1", "MfKQ9r8"] {
        assert!(!shown.contains(&format!("\"{secret}")) && !shown.contains("MfKQ9r8"), "{secret}: {shown}");
    }
    assert!(config.options.iter().all(|option| !option.doc.is_empty()));
    let wrong = "
version: 1
connect:
  local: { github: { repository: a/b, token: t } }
  Sec-1: { github: { repository: a/b, token: t } }
  two: { github: { repository: a/b, token: t }, webhook: { url: 'https://x.org', secret: x } }
  none: {}
  plain: { github: { url: 'http://github.example.org', repository: a/b, token: t } }
  port: { webhook: { url: 'https://x.org:8443/', secret: whsec_c2hvcnQ= } }
  repo: { github: { repository: just-a-name, token: t } }
  key: { jira: { url: 'https://x.atlassian.net', user: a, token: t, project: 'SEC\" OR 1', fields: { a: '=tickets.due' } } }
  kind: { gitlab: { token: t } }
  user: { github: { url: 'https://me:hush-hush@x.org', repository: a/b, token: 'a hush-token', fields: { title: x } } }
  base: { servicenow: { url: 'https://x.org/?a=b', user: u, pasword: hush-password } }
  hush: { webhook: { url: 'https://x.org/hush-path', secret: hush-secret } }
tickets: { to: nobody, routes: [{ to: sek }, { cloud: ibm, to: local }, { owner: '', to: local }] }
";
    let found = load(wrong, &[("AMEND__CONNECT__REPO__GITHUB__TOKENS", "x")]).expect_err("mistakes");
    for expected in [
        "a connector cannot be called `local`",
        "a connector cannot be called `Sec-1`",
        "the connector `two` must name one thing",
        "the connector `none` must name one thing",
        "`http://github.example.org` is not reached by TLS",
        "`https://x.org:8443/` is not reached by TLS",
        "the secret is shorter than 24 bytes",
        "this is no repository",
        "this is no key of a project",
        "tickets",
        "`gitlab` is not a member of a connector",
        "no connector is called `nobody`",
        "no connector is called `sek`",
        "`ibm` is not known here",
        "`AMEND__CONNECT__REPO__GITHUB__TOKENS` names no option",
        "an address holds no user and no password",
        "an address ends before `?`",
        "`title` is written by amend",
        "an empty `owner` fits nothing",
    ] {
        assert!(found.contains(expected), "`{expected}` is not in\n{found}");
    }
}

/// Whatever is wrong, and wherever: no secret is shown.
#[test]
fn mistakes_show_no_secrets() {
    for (text, environment) in [
        ("version: 1\nconnect:\n  a:\n    jira:\n      projct: SEC\n      token: hush-hush\n      user: x\n", vec![]),
        ("version: 1\nconnect: { a: { jira: { tokn: hush-hush, projct: SEC } } }", vec![]),
        ("version: 1\nconnect: { a: { jira: { token: [hush-hush, b], url: x } } }", vec![]),
        ("version: 1\nconnect:\n  a:\n    jira:\n      token: |\n        hush-hush\n      url: x\n", vec![]),
        ("version: 1\nconnect: { a: { webhook: { url: x, secret: 'hush-hush' } } }", vec![]),
        ("version: 1\nconnect: { a: { webhook: { url: x, secrets: whsec_hushhush } } }", vec![]),
        (
            "version: 1\nconnect: { a: { github: { url: 'https://me:hush-hush@x.org/a', repository: a/b, token: t } } }",
            vec![],
        ),
        (
            "version: 1\nconnect: { a: { github: { repository: a/b, token: t } } }",
            vec![("AMEND__CONNECT__A__GITHUB__URL".to_owned(), "https://me:hush-hush@x.org/a".to_owned())],
        ),
        ("version: 1\nnotices: { mail: { url: smtp://x, password: hush-hush, form: x } }", vec![]),
        // The keys of hubs: a seed of 32 bytes, and what is made of it.
        (&format!("version: 1\nhub:\n  key: whsk_hush{}==\n  execs: x\n", "aB+/".repeat(20)), vec![]),
        (&format!("version: 1\nhub:\n  keys: whsk_hush{}=\n", "aB+/".repeat(10)), vec![]),
        (&format!("version: 1\nexecutor:\n  hubs: [whsk_hush{}==]\n", "aB+/".repeat(20)), vec![]),
        (&format!("version: 1\nexecutor:\n  keyz: hush{}=\n", "aB+/".repeat(10)), vec![]),
        (
            "version: 1\nhub: { executors: [{ name: a, url: 'https://me:hush@x.org', accounts: 'aws:111122223333' }] }",
            vec![],
        ),
        (
            "version: 1\nhub: { executors: [{ name: a, url: 'https://me:hush@127.0.0.1:80', accounts: 'aws:111122223333' }] }",
            vec![],
        ),
        (
            "version: 1\nhub: { executors: [{ name: a, url: 'https://x.org/?code=hush', accounts: 'aws:111122223333' }] }",
            vec![],
        ),
    ] {
        let file = SourceText::new("amend.yaml", text);
        let mistakes = config::load(Some(&file), Path::new(""), &environment, moment("2026-11-20T12:00:00Z"));
        let mistakes = mistakes.expect_err(text);
        let json = serde_json::to_string(mistakes.list()).expect("JSON");
        assert!(!json.contains("hush") && !json.contains("aB+/aB+/"), "{text}: {json}");
        for mistake in mistakes.list() {
            let handler = miette::NarratableReportHandler::new();
            let mut shown = String::new();
            handler.render_report(&mut shown, mistake).expect("shown");
            assert!(!shown.contains("hush") && !shown.contains("aB+/aB+/"), "{text}: {shown}");
        }
    }
}

/// What the manual says of connectors can be used as it stands there.
#[test]
fn the_manuals_connectors_have_no_mistakes() {
    let folder = amend_tests::harness::workspace().join("docs/connectors");
    let environment = [
        ("AMEND__CONNECT__SEC__JIRA__TOKEN", "t"),
        ("AMEND__CONNECT__OPS__SERVICENOW__PASSWORD", "p"),
        ("AMEND__CONNECT__GH__GITHUB__TOKEN", "t"),
        ("AMEND__CONNECT__HOOK__WEBHOOK__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    let mut seen = 0;
    for page in std::fs::read_dir(folder).expect("a folder") {
        let text = std::fs::read_to_string(page.expect("a page").path()).expect("a text");
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().expect("its end");
            let version = if block.contains("version:") { "" } else { "   version: 1\n" };
            let names = |variable: &str| {
                let name = variable.split("__").nth(2).expect("a name").to_lowercase();
                block.contains(&format!("  {name}:"))
            };
            let environment: Vec<_> = environment.iter().filter(|(name, _)| names(name)).copied().collect();
            let config =
                load(&format!("{version}{block}"), &environment).unwrap_or_else(|error| panic!("{error}: {block}"));
            assert!(!config.connectors.is_empty() && config.routes.usual() != "local");
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn a_hub_and_an_executor_are_read_and_their_mistakes_are_shown() {
    let (secret, public) = amend_http::signed::Signer::generate().expect("keys");
    let hub = |executors: &str| format!("version: 1\nhub:\n  executors:\n{executors}");
    let key = ("AMEND__HUB__KEY", secret.as_str());
    let one = "    - { name: aws-prod, url: 'https://far.example.org', accounts: 'aws:111122223333' }\n";
    let config = load(&hub(one), &[key]).expect("no mistakes");
    assert_eq!(config.hub.executors.len(), 1);
    assert!(config.options.iter().all(|option| !option.value.contains("whsk_")), "the key is not shown");
    let executor = format!("version: 1\nexecutor: {{ name: aws-prod, hubs: '{public}', policy: policy.yaml }}\n");
    let own = ("AMEND__EXECUTOR__KEYS", "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=");
    let config = load(&executor, &[own]).expect("no mistakes");
    let is = config.executor.expect("an executor");
    assert_eq!((is.name.as_str(), is.policy.as_path()), ("aws-prod", Path::new("/etc/amend/policy.yaml")));
    let of = |url: &str, accounts: &str| format!("    - {{ name: other, url: '{url}', accounts: {accounts} }}\n");
    for (text, environment, says) in [
        (hub(one), vec![], "`hub.key` is missing"),
        (hub(one), vec![("AMEND__HUB__KEY", public.as_str())], "this key only checks"),
        (hub(one), vec![("AMEND__HUB__KEY", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")], "of a pair"),
        (hub(&format!("{one}{one}")), vec![key], "there are two executors `aws-prod`"),
        (
            hub(&format!("{one}{}", of("https://b.example.org", "'aws:111122223333'"))),
            vec![key],
            "has an executor already",
        ),
        (hub(&of("http://far.example.org", "'aws:111122224444'")), vec![key], "is not asked"),
        (hub(&of("https://far.example.org:8443", "'aws:111122224444'")), vec![key], "names a port"),
        (hub(&of("ftp://far.example.org", "'aws:111122224444'")), vec![key], "is not asked"),
        (hub(&of("far.example.org", "'aws:111122224444'")), vec![key], "is no address"),
        (hub(&of("https://far.example.org", "prod")), vec![key], "`prod` is no account"),
        (executor.clone(), vec![], "an executor needs `executor.keys`"),
        (executor.clone(), vec![("AMEND__EXECUTOR__KEYS", "AAAA")], "key 1 is not 32 bytes"),
        (executor.replace(&public, &secret), vec![own], "begins with `whpk_`"),
        (executor.replace("aws-prod", "'aws prod'"), vec![own], "is no name of an executor"),
        (executor.replace(", policy: policy.yaml", ""), vec![own], "an executor needs `executor.policy`"),
    ] {
        let wrong = load(&text, &environment).expect_err(says);
        assert!(wrong.contains(says), "{says}: {wrong}");
        assert!(!wrong.contains(&secret[5..]), "{wrong}");
    }
}
