//! Tokens of OpenID Connect, and who publishes the keys that they are signed with: a stand-in for Google's, which
//! also signs what must not count.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use axum::{Json, Router, http::StatusCode, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A server with keys, which ends with the test.
pub struct KeyServer {
    /// Its address.
    pub url: String,
    keys: Arc<Mutex<Vec<(String, Value)>>>,
    asked: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

/// A key to sign with.
pub struct Key {
    /// Its name.
    pub name: String,
    pair: RsaKeyPair,
}

impl Key {
    /// A new one.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), pair: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key") }
    }

    fn modulus(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().modulus().big_endian_without_leading_zero())
    }

    fn published(&self) -> Value {
        let exponent = self.pair.public_key().exponent();
        let exponent = URL_SAFE_NO_PAD.encode(exponent.big_endian_without_leading_zero());
        json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.name, "n": self.modulus(), "e": exponent })
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_as(&json!({ "alg": "RS256", "typ": "JWT", "kid": self.name }), claims)
    }

    /// The same, with a header that says what it wants.
    pub fn token_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.expect("signed");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token that is signed with what everybody knows of the key, as a shared secret.
    pub fn confused(&self, claims: &Value) -> String {
        let message = message(&json!({ "alg": "HS256", "typ": "JWT", "kid": self.name }), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.modulus().as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    }
}

/// A token that nobody signed.
pub fn unsigned(claims: &Value) -> String {
    format!("{}.", message(&json!({ "alg": "none", "typ": "JWT" }), claims))
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

impl KeyServer {
    /// Starts one that publishes these keys, where Google has them.
    pub fn start(published: &[&Key]) -> Self {
        let keys: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (asked, away) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (shown, count, gone) = (Arc::clone(&keys), Arc::clone(&asked), Arc::clone(&away));
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let all: Vec<Value> =
                shown.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, key)| key.clone()).collect();
            let away = gone.load(Ordering::SeqCst);
            async move { if away { Err(StatusCode::BAD_GATEWAY) } else { Ok(Json(json!({ "keys": all }))) } }
        };
        let router = Router::new().route("/oauth2/v3/certs", get(answer));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let server = Self { url, keys, asked, away, _runtime: runtime };
        server.publish(published);
        server
    }

    /// Publishes these keys, and no others.
    pub fn publish(&self, published: &[&Key]) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *keys = published.iter().map(|key| (key.name.clone(), key.published())).collect();
        // Keys of another kind are there, too.
        keys.push(("ec".into(), json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": "AA" })));
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether it answers with an error from now on.
    pub fn go_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}
