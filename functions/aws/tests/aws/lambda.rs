//! The function as Lambda runs it, under cargo-lambda's emulator of the runtime interface, which no one here wrote.

use amend_tests::{
    functions::{Deployed, Program, ask, free_port, toolchain, until},
    harness::workspace,
};
use serde_json::{Value, json};

/// A running function.
pub struct Lambda {
    pub app: Deployed,
    pub function: Program,
    port: u16,
    _emulator: Program,
}

/// Why an invocation failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    pub kind: String,
    pub message: String,
}

impl Lambda {
    /// Starts the emulator, and the function.
    pub fn start(app: Deployed) -> Self {
        let port = free_port();
        let tools = workspace().join("target/tools/lambda/bin/cargo-lambda");
        assert!(tools.exists(), "{} is not there: run `make tools`", tools.display());
        let manifest = workspace().join("functions/aws/Cargo.toml");
        let port_text = port.to_string();
        let manifest = manifest.display().to_string();
        let arguments = [
            "lambda",
            "watch",
            "--only-lambda-apis",
            "--manifest-path",
            &manifest,
            "-A",
            "127.0.0.1",
            "-P",
            &port_text,
        ];
        let mut emulator = Program::start(&tools.display().to_string(), &arguments, app.folder.path(), &toolchain());
        emulator.until_it_says("starting Runtime server");
        until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let function = start(&app, port);
        Self { app, function, port, _emulator: emulator }
    }

    /// Kills the function, and starts it again, as Lambda does.
    pub fn restart(&mut self) {
        self.function.kill();
        self.function = start(&self.app, self.port);
    }

    /// The address of its function URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/lambda-url/amend-aws", self.port)
    }

    /// Hands over an event.
    pub fn invoke(&self, event: &Value) -> Result<Value, Failed> {
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/amend-aws/invocations", self.port);
        let answer = ask("POST", &url, &[("content-type", "application/json")], event.to_string()).expect("an answer");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", answer.status));
        if answer.status == 200 {
            return Ok(body);
        }
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
        Err(Failed { kind: text("errorType"), message: text("errorMessage") })
    }
}

fn start(app: &Deployed, port: u16) -> Program {
    let mut environment = app.environment.clone();
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "amend-aws".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{port}/.rt/amend-aws")),
    ] {
        environment.push((name.to_owned(), value));
    }
    Program::start(env!("CARGO_BIN_EXE_amend-aws"), &[], app.folder.path(), &environment)
}

/// A message of a queue.
pub fn message(id: &str, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1763451669000" }, "messageAttributes": {},
        "md5OfBody": "-", "eventSource": "aws:sqs", "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:amend-events",
    })
}

/// What a topic delivers.
pub fn notification(message: &str) -> Value {
    json!({
        "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:amend", "Subject": "finding", "Message": message,
        "Timestamp": "2026-11-18T07:41:09.000Z",
    })
}

/// An event of EventBridge.
pub fn event(detail_type: &str, findings: &[Value]) -> Value {
    json!({
        "version": "0", "id": "8e5622f9-d81c-4d81-612a-9319e7ee2506", "detail-type": detail_type,
        "source": "aws.securityhub", "account": "123456789012", "time": "2026-11-18T07:41:09Z", "region": "eu-west-1",
        "resources": ["arn:aws:securityhub:eu-west-1::product/aws/securityhub/x"],
        "detail": { "findings": findings },
    })
}

/// A request to a function URL, as payload version 2.0 writes it.
pub fn request(method: &str, path: &str, headers: &Value, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "urlid", "domainName": "urlid.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "urlid", "requestId": "id", "routeKey": "$default", "stage": "$default",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "agent" },
            "time": "18/Nov/2026:07:41:09 +0000", "timeEpoch": 1763451669000_i64,
        },
        "body": body, "isBase64Encoded": false,
    })
}
