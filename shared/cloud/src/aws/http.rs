//! The SDK's runtime over our one HTTP client.

use amend_http::{Client, HttpError, Request, Response};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;

/// Sends what the SDK's runtime wants to send. Time-outs are the client's own.
#[derive(Clone, Debug)]
pub(super) struct OverOurs(pub Client);

impl HttpClient for OverOurs {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for OverOurs {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let bytes = request.body().bytes().map(<[u8]>::to_vec);
            let Some(body) = bytes else {
                return Err(ConnectorError::user("a streaming body is not supported".into()));
            };
            let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let ours = Request { method: request.method().to_owned(), url: request.uri().to_owned(), headers, body };
            match client.send(ours).await {
                Ok(response) => theirs(response),
                Err(error @ HttpError::Unreachable { .. }) => Err(ConnectorError::io(error.into())),
                Err(error) => Err(ConnectorError::user(error.into())),
            }
        })
    }
}

pub(super) fn theirs(response: Response) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(response.status).map_err(|error| ConnectorError::user(error.into()))?;
    let mut theirs = HttpResponse::new(status, SdkBody::from(response.body));
    for (name, value) in response.headers {
        // What is no header of the runtime's is of no use to it either.
        let _ = theirs.headers_mut().try_append(name, value);
    }
    Ok(theirs)
}
