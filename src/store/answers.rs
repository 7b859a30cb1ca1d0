//! Answers that cannot be what was asked for, refused before the client reads them.
//!
//! object_store takes a part for the whole where it asked for no part, reads a web page as an empty listing, and stops at a
//! page that has no next one although it says that there is more.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

/// Most bytes of one page of a listing; a thousand of the longest keys have 2 MiB.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// A client whose answers are looked at.
#[derive(Debug)]
pub(super) struct Checked {
    client: HttpClient,
}

impl Checked {
    pub(super) fn new(client: HttpClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_get = request.method().as_str() == "GET";
        let has_range =
            request.headers().contains_key("range") || request.headers().contains_key("x-ms-range");
        let query = request.uri().query().unwrap_or_default();
        let is_listing = is_get && query.split('&').any(|pair| pair == "list-type=2" || pair == "comp=list");
        let answer = self.client.execute(request).await?;
        if answer.status().as_u16() == 206 && !has_range {
            return Err(lie("a part of an object came where the whole was asked for"));
        }
        if is_listing && answer.status().is_success() { page(answer).await } else { Ok(answer) }
    }
}

/// The answer again, when it is a page of a listing.
async fn page(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = answer.into_parts();
    let mut bytes = BytesMut::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > MAX_PAGE_BYTES {
            return Err(lie("a page of a listing is over 16 MiB"));
        }
    }
    let bytes = bytes.freeze();
    match kind(&bytes) {
        Page::Listing => {}
        // S3 answers so where it fails after it has begun; the client tries again what has this status.
        Page::Error => parts.status = 500.try_into().map_err(|_| lie("a listing failed"))?,
        Page::Other => return Err(lie("something else came where a listing was asked for")),
    }
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes)))
}

fn lie(what: &'static str) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, std::io::Error::other(what))
}

#[derive(Debug, PartialEq, Eq)]
enum Page {
    Listing,
    Error,
    Other,
}

/// What XML begins and ends as; whatever is between is the client's to parse.
fn kind(bytes: &Bytes) -> Page {
    let Ok(text) = std::str::from_utf8(bytes) else { return Page::Other };
    let text = text.trim_start_matches('\u{feff}').trim();
    let text = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest).trim_start(),
        None => text,
    };
    let begins = |name: &str| {
        let rest = text.strip_prefix('<').and_then(|text| text.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()))
    };
    let is_whole = |name: &str| begins(name) && text.ends_with(&format!("</{name}>"));
    if begins("Error") {
        return Page::Error;
    }
    let more_without_next =
        text.contains("<IsTruncated>true</IsTruncated>") && !text.contains("<NextContinuationToken>");
    let is_listing = is_whole("ListBucketResult") && !more_without_next || is_whole("EnumerationResults");
    if is_listing { Page::Listing } else { Page::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_whole_xml_of_its_kind() {
        let kind = |text: &str| kind(&Bytes::from(text.to_owned()));
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        for text in [
            format!("{xml}\n<ListBucketResult xmlns=\"x\"><Name>b</Name></ListBucketResult>\n"),
            "<ListBucketResult></ListBucketResult>".to_owned(),
            format!("\u{feff}{xml}<EnumerationResults ServiceEndpoint=\"x\"></EnumerationResults>"),
        ] {
            assert_eq!(kind(&text), Page::Listing, "{text}");
        }
        assert_eq!(kind(&format!("{xml}<Error><Code>InternalError</Code></Error>")), Page::Error);
        for text in [
            "",
            "<html><body>ListBucketResult</body></html>",
            "<!DOCTYPE html><ListBucketResult></ListBucketResult>",
            "<ListBucketResult><Contents><Key>a</Key>",
            "<ListBucketResults></ListBucketResults>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "{}",
        ] {
            assert_eq!(kind(text), Page::Other, "{text}");
        }
    }
}
