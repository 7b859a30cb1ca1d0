//! One JSON text to one server, with short patience.

use std::time::Duration;

use reqwest::redirect::Policy;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for a whole request: a run waits no longer for whoever listens.
const WHOLE: Duration = Duration::from_secs(10);

/// Posts `text`, with `key` as bearer token; redirects are not followed, and what is answered is not read.
///
/// # Errors
/// What kept it from being taken, without any text of the server's.
pub(super) async fn post(url: &str, text: String, key: Option<String>) -> Result<(), String> {
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .user_agent(concat!("t3b/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .build()
        .map_err(|_| "no HTTP client".to_owned())?;
    let mut request = client.post(url).header("content-type", "application/json").body(text);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status().as_u16())),
        Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
        Err(error) if error.is_connect() => Err("no connection".to_owned()),
        Err(_) => Err("the request failed".to_owned()),
    }
}
