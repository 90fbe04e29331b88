//! Mail, by SMTP.

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, MultiPart, header::HeaderName, header::HeaderValue},
    transport::smtp::authentication::Credentials,
};

use crate::{Secret, TrackerError};

/// What errors call it.
const NAME: &str = "the mail server";

/// How mail is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server: `smtps://host` (TLS at once, port 465), `smtp://host` (STARTTLS, port 587), with a port of its own
    /// where it has one. On this machine alone without TLS.
    pub url: String,
    /// The user.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<Secret>,
    /// Whom mails are from: `Amend <amend@example.org>`.
    pub from: String,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// To whom.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// As a page.
    pub html: String,
    /// As a plain text.
    pub text: String,
    /// Its name, unlike that of any other: the same again has the same message id.
    pub id: String,
}

/// Whoever sends mail.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// With these settings.
    ///
    /// # Errors
    /// When the address of the server, or whom mails are from, cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let from =
            settings.from.parse().map_err(|error| format!("`{}` is no address of mail: {error}", settings.from))?;
        let (scheme, host, port) = server(&settings.url)?;
        let transport = match scheme {
            Scheme::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
            Scheme::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
            Scheme::Plain => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
        };
        let mut transport =
            transport.map_err(|error| error.to_string())?.timeout(Some(std::time::Duration::from_secs(20)));
        if let Some(port) = port {
            transport = transport.port(port);
        }
        if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(Self { transport: transport.build(), from })
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// When the server does not answer, does not let us in, or refuses it.
    pub async fn send(&self, mail: &Mail) -> Result<(), TrackerError> {
        let refused = |why: String| TrackerError::Refused { tracker: NAME.to_owned(), why };
        let to: Mailbox = mail.to.parse().map_err(|_| refused(format!("`{}` is no address of mail", mail.to)))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&mail.subject)
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            // Nobody answers a machine: RFC 3834.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
            .map_err(|error| refused(error.to_string()))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let why = error.to_string();
                let code = error.status().map(|code| code.to_string()).unwrap_or_default();
                Err(match error.is_permanent() {
                    true if ["530", "534", "535", "538"].contains(&code.as_str()) => {
                        TrackerError::Denied { tracker: NAME.to_owned(), why }
                    }
                    true => refused(why),
                    false => TrackerError::Busy { tracker: NAME.to_owned(), why, wait: None },
                })
            }
        }
    }
}

enum Scheme {
    Tls,
    StartTls,
    Plain,
}

/// The server that an address names.
fn server(url: &str) -> Result<(Scheme, &str, Option<u16>), String> {
    let wrong = || format!("`{url}` is no mail server");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (host, port) = match rest.trim_end_matches('/').rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (rest.trim_end_matches('/'), None),
    };
    if host.is_empty() || host.contains(['/', '@']) {
        return Err(wrong());
    }
    match scheme {
        "smtps" => Ok((Scheme::Tls, host, port)),
        "smtp" if ["127.0.0.1", "localhost"].contains(&host) => Ok((Scheme::Plain, host, port)),
        "smtp" => Ok((Scheme::StartTls, host, port)),
        _ => Err(wrong()),
    }
}
