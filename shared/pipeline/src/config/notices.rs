//! Notices: `notices` of amend.yaml.

use amend_connect::{Channel, Chat, Mailer, Secret, mail};
use jiff::SignedDuration;

use super::{connectors::named, reader::Reader};
use crate::notices::{Times, quiet::Quiet};

/// A channel, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAt {
    /// What it is called.
    pub name: String,
    /// Of which service.
    pub chat: Chat,
    /// The address that this gave for it: whoever has that can post there.
    pub url: Secret,
}

/// The channels.
pub(super) fn channels(reader: &mut Reader) -> Vec<ChannelAt> {
    let names = named(reader, "notices.channels", "a channel");
    names.into_iter().filter_map(|name| channel(reader, name)).collect()
}

fn channel(reader: &mut Reader, name: String) -> Option<ChannelAt> {
    let path = format!("notices.channels.{name}");
    let url = |member: &str, reader: &mut Reader| {
        let member = format!("{path}.{member}");
        let url = reader.has(&member).then(|| reader.text(&member)).flatten()?;
        reader.show_as("(not shown)".into());
        Some(Secret::new(url))
    };
    let said = (url("slack", reader), url("teams", reader));
    let (chat, url, member) = match said {
        (Some(url), None) => (Chat::Slack, url, "slack"),
        (None, Some(url)) => (Chat::Teams, url, "teams"),
        _ => {
            let hint = "one of slack, teams: the address that the service gives for the channel";
            reader.wrong_at(&path, &format!("the channel `{name}` must be one channel of one service"), hint);
            return None;
        }
    };
    if let Err(why) = Channel::new(&name, chat, &url) {
        reader.wrong_at(&format!("{path}.{member}"), &why, "copy it as the service shows it: `https://…`");
        return None;
    }
    Some(ChannelAt { name, chat, url })
}

/// How mail is sent, and when what is.
pub(super) fn read(reader: &mut Reader) -> (Option<mail::Settings>, Times) {
    let cron = |text: &str| match cronexpr::parse_crontab(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is no time that comes again")),
    };
    let hint = "five fields and a time zone: `0 8 * * MON Europe/Vienna`";
    let digest = reader.parse("notices.digest", hint, cron);
    let address =
        |text: &str| if text.contains('@') { Ok(text.to_owned()) } else { Err(format!("`{text}` is no address")) };
    let orphans = reader.parse("notices.orphans", "write it as `desk@example.org`", address);
    let url = reader.text("notices.mail.url");
    let user = reader.text("notices.mail.user");
    let password = reader.text("notices.mail.password").map(Secret::new);
    if password.is_some() {
        reader.show_as("(not shown)".into());
    }
    let from = reader.text("notices.mail.from");
    let hint = "from, to, and a time zone: `20:00-07:00 Europe/Vienna`";
    let quiet = reader.parse("notices.quiet", hint, Quiet::parse);
    let mut escalate = SignedDuration::ZERO;
    reader.duration("notices.escalate", SignedDuration::ZERO, "write it as `7d`", &mut escalate);
    let times = Times { digest, orphans, escalate, quiet };
    let settings = match (url, from) {
        (Some(url), Some(from)) => Some(mail::Settings { url, user, password, from }),
        (None, None) => None,
        (Some(_), None) => {
            reader.error_at(
                "notices.mail.url",
                "`notices.mail` lacks `from`",
                "whom mails are from: `amend@example.org`",
            );
            None
        }
        (None, Some(_)) => {
            reader.error_at(
                "notices.mail.from",
                "`notices.mail` lacks `url`",
                "write it as `smtp://host:587` or `smtps://host`",
            );
            None
        }
    };
    if let Some(settings) = &settings {
        if settings.user.is_some() != settings.password.is_some() {
            let hint = "the password best as AMEND__NOTICES__MAIL__PASSWORD";
            reader.error_at("notices.mail.url", "a user and a password go together", hint);
        } else if let Err(why) = Mailer::new(settings) {
            reader.error_at(
                "notices.mail.url",
                &why,
                "`smtp://host:587` (STARTTLS) or `smtps://host`, and `from: amend@example.org`",
            );
        }
    } else if times.digest.is_some() {
        reader.error_at("notices.digest", "nobody sends mail", "name the server under `notices.mail`");
    }
    (settings, times)
}
