//! Slack and Microsoft Teams: messages, written by the services' own descriptions, and posted to an address that a
//! service gave for one channel.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Secret, TrackerError, host_of,
    service::{Service, title},
};

/// So much a message for Teams may be, in bytes, with room to spare: 28 KB.
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
const TEAMS: usize = 26_000;
/// So much a section of Slack's may hold: 3,000 characters.
/// <https://docs.slack.dev/reference/block-kit/blocks/section-block>
const SECTION: usize = 2_900;
/// So much a line of a message holds of what somebody else wrote.
const LINE: usize = 300;

/// A service with channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chat {
    /// Slack, by an incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
    Slack,
    /// Microsoft Teams, by a workflow "when a Teams webhook request is received":
    /// <https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams>.
    Teams,
}

impl Chat {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Something is wrong.
    Alarm,
    /// Somebody is to do something.
    Asked,
    /// Something is being done.
    Plain,
    /// It is well.
    Good,
}

/// What a channel, or a person, is told at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// All of it in a line.
    pub title: String,
    /// What happened, the most urgent first.
    pub items: Vec<Item>,
    /// How much more happened.
    pub more: usize,
    /// What stands below.
    pub foot: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// How it looks.
    pub tone: Tone,
    /// What happened, in a few words.
    pub news: String,
    /// What it is about.
    pub title: String,
    /// The resource, as people call it.
    pub name: String,
    /// Where that is, and how bad.
    pub about: String,
    /// What else there is to know.
    pub lines: Vec<String>,
    /// What to do about it, as a command.
    pub command: Option<String>,
}

impl Message {
    /// How it is sent.
    #[must_use]
    pub fn written(&self, chat: Chat) -> Value {
        match chat {
            Chat::Slack => self.slack(),
            Chat::Teams => self.teams(),
        }
    }

    /// As blocks: <https://docs.slack.dev/reference/block-kit/blocks>.
    fn slack(&self) -> Value {
        let text = |text: String| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
        let heading = json!({ "type": "plain_text", "text": title(&self.title, 150), "emoji": false });
        let mut blocks = vec![json!({ "type": "header", "text": heading })];
        for item in &self.items {
            let mark = match item.tone {
                Tone::Alarm => "🔴",
                Tone::Asked => "🟠",
                Tone::Plain => "🔵",
                Tone::Good => "🟢",
            };
            let (news, about) = (escaped(&item.news), escaped(&item.about));
            let mut said = format!("{mark} *{news}* · {}\n`{}` · {about}", escaped(&item.title), code(&item.name));
            for line in &item.lines {
                said.push_str(&format!("\n{}", escaped(line)));
            }
            let mut said: String = said.chars().take(SECTION).collect();
            if let Some(command) = &item.command {
                said.push_str(&format!("\n`{}`", code(command)));
            }
            blocks.push(json!({ "type": "section", "text": text(said) }));
        }
        let foot = match self.more {
            0 => escaped(&self.foot),
            more => format!("*and {more} more* · {}", escaped(&self.foot)),
        };
        blocks.push(json!({ "type": "context", "elements": [text(foot)] }));
        json!({ "text": title(&escaped(&self.title), 300), "blocks": blocks })
    }

    /// As an Adaptive Card: <https://adaptivecards.io/explorer>. Its `TextRun`s know no Markdown, so that nothing that
    /// somebody called a resource is taken for any.
    fn teams(&self) -> Value {
        let mut shown = self.items.len();
        loop {
            let card = self.card(shown);
            if shown == 0 || card.to_string().len() <= TEAMS {
                return card;
            }
            shown = shown.saturating_sub(1);
        }
    }

    fn card(&self, shown: usize) -> Value {
        let line = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "spacing": "Small", "inlines": runs });
        let quiet = |text: &str| json!({ "type": "TextRun", "text": text, "isSubtle": true });
        let heading =
            json!({ "type": "TextRun", "text": title(&self.title, 300), "size": "Large", "weight": "Bolder" });
        let mut body = vec![json!({ "type": "RichTextBlock", "inlines": [heading] })];
        for item in self.items.iter().take(shown) {
            let (style, colour) = match item.tone {
                Tone::Alarm => ("attention", "Attention"),
                Tone::Asked => ("warning", "Warning"),
                Tone::Plain => ("accent", "Accent"),
                Tone::Good => ("good", "Good"),
            };
            let news =
                json!({ "type": "TextRun", "text": format!("{} ", item.news), "weight": "Bolder", "color": colour });
            let about = json!({ "type": "TextRun", "text": title(&item.title, LINE), "weight": "Bolder" });
            let mono = |text: &str| json!({ "type": "TextRun", "text": title(text, LINE), "fontType": "Monospace" });
            let mut lines = vec![
                line(vec![news, about]),
                line(vec![mono(&item.name), quiet(&format!("  {}", title(&item.about, LINE)))]),
            ];
            lines.extend(
                item.lines.iter().map(|text| line(vec![json!({ "type": "TextRun", "text": title(text, LINE) })])),
            );
            lines.extend(item.command.iter().map(|command| line(vec![mono(command)])));
            body.push(json!({ "type": "Container", "style": style, "spacing": "Medium", "items": lines }));
        }
        let more = self.items.len().saturating_sub(shown).saturating_add(self.more);
        let foot = if more == 0 { self.foot.clone() } else { format!("and {more} more · {}", self.foot) };
        body.push(json!({ "type": "RichTextBlock", "spacing": "Medium", "inlines": [quiet(&foot)] }));
        json!({ "type": "message", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard", "version": "1.4", "msteams": { "width": "Full" }, "body": body,
            },
        }] })
    }
}

/// What Slack takes for marks of its own is none, and a line is a line.
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escaped(text: &str) -> String {
    title(text, LINE).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same between backticks.
fn code(text: &str) -> String {
    escaped(text).replace('`', "'")
}

/// A channel.
pub struct Channel {
    chat: Chat,
    service: Service,
}

impl Channel {
    /// The one called `name` in the configuration, at the address that its service gave for it.
    ///
    /// # Errors
    /// When that cannot be used.
    pub fn new(name: &str, chat: Chat, url: &Secret) -> Result<Self, String> {
        // INVARIANT: what is wrong with it is told without it: whoever has it can post there.
        host_of(url.reveal()).map_err(|_| "it is no address that is reached by TLS".to_owned())?;
        let headers = vec![("user-agent".into(), "amend".into())];
        Ok(Self { chat, service: Service::new(name, url.reveal(), headers)?.at_secret_address() })
    }

    /// Which service it is of.
    #[must_use]
    pub fn chat(&self) -> Chat {
        self.chat
    }

    /// Posts a message.
    ///
    /// # Errors
    /// When the service does not answer, does not let us in, or refuses.
    pub async fn post(&self, message: &Message) -> Result<(), TrackerError> {
        let answer = self.service.send("POST", "", Some(&message.written(self.chat))).await?;
        // Teams says nothing; Slack says `ok`, and whoever says something else is not Slack.
        match (self.chat, answer.map(|reply| reply.body)) {
            (Chat::Slack, Some(body)) if body != "ok" => {
                Err(self.service.denied("it does not answer as Slack does; is the address right?"))
            }
            (_, Some(_)) => Ok(()),
            (_, None) => Err(self.service.denied("it is not there")),
        }
    }
}
