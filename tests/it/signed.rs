//! Signatures of Standard Webhooks: those of the other package are taken, ours are good to it, and what must not count
//! does not.

use amend_http::signed::{Checker, ID, SIGNATURE, Signer, TIMESTAMP, Unsigned};
use amend_tests::{clouds::Served, harness::moment};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// The first three secret keys of RFC 8032, section 7.1, with their public keys.
const RFC: [(&str, &str); 3] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn encoded(hex: &str) -> String {
    STANDARD.encode(bytes(hex))
}

const NOW: &str = "2026-11-23T12:00:00Z";

fn checked(keys: &[String], headers: &[(String, String)], body: &[u8], now: Timestamp) -> Result<(), Unsigned> {
    let header = |name: &'static str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    Checker::read(keys).expect("keys").check(header, body, now).map(|_| ())
}

#[test]
fn both_packages_sign_and_check_the_same() {
    let judge = Served::moto();
    let body = "{\"äöü\": [1, 2]}\n";
    for (seed, public) in RFC {
        let signer = Signer::read(&format!("whsk_{}", encoded(seed))).expect("a key");
        assert_eq!(signer.public(), Some(format!("whpk_{}", encoded(public))));
        // The same key, written with its other half.
        let both = Signer::read(&format!("whsk_{}", STANDARD.encode([bytes(seed), bytes(public)].concat())));
        assert_eq!(both.expect("a key"), signer);
        let now = moment(NOW);
        let headers = signer.headers("msg_1", now, body.as_bytes());
        let ours = headers[2].1.trim_start_matches("v1a,").to_owned();
        let message = format!("msg_1.{}.{body}", now.as_second());
        let theirs = judge.ask(&json!({ "do": "ed25519", "seed": encoded(seed), "message": message }));
        assert_eq!(theirs, json!({ "signature": ours, "public": encoded(public) }));
        for (message, good) in [(message.as_str(), true), ("msg_2", false)] {
            let said = judge
                .ask(&json!({ "do": "ed25519", "public": encoded(public), "signature": ours, "message": message }));
            assert_eq!(said, json!({ "good": good }));
        }
        assert_eq!(checked(&[format!("whpk_{}", encoded(public))], &headers, body.as_bytes(), now), Ok(()));
    }
}

#[test]
fn a_message_counts_in_its_time_and_with_a_key_that_is_known() {
    let (secret, public) = Signer::generate().expect("keys");
    let (other, other_public) = Signer::generate().expect("keys");
    let shared = format!("whsec_{}", STANDARD.encode([7; 32]));
    let now = moment(NOW);
    for (secret, known) in [(&secret, &public), (&shared, &shared)] {
        let signer = Signer::read(secret).expect("a key");
        let headers = signer.headers("msg_1", now, b"{}");
        let minutes = |minutes: i64| now + SignedDuration::from_secs(minutes * 60);
        for (key, at, body, expected) in [
            (known, now, "{}", Ok(())),
            (known, minutes(5), "{}", Ok(())),
            (known, minutes(-5), "{}", Ok(())),
            (known, minutes(6), "{}", Err(Unsigned::Time)),
            (known, minutes(-6), "{}", Err(Unsigned::Time)),
            (known, now, "{} ", Err(Unsigned::Signature)),
            (&other_public, now, "{}", Err(Unsigned::Signature)),
        ] {
            let got = checked(std::slice::from_ref(key), &headers, body.as_bytes(), at);
            assert_eq!(got, expected, "{key} {at} {body}");
        }
        // A new key is known before it is used, and the old one for a while after.
        assert_eq!(checked(&[other_public.clone(), known.clone()], &headers, b"{}", now), Ok(()));
        for missing in [ID, TIMESTAMP, SIGNATURE] {
            let some: Vec<_> = headers.iter().filter(|(name, _)| name != missing).cloned().collect();
            assert_eq!(checked(std::slice::from_ref(known), &some, b"{}", now), Err(Unsigned::Header(missing)));
        }
    }
    // Nobody is known.
    let headers = Signer::read(&other).expect("a key").headers("msg_1", now, b"{}");
    assert_eq!(checked(&[], &headers, b"{}", now), Err(Unsigned::Signature));
}

/// The order of the group, little-endian: RFC 8032, section 5.1.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn what_a_lenient_check_would_take_is_not_taken() {
    let (secret, public) = Signer::generate().expect("keys");
    let now = moment(NOW);
    let headers = Signer::read(&secret).expect("a key").headers("msg_1", now, b"{}");
    let mut signature = STANDARD.decode(headers[2].1.trim_start_matches("v1a,")).expect("base64");
    // The same number, written otherwise: a second signature of one message.
    let mut carry = 0_u16;
    for (byte, more) in signature[32..].iter_mut().zip(bytes(ORDER)) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        *byte = u8::try_from(sum & 0xff).expect("a byte");
        carry = sum >> 8;
    }
    let mut malleable = headers.clone();
    malleable[2].1 = format!("v1a,{}", STANDARD.encode(&signature));
    let known = std::slice::from_ref(&public);
    assert_eq!(checked(known, &headers, b"{}", now), Ok(()));
    assert_eq!(checked(known, &malleable, b"{}", now), Err(Unsigned::Signature));
    // Keys of small order, for which anybody can sign, as the vectors of "Taming the many EdDSAs" have them.
    for weak in [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert!(Checker::read(&[format!("whpk_{}", encoded(weak))]).is_err(), "{weak}");
    }
}

#[test]
fn what_is_no_key_is_said_without_repeating_it() {
    let (secret, public) = Signer::generate().expect("keys");
    let half = STANDARD.encode([1; 31]);
    let torn = format!("whsk_{}", STANDARD.encode([bytes(RFC[0].0), bytes(RFC[1].1)].concat()));
    let too_long = format!("whsec_{}", STANDARD.encode([1; 65]));
    let too_short = format!("whsec_{}", STANDARD.encode([1; 23]));
    for (text, why) in [
        (format!("whsk_{half}"), "32 or 64 bytes"),
        (torn, "not of one pair"),
        (too_long, "longer than 64"),
        (too_short, "shorter than 24"),
        ("whsec_?".to_owned(), "base64"),
    ] {
        let error = Signer::read(&text).expect_err("no key").to_string();
        assert!(error.contains(why) && !error.contains(&text), "{error}");
    }
    for (text, why) in [(secret, "whpk_"), (format!("whpk_{half}"), "32 bytes")] {
        let error = Checker::read(std::slice::from_ref(&text)).expect_err("no key").to_string();
        assert!(error.contains(why) && !error.contains(&text), "{error}");
    }
    let shown = format!("{:?} {:?}", Signer::read(&Signer::generate().expect("keys").0), Checker::read(&[public]));
    assert_eq!(shown, "Ok(Signer(…)) Ok(Checker(1 keys))");
}
