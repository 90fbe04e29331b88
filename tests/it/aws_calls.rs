//! AWS calls against botocore, for every operation that the fixes use and in every wire format:
//! requests against its serializer, answers and errors against its parser, endpoints against its
//! resolver. botocore makes the cases up; `tests/clouds/aws_wire.py` says how.

use std::collections::BTreeMap;

use amend_cloud::{
    CallError,
    aws::{Unsigned, parsed, unsigned},
};
use amend_models::{Call, aws_calls, aws_endpoints, aws_partitions, endpoints::EndpointError};
use amend_tests::{clouds::Served, harness::long};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

fn seeds() -> std::ops::Range<u64> {
    if long() { 0..20 } else { 0..2 }
}

/// Asks botocore for cases of every call.
fn for_every_call(what: &str, check: impl Fn(&Call, &Value, &str)) -> usize {
    let mut seen = 0;
    for name in aws_calls().expect("the descriptions") {
        let call = Call::find(&name).expect("a call");
        for seed in seeds() {
            let asked = Served::botocore().ask(&json!({ "do": what, "call": name, "seed": seed, "count": 20 }));
            for case in asked["cases"].as_array().expect("cases") {
                check(&call, case, &format!("{name}, seed {seed}: {case}"));
                seen += 1;
            }
        }
    }
    seen
}

fn bytes(of: &Value) -> Vec<u8> {
    STANDARD.decode(of.as_str().unwrap_or_default()).expect("Base64")
}

/// `a=b&c=d`, decoded and in order of names.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', "%20");
        let mut out = Vec::new();
        let mut rest = spaced.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match (first, after) {
                (b'%', [a, b, after @ ..]) => {
                    let hex = std::str::from_utf8(&[*a, *b]).expect("ASCII").to_owned();
                    out.push(u8::from_str_radix(&hex, 16).expect("hexadecimal"));
                    rest = after;
                }
                (byte, _) => out.push(*byte),
            }
        }
        String::from_utf8(out).expect("UTF-8")
    };
    let mut pairs: Vec<_> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect();
    pairs.sort();
    pairs
}

/// An element as its name, attributes, text and children.
fn element(node: roxmltree::Node<'_, '_>) -> Value {
    let name = |name: &str, space: Option<&str>| format!("{{{}}}{name}", space.unwrap_or_default());
    let attributes: BTreeMap<String, String> =
        node.attributes().map(|a| (name(a.name(), a.namespace()), a.value().to_owned())).collect();
    let children: Vec<Value> = node.children().filter(roxmltree::Node::is_element).map(element).collect();
    let text = if children.is_empty() { node.text().unwrap_or_default() } else { "" };
    json!([name(node.tag_name().name(), node.tag_name().namespace()), attributes, text, children])
}

/// A body by what it says.
fn said(body: &[u8]) -> Value {
    let text = String::from_utf8(body.to_vec()).expect("text");
    if text.is_empty() {
        return Value::Null;
    }
    if let Ok(json) = serde_json::from_str(&text) {
        return json;
    }
    match roxmltree::Document::parse(&text) {
        Ok(document) => element(document.root_element()),
        Err(_) if text.contains('=') => json!(pairs(&text)),
        Err(_) => text.into(),
    }
}

#[test]
fn requests_are_those_that_botocore_writes() {
    let seen = for_every_call("inputs", |call, case, story| {
        let theirs = &case["request"];
        let Unsigned { method, uri, headers, body } =
            unsigned(call, &case["args"], "").unwrap_or_else(|e| panic!("{story}: {e}"));
        assert_eq!(method, theirs["method"].as_str().expect("a method"), "{story}");
        let parts = |uri: &str| {
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            (path.to_owned(), pairs(query))
        };
        assert_eq!(parts(&uri), parts(theirs["uri"].as_str().expect("an address")), "{story}");
        assert_eq!(said(&body), said(&bytes(&theirs["body"])), "{story}");
        let modelled = |name: &str| name.starts_with("x-amz") && !name.contains("checksum") && !name.contains("sdk");
        let ours: BTreeMap<&str, &str> = headers
            .iter()
            .filter(|(name, _)| modelled(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let theirs: BTreeMap<&str, &str> = theirs["headers"]
            .as_object()
            .expect("headers")
            .iter()
            .filter(|(name, _)| modelled(name))
            .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
            .collect();
        assert_eq!(ours, theirs, "{story}");
    });
    assert!(seen > 1_000, "{seen}");
}

/// What is empty is as good as not there, and whole numbers have one form.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: Map<String, Value> = map
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .filter(|(_, value)| !value.is_null())
                .collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Number(n) => n.as_f64().map_or(Value::Null, Value::from),
        value => value.clone(),
    }
}

fn response(case: &Value) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let response = &case["response"];
    let headers = response["headers"].as_object().expect("headers").iter();
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.as_str().expect("a text").to_owned()));
    let status = u16::try_from(response["status"].as_u64().expect("a status")).expect("a status");
    (status, headers.collect(), bytes(&response["body"]))
}

#[test]
fn answers_say_what_botocore_reads_in_them() {
    let seen = for_every_call("outputs", |call, case, story| {
        let (status, headers, body) = response(case);
        let ours = parsed(call, status, &headers, &body).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!(plain(&ours), plain(&case["parsed"]), "{story}");
    });
    assert!(seen > 1_000, "{seen}");
}

/// A proxy's page, or half an answer, says nothing about the resource.
#[test]
fn an_answer_that_is_not_whole_is_no_answer() {
    let cases = [
        ("ec2:DescribeInstances", "<html><body>Sign in</body></html>"),
        ("ec2:DescribeInstances", "<DescribeInstancesResponse><reservationSet>"),
        ("ec2:DescribeInstances", "<DescribeVolumesResponse/>"),
        ("ec2:DescribeInstances", "<!DOCTYPE a><DescribeInstancesResponse/>"),
        ("ec2:DescribeInstances", "<DescribeInstancesResponse/><DescribeInstancesResponse/>"),
        ("ec2:DescribeInstances", "all is well"),
        (
            "rds:DescribeDBSnapshotAttributes",
            "<DescribeDBSnapshotAttributesResponse><a></b></DescribeDBSnapshotAttributesResponse>",
        ),
        ("s3:GetPublicAccessBlock", "<!doctype html><html/>"),
        ("s3:GetPublicAccessBlock", "<html/>"),
        ("s3:GetPublicAccessBlock", "<PublicAccessBlockConfiguration><BlockPublicAcls>true"),
    ];
    for (name, body) in cases {
        let call = Call::find(name).expect("a call");
        let read = parsed(&call, 200, &[], body.as_bytes());
        assert!(read.is_err(), "{name} read {body} as {read:?}");
    }
}

#[test]
fn errors_are_named_as_botocore_names_them() {
    let seen = for_every_call("errors", |call, case, story| {
        let (status, headers, body) = response(case);
        let Err(CallError::Refused { code, message, .. }) = parsed(call, status, &headers, &body) else {
            panic!("{story}: no error");
        };
        assert_eq!(code, case["code"].as_str().unwrap_or_default(), "{story}");
        assert_eq!(message, case["message"].as_str().unwrap_or_default(), "{story}");
    });
    assert!(seen > 100, "{seen}");
}

#[test]
fn endpoints_are_those_that_botocore_resolves() {
    let services: std::collections::BTreeSet<String> = aws_calls()
        .expect("the descriptions")
        .iter()
        .filter_map(|name| Some(name.split_once(':')?.0.to_owned()))
        .collect();
    let partitions = aws_partitions().expect("readable").expect("partitions");
    let mut seen = 0;
    for seed in seeds() {
        let asked =
            Served::botocore().ask(&json!({ "do": "endpoints", "services": services, "seed": seed, "count": 5_000 }));
        for case in asked["cases"].as_array().expect("cases").iter().filter(|case| case["error"] != "crash") {
            let rules = aws_endpoints(case["service"].as_str().expect("a service")).expect("readable").expect("rules");
            let ours = rules.resolve(case["params"].as_object().expect("parameters"), partitions);
            match ours {
                Ok(endpoint) => {
                    assert_eq!(Some(endpoint.url.as_str()), case["url"].as_str(), "{case}");
                    assert_eq!(endpoint.signing_name.as_deref(), case["signing_name"].as_str(), "{case}");
                    assert_eq!(endpoint.signing_region.as_deref(), case["signing_region"].as_str(), "{case}");
                    assert_eq!(endpoint.auth_scheme.as_deref(), case["scheme"].as_str(), "{case}");
                }
                Err(EndpointError::Refused(text)) => assert_eq!(Some(text.as_str()), case["text"].as_str(), "{case}"),
                Err(error) => assert!(case["error"].is_string(), "{case}: {error}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 5_000, "{seen}");
}

#[test]
fn what_does_not_fit_is_said_with_its_place_and_what_to_do() {
    let wrong = |call: &str, args: Value| -> Vec<String> {
        let call = Call::find(call).expect("a call");
        call.check(&args, amend_models::Texts::Final)
            .into_iter()
            .map(|w| {
                format!("{}: {}{}", w.path, w.message, w.hint.map_or_else(String::new, |hint| format!(" ({hint})")))
            })
            .collect()
    };
    assert_eq!(
        wrong(
            "s3:PutPublicAccessBlock",
            json!({ "bucket": "b", "PublicAccessBlockConfiguration": { "BlockPublicAcls": "yes" } })
        ),
        [
            "bucket: `PutPublicAccessBlockRequest` has no member of this name (did you mean `Bucket`?)",
            "PublicAccessBlockConfiguration.BlockPublicAcls: expected true or false, found a text",
            "Bucket: is required and not there",
        ]
    );
    assert_eq!(
        wrong("ec2:ModifyInstanceMetadataOptions", json!({ "InstanceId": "i-1", "HttpTokens": "Required" })),
        ["HttpTokens: `Required` is not one of its values (did you mean `required`?)"]
    );
    let unknown = Call::find("s3:PutPublicAcessBlock").expect_err("no such call");
    assert_eq!(unknown.hint(), "did you mean `s3:PutPublicAccessBlock`?");
}
