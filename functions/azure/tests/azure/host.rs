//! The Functions host, as far as a custom handler meets it. This is our own reading of what the Azure documentation
//! and the host's code say (`Azure/azure-functions-host`, `src/WebJobs.Script/Workers/Http`), not the host itself.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
};

use amend_tests::{
    functions::{Deployed, Program, ask, free_port, until},
    harness::workspace,
};
use serde_json::{Map, Value, json};

/// What a trigger hands over.
#[derive(Clone)]
pub enum Handed {
    /// A text, as triggers of queues and Event Grid bind it.
    Text(String),
    /// An object, as others bind it.
    Object(Value),
    /// A list of texts, as a trigger of Event Hubs binds a batch.
    Texts(Vec<String>),
}

/// A running app.
pub struct Host {
    pub app: Deployed,
    pub handler: Program,
    pub port: u16,
    /// The queues of its storage.
    pub queues: BTreeMap<String, VecDeque<String>>,
}

/// Where the files of the app are.
pub fn app() -> PathBuf {
    workspace().join("functions/azure/app")
}

/// What a function is declared as.
pub fn declared(function: &str) -> Value {
    let path = app().join(function).join("function.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

fn binding(function: &str, direction: &str) -> Option<Value> {
    let file = declared(function);
    file["bindings"].as_array().expect("bindings").iter().find(|one| one["direction"] == direction).cloned()
}

impl Host {
    /// Starts the handler, and waits until anything answers.
    pub fn start(app: Deployed) -> Self {
        let port = free_port();
        let handler = start(&app, port);
        let host = Self { app, handler, port, queues: BTreeMap::new() };
        host.until_it_answers();
        host
    }

    /// Any answer will do.
    fn until_it_answers(&self) {
        until(|| ask("GET", &self.url("/"), &[], "").is_ok());
    }

    /// Kills the handler, and starts it again, as the host does.
    pub fn restart(&mut self) {
        self.handler.kill();
        self.handler = start(&self.app, self.port);
        self.until_it_answers();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Calls a function. What is no object is handed over as a JSON text.
    pub fn invoke(&mut self, function: &str, handed: &Handed) -> Result<Value, String> {
        let input = binding(function, "in").expect("a trigger");
        let value = match handed {
            Handed::Text(text) => json!(json!(text).to_string()),
            Handed::Object(object) => object.clone(),
            Handed::Texts(texts) => json!(json!(texts).to_string()),
        };
        let mut data = Map::new();
        data.insert(input["name"].as_str().expect("a name").to_owned(), value);
        let sys = json!({ "MethodName": function, "UtcNow": "2026-11-22T12:00:00Z", "RandGuid": "24ad4c06-24ad-4e5b-8294-3da9714877e9" });
        let body = json!({ "Data": data, "Metadata": { "sys": sys } });
        let id = ("x-azure-functions-invocationid", "0c6bd5cc-5a2c-4b5b-8d19-6b0a1f1b3f0e");
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("x-azure-functions-hostversion", "4.1036.1.1"),
            id,
            ("user-agent", "Azure-Functions-Host/4.1036.1.1"),
        ];
        let answer = ask("POST", &self.url(&format!("/{function}")), &headers, body.to_string())?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        // Anything but success is a failed invocation.
        if !(200..300).contains(&answer.status) {
            return Err(format!("{}: {text}", answer.status));
        }
        // It is read by its media type.
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        assert!(kind.starts_with("application/json"), "{kind}");
        let reply: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        for known in reply.as_object().expect("an object").keys() {
            assert!(["Outputs", "Logs", "ReturnValue"].contains(&known.as_str()), "{known}");
        }
        self.put_out(function, &reply);
        Ok(reply)
    }

    /// Writes the outputs where the function's bindings say.
    fn put_out(&mut self, function: &str, reply: &Value) {
        let Some(outputs) = reply["Outputs"].as_object().filter(|outputs| !outputs.is_empty()) else { return };
        let output = binding(function, "out").expect("a declared output");
        assert_eq!(output["type"], "queue");
        for (name, value) in outputs {
            assert_eq!(output["name"].as_str(), Some(name.as_str()), "an output that is not declared is lost");
            let text = value.as_str().expect("a text");
            // What looks like base64 would be decoded.
            assert!(text.starts_with('{'), "{text}");
            let queue = output["queueName"].as_str().expect("a name").to_owned();
            self.queues.entry(queue).or_default().push_back(text.to_owned());
        }
    }

    /// Hands over a batch of Event Hubs events. Returns how often, and whether the host goes on after it: by the
    /// retry policy that is declared, it does so only after it was taken; `between` is what happens after a failure.
    pub fn batch(&mut self, events: &[Value], mut between: impl FnMut(&Self, usize)) -> (usize, bool) {
        let function = "fn-event-hubs";
        let retry = declared(function)["retry"].clone();
        let most = retry["maxRetryCount"].as_i64().unwrap_or(0);
        let texts = events.iter().map(|event| match event {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let handed = Handed::Texts(texts.collect());
        for tried in 1.. {
            if self.invoke(function, &handed).is_ok() {
                return (tried, true);
            }
            between(self, tried);
            // Without a policy, or after it, the pointer moves on, and the batch is lost.
            if most >= 0 && tried > most as usize {
                return (tried, false);
            }
            assert!(tried < 20, "it is never taken");
        }
        unreachable!("it returns")
    }

    /// Hands over what is in a queue, one message after the other.
    pub fn drain(&mut self, function: &str) -> usize {
        let queue = binding(function, "in").expect("a trigger")["queueName"].as_str().expect("a name").to_owned();
        let mut taken = 0;
        while let Some(message) = self.queues.get_mut(&queue).and_then(VecDeque::pop_front) {
            self.invoke(function, &Handed::Text(message)).expect("taken");
            taken += 1;
        }
        taken
    }

    /// Forwards a request from elsewhere, as it came; a body whose length is not known is left out.
    pub fn forward(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut all = vec![
            ("host", "amend-prod.azurewebsites.net"),
            ("x-forwarded-for", "203.0.113.7:51234"),
            ("x-azure-functions-invocationid", "5b1c7c39-1dd9-4b70-8f7a-9d5a3b1c2d4e"),
        ];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend_from_slice(headers);
        let answer = ask(method, &self.url(path), &all, body).expect("an answer");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}

fn start(app: &Deployed, port: u16) -> Program {
    let mut environment = app.environment.clone();
    for name in ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"] {
        environment.push((name.to_owned(), port.to_string()));
    }
    environment.push(("FUNCTIONS_CUSTOMHANDLER_WORKER_ID".to_owned(), "7e6f0a1e".to_owned()));
    Program::start(env!("CARGO_BIN_EXE_amend-azure"), &[], app.folder.path(), &environment)
}
