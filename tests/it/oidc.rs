//! Bearer tokens: which of them count, and which do not, whoever made them.

use std::sync::Arc;

use amend_domain::ports::Clock as _;
use amend_tests::{
    harness::StillClock,
    tokens::{Key, KeyServer, unsigned},
};
use amend_web::oidc::{Issuer, Refused, Verifier};
use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://amend-abc-ew.a.run.app";
const NOON: &str = "2026-11-20T12:00:00Z";

struct Bench {
    server: KeyServer,
    key: Key,
    clock: Arc<StillClock>,
    verifier: Verifier,
}

fn bench() -> Bench {
    let key = Key::new("k1");
    let server = KeyServer::start(&[&key]);
    let clock = StillClock::at(NOON);
    let issuer = Issuer::google(Some(&server.url));
    let verifier = Verifier::new(issuer, AUDIENCE, clock.clone()).expect("a verifier");
    Bench { server, key, clock, verifier }
}

impl Bench {
    fn claims(&self) -> Value {
        let now = self.clock.now().as_second();
        json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": "1097", "azp": "1097",
            "email": "push@proj.iam.gserviceaccount.com", "email_verified": true, "iat": now - 10, "exp": now + 3_600,
        })
    }

    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims();
        claims[name] = value;
        self.key.token(&claims)
    }
}

// The server has a runtime of its own, which must not end inside another.
fn on_a_thread<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test());
}

#[test]
fn a_token_that_holds_counts() {
    let bench = bench();
    on_a_thread(async || {
        let said = bench.verifier.verify(&bench.key.token(&bench.claims())).await.expect("it counts");
        assert_eq!(said.email.as_deref(), Some("push@proj.iam.gserviceaccount.com"));
        // Several audiences, and the other name of the issuer.
        for token in [
            bench.with("aud", json!(["https://other.example", AUDIENCE])),
            bench.with("iss", json!("accounts.google.com")),
            bench.with("email_verified", json!("true")),
        ] {
            bench.verifier.verify(&token).await.expect("it counts");
        }
        // An address that nobody made sure of is none.
        let said = bench.verifier.verify(&bench.with("email_verified", json!(false))).await.expect("it counts");
        assert_eq!(said.email, None);
        assert_eq!(bench.server.asked(), 1, "the keys are kept");
    });
}

#[test]
fn a_forged_token_does_not_count() {
    let bench = bench();
    on_a_thread(async || {
        let claims = bench.claims();
        let good = bench.key.token(&claims);
        let (head, rest) = good.split_once('.').expect("parts");
        let (body, signature) = rest.split_once('.').expect("parts");
        let other = Key::new("k1");
        let stranger = Key::new("k9");
        let own_key = json!({ "alg": "RS256", "kid": "k9", "jwk": { "kty": "RSA" }, "jku": "http://127.0.0.1:1/keys" });
        let forged = [
            ("nobody signed it", unsigned(&claims)),
            ("no signature", format!("{head}.{body}.")),
            ("its key as a secret", bench.key.confused(&claims)),
            ("another key of that name", other.token(&claims)),
            ("a key that is not published", stranger.token(&claims)),
            ("a key that it brings along", stranger.token_as(&own_key, &claims)),
            ("no name of a key", bench.key.token_as(&json!({ "alg": "RS256" }), &claims)),
            ("another algorithm", bench.key.token_as(&json!({ "alg": "RS512", "kid": "k1" }), &claims)),
            ("PSS", bench.key.token_as(&json!({ "alg": "PS256", "kid": "k1" }), &claims)),
            ("a key of another kind", bench.key.token_as(&json!({ "alg": "RS256", "kid": "ec" }), &claims)),
            ("changed", format!("{head}.{}.{signature}", body.replace('a', "b"))),
            ("too long", format!("{good}{}", "A".repeat(20_000))),
            ("no token", "amend_0000".to_owned()),
            ("nothing", String::new()),
            ("too many parts", format!("{good}.{signature}")),
        ];
        for (what, token) in forged {
            let refused = bench.verifier.verify(&token).await.expect_err(what);
            assert!(matches!(refused, Refused::Forged(_)), "{what}: {refused:?}");
        }
    });
}

#[test]
fn a_token_for_somebody_else_or_another_time_does_not_count() {
    let bench = bench();
    on_a_thread(async || {
        let now = bench.clock.now().as_second();
        for (name, value) in [
            ("iss", json!("https://accounts.google.com.example.org")),
            ("iss", json!(["https://accounts.google.com"])),
            ("iss", Value::Null),
            ("aud", json!("https://amend-abc-ew.a.run.app/")),
            ("aud", json!([])),
            ("aud", Value::Null),
        ] {
            let refused = bench.verifier.verify(&bench.with(name, value.clone())).await.expect_err("not for here");
            let forged = name == "iss" && value.is_array();
            assert!(
                forged || matches!(refused, Refused::NotForHere(which) if which == name),
                "{name} {value}: {refused:?}"
            );
        }
        for (name, value) in
            [("exp", json!(now - 61)), ("exp", Value::Null), ("nbf", json!(now + 120)), ("iat", json!(now + 120))]
        {
            let refused = bench.verifier.verify(&bench.with(name, value.clone())).await.expect_err("not now");
            assert!(matches!(refused, Refused::NotNow), "{name} {value}: {refused:?}");
        }
        // Clocks differ a little.
        bench.verifier.verify(&bench.with("exp", json!(now - 30))).await.expect("it counts");
        // Time passes.
        let token = bench.key.token(&bench.claims());
        bench.clock.set("2026-11-20T13:02:00Z");
        assert!(matches!(bench.verifier.verify(&token).await, Err(Refused::NotNow)));
    });
}

#[test]
fn keys_change_and_their_server_goes_away() {
    let bench = bench();
    on_a_thread(async || {
        let token = |key: &Key| key.token(&bench.claims());
        bench.verifier.verify(&token(&bench.key)).await.expect("it counts");
        // A new key is asked for, but not each time that somebody makes one up.
        let new = Key::new("k2");
        let made_up = Key::new("k3");
        for _ in 0..20 {
            bench.verifier.verify(&token(&made_up)).await.expect_err("it is made up");
        }
        assert_eq!(bench.server.asked(), 1);
        bench.server.publish(&[&new]);
        bench.clock.set("2026-11-20T12:02:00Z");
        bench.verifier.verify(&token(&new)).await.expect("it counts");
        assert_eq!(bench.server.asked(), 2);
        // One that was taken back does not count any more.
        bench.verifier.verify(&token(&bench.key)).await.expect_err("it was taken back");
        // What is known is used while the server is away, for a day.
        bench.server.go_away(true);
        bench.clock.set("2026-11-21T11:00:00Z");
        bench.verifier.verify(&token(&new)).await.expect("it counts");
        bench.clock.set("2026-11-21T12:03:00Z");
        let refused = bench.verifier.verify(&token(&new)).await.expect_err("the keys are too old");
        assert!(refused.may_pass(), "{refused:?}");
        bench.server.go_away(false);
        bench.clock.set("2026-11-21T12:05:00Z");
        bench.verifier.verify(&token(&new)).await.expect("it counts");
    });
}

#[test]
fn one_bearer_token_in_one_header() {
    let bench = bench();
    on_a_thread(async || {
        let good = bench.key.token(&bench.claims());
        let headers = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", HeaderValue::from_str(value).expect("a value"));
            }
            headers
        };
        for values in [
            vec![],
            vec![good.clone()],
            vec![format!("Basic {good}")],
            vec![format!("Bearer {good}"), format!("Bearer {good}")],
        ] {
            let refused = bench.verifier.bearer(&headers(&values)).await.expect_err("it is none");
            assert!(matches!(refused, Refused::Missing), "{refused:?}");
        }
        for scheme in ["Bearer", "bearer"] {
            bench.verifier.bearer(&headers(&[format!("{scheme} {good}")])).await.expect("it counts");
        }
    });
}
