//! Why store calls fail, in the classes that lead to different advice.

use std::time::Duration;

use super::confined::NoObject;
use super::direct::is_connecting;
use crate::error::{Exit, Problem};

/// Why a store call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {object}: {}", cause.text())]
pub struct StoreError {
    /// `read`, `write`, `create`, `list`.
    pub operation: &'static str,
    /// The class of object, such as `receipt of partition 3`.
    pub object: String,
    /// What went wrong.
    pub cause: Cause,
}

/// The classes of store failure that lead to different advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Known to the store, and not allowed to do this.
    Denied,
    /// The store does not know these credentials, or they are wrong or expired.
    Refused,
    /// No credentials were found where the client looks for them.
    NoCredentials,
    /// The bucket lies in another region, whose name follows where the store gave it.
    WrongRegion(Option<String>),
    /// This machine's clock and the store's are too far apart for a signature.
    ClockSkew,
    /// No bucket or container of that name.
    NoBucket,
    /// The store cannot be reached: no such host, no route, or nobody listens there.
    Unreachable,
    /// The store still asked for fewer requests after all retries.
    Throttled,
    /// The disk or quota is full.
    Full,
    /// No object of that name.
    Missing,
    /// A link in a local root leads out of it.
    Outside,
    /// A device, a pipe, a socket, or a link that leads to itself.
    Special,
    /// Larger than the caller allows.
    TooLarge,
    /// In a storage class that has to be restored before it can be read.
    Archived,
    /// Another version than the one that was asked for, or an object that exists already.
    Changed,
    /// The store serves objects by name and nothing else.
    ReadOnly,
    /// The store has a name that no key can be: an empty segment, a control character.
    Unnameable,
    /// Our deadline passed.
    Deadline(Duration),
    /// Anything else, by the store's own name.
    Other(String),
}

impl Cause {
    fn text(&self) -> String {
        match self {
            Self::Denied => "access denied".into(),
            Self::Refused => "the credentials are unknown, wrong or expired".into(),
            Self::NoCredentials => "no credentials were found".into(),
            Self::WrongRegion(None) => "the bucket is not in this region".into(),
            Self::WrongRegion(Some(region)) => format!("the bucket is in the region {region}"),
            Self::ClockSkew => "the clocks of this machine and the store are too far apart".into(),
            Self::NoBucket => "there is no bucket or container of that name".into(),
            Self::Unreachable => "the store cannot be reached".into(),
            Self::Throttled => "the store asks for fewer requests".into(),
            Self::Full => "no space left".into(),
            Self::Missing => "not found".into(),
            Self::Outside => "the path leaves the root through a symlink".into(),
            Self::Special => "not a regular file".into(),
            Self::TooLarge => "larger than allowed".into(),
            Self::Archived => "in an archived storage class".into(),
            Self::Changed => "changed while it was read, or already exists".into(),
            Self::ReadOnly => "this root can only be read".into(),
            Self::Unnameable => "a name that no key can be".into(),
            Self::Deadline(after) => format!("no answer within {} s", after.as_secs()),
            Self::Other(kind) => kind.clone(),
        }
    }

    /// Whether it is the whole store's and not one object's, so that a message names the root.
    pub(super) fn is_of_store(&self) -> bool {
        self.is_lasting() || matches!(self, Self::Unreachable | Self::Throttled | Self::Deadline(_))
    }

    /// Whether asking once more can only be answered alike, so that nothing is gained by it.
    pub(super) fn is_lasting(&self) -> bool {
        use Cause::{ClockSkew, Denied, Full, NoBucket, NoCredentials, ReadOnly, Refused, WrongRegion};
        matches!(
            self,
            Denied | Refused | NoCredentials | WrongRegion(_) | ClockSkew | NoBucket | Full | ReadOnly
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (code, exit, hint) = match &error.cause {
            Cause::Denied => ("S006", Exit::Permission, RIGHTS),
            Cause::Refused => (
                "S006",
                Exit::Permission,
                "renew or correct the credentials; then run the same command again",
            ),
            Cause::NoCredentials => ("S010", Exit::Permission, NO_CREDENTIALS),
            Cause::WrongRegion(_) => {
                ("S011", Exit::Config, "set store.region or AWS_REGION to the bucket's region")
            }
            Cause::ClockSkew => {
                ("S012", Exit::Permission, "set this machine's clock; then run the same command again")
            }
            Cause::NoBucket => {
                ("S004", Exit::Config, "check the bucket's name in the root, and store.endpoint")
            }
            Cause::Unreachable => (
                "S013",
                Exit::StoreIo,
                "check store.endpoint, the network and its proxy; then run the same command again",
            ),
            Cause::Throttled => (
                "S014",
                Exit::StoreIo,
                "run the same command again later, or with a smaller fetch.concurrency",
            ),
            Cause::Full => ("S005", Exit::StoreIo, "free space and run the same command again"),
            Cause::Outside => (
                "M017",
                Exit::BadData,
                "copy what the link means into the root, or make that folder the root",
            ),
            Cause::Missing => ("S015", Exit::StoreIo, "it was there before: run the same command again"),
            Cause::Special => ("M026", Exit::BadData, "name a regular file"),
            Cause::ReadOnly => ("S008", Exit::Config, READ_ONLY),
            Cause::Archived => ("S009", Exit::StoreIo, "restore it; then run the same command again"),
            _ => ("S007", Exit::StoreIo, "run the same command again; what was done is kept"),
        };
        Self::new(code, exit, error.to_string()).hint(hint)
    }
}

const RIGHTS: &str =
    "docs/stores.md lists the rights that each command needs; then run the same command again";

/// The client reads the environment and the machine's role, not the files of the AWS command line.
/// What to do where there are no credentials, or half of them.
pub(super) const NO_CREDENTIALS: &str = "for AWS profiles and SSO: eval \"$(aws configure export-credentials --format env)\"; else set \
     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_REGION, where the bucket has another than store.region says), \
     AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or GOOGLE_APPLICATION_CREDENTIALS; docs/stores.md has all of them";

/// What to do where an http root is asked for more than objects.
pub(super) const READ_ONLY: &str = "to write or list, use file, s3, gs or az";

/// The class of a client's error.
///
/// Order: the code in the store's answer, which tells more than its status; then the client's own class; then the answer's
/// status; then what the network or the operating system said. Texts are looked at and never shown.
pub(super) fn classify(error: &object_store::Error) -> Cause {
    use object_store::Error as E;
    let text = error.to_string();
    if let Some(cause) = code_in(&text).and_then(|code| of_code(code, &text)) {
        return cause;
    }
    match error {
        _ if is_credential_service(&text) => Cause::NoCredentials,
        E::NotFound { .. } => Cause::Missing,
        E::PermissionDenied { .. } => Cause::Denied,
        E::Unauthenticated { .. } => Cause::Refused,
        E::AlreadyExists { .. } => Cause::Other("already exists".into()),
        E::Precondition { .. } => Cause::Changed,
        E::InvalidPath { .. } => Cause::Unnameable,
        _ => of_status(&text)
            .or_else(|| of_network(error))
            .unwrap_or_else(|| Cause::Other("the store failed".into())),
    }
}

/// What first stands between two texts.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let rest = &text[text.find(start)? + start.len()..];
    rest.get(..rest.find(end)?)
}

/// The store's own code: `<Code>X</Code>` of S3, Azure and Google, or one for each object of a batch, as the client prints it.
fn code_in(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>").or_else(|| between(text, "(code: ", ")"))
}

/// What a code means, in the dialects of S3, Azure and Google; `None` for codes that say no more than their status.
fn of_code(code: &str, text: &str) -> Option<Cause> {
    Some(match code {
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "UnauthorizedAccess"
        | "PublicAccessNotPermitted" => Cause::Denied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "TokenRefreshRequired"
        | "InvalidAuthenticationInfo"
        | "InvalidSecurity" => Cause::Refused,
        "AuthenticationFailed" if text.contains("Date header") || text.contains("date header") => {
            Cause::ClockSkew
        }
        "AuthenticationFailed" => Cause::Refused,
        "RequestTimeTooSkewed" | "RequestExpired" => Cause::ClockSkew,
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" => Cause::NoBucket,
        "PermanentRedirect" | "IllegalLocationConstraintException" | "IncorrectEndpoint" => {
            Cause::WrongRegion(region_in(text))
        }
        "AuthorizationHeaderMalformed" if text.contains("region") => Cause::WrongRegion(region_in(text)),
        "SlowDown"
        | "ServerBusy"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException" => Cause::Throttled,
        "InvalidObjectState" | "BlobArchived" => Cause::Archived,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => Cause::Full,
        _ => return None,
    })
}

/// The region that the store says it expects, when it is a region's name and nothing else.
fn region_in(text: &str) -> Option<String> {
    let named = between(text, "<Region>", "</Region>").or_else(|| between(text, "expecting '", "'"))?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ((1..=32).contains(&named.len()) && named.chars().all(is_plain)).then(|| named.to_owned())
}

/// Whether the request that failed was for credentials: nothing else was found, so the machine's own service was asked.
fn is_credential_service(text: &str) -> bool {
    ["://169.254.169.254", "://169.254.170.2", "://metadata.google.internal", "/latest/api/token"]
        .iter()
        .any(|service| text.contains(service))
}

/// What the answer's status says where the client has no class for it.
fn of_status(text: &str) -> Option<Cause> {
    if text.contains("incorrectly configured region") {
        return Some(Cause::WrongRegion(None));
    }
    let rest = &text[text.find("status code: ")? + "status code: ".len()..];
    match rest.get(..3)? {
        "401" => Some(Cause::Refused),
        "403" => Some(Cause::Denied),
        "404" => Some(Cause::Missing),
        "429" | "503" => Some(Cause::Throttled),
        "507" => Some(Cause::Full),
        _ => None,
    }
}

/// What the network or the operating system said, when one is in the chain.
fn of_network(error: &object_store::Error) -> Option<Cause> {
    use object_store::client::{HttpError, HttpErrorKind};
    use std::io::{Error, ErrorKind};
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(match http.kind() {
                HttpErrorKind::Connect => Cause::Unreachable,
                HttpErrorKind::Timeout if is_connecting(http) => Cause::Unreachable,
                HttpErrorKind::Timeout => Cause::Other("no answer in time".into()),
                _ => Cause::Other("the connection broke".into()),
            });
        }
        if let Some(why) = error.downcast_ref::<NoObject>() {
            return Some(match why {
                NoObject::Outside => Cause::Outside,
                NoObject::Special => Cause::Special,
            });
        }
        if let Some(io) = error.downcast_ref::<Error>() {
            return Some(match io.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Cause::Denied,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Cause::Full,
                ErrorKind::NotFound => Cause::Missing,
                kind => Cause::Other(kind.to_string()),
            });
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    fn class(text: &str) -> Cause {
        classify(&generic(text))
    }

    #[test]
    fn answers_are_read_by_their_code_whatever_the_verb() {
        let status = |status: &str, code: &str| {
            format!(
                "Error performing GET http://h/b/k in 3ms - Server returned non-2xx status code: {status}: \
                 <?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>"
            )
        };
        assert_eq!(class(&status("403 Forbidden", "AccessDenied")), Cause::Denied);
        assert_eq!(class(&status("403 Forbidden", "SignatureDoesNotMatch")), Cause::Refused);
        assert_eq!(class(&status("403 Forbidden", "RequestTimeTooSkewed")), Cause::ClockSkew);
        assert_eq!(class(&status("404 Not Found", "NoSuchBucket")), Cause::NoBucket);
        assert_eq!(class(&status("404 Not Found", "ContainerNotFound")), Cause::NoBucket);
        assert_eq!(class(&status("404 Not Found", "NoSuchKey")), Cause::Missing);
        assert_eq!(class(&status("503 Slow", "SlowDown")), Cause::Throttled);
        assert_eq!(class(&status("503 Service Unavailable", "")), Cause::Throttled);
        assert_eq!(class("DeleteObjects request failed for key k: no (code: AccessDenied)"), Cause::Denied);
    }

    #[test]
    fn a_region_is_named_only_when_it_is_one() {
        let malformed = |region: &str| {
            format!(
                "status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code><Message>the region \
                 'us-east-1' is wrong; expecting '{region}'</Message>"
            )
        };
        assert_eq!(class(&malformed("eu-west-1")), Cause::WrongRegion(Some("eu-west-1".into())));
        assert_eq!(class(&malformed("<b>EVIL")), Cause::WrongRegion(None));
    }

    #[test]
    fn a_machine_without_a_role_has_no_credentials() {
        let text = "Error performing PUT http://169.254.169.254/latest/api/token in 70ms - HTTP error: error sending request";
        assert_eq!(class(text), Cause::NoCredentials);
    }

    #[test]
    fn every_class_has_a_code_of_its_own_and_a_hint() {
        let causes = [
            (Cause::Denied, "S006", 77),
            (Cause::Refused, "S006", 77),
            (Cause::NoCredentials, "S010", 77),
            (Cause::WrongRegion(None), "S011", 78),
            (Cause::ClockSkew, "S012", 77),
            (Cause::NoBucket, "S004", 78),
            (Cause::Unreachable, "S013", 74),
            (Cause::Throttled, "S014", 74),
            (Cause::Full, "S005", 74),
            (Cause::Other("the store failed".into()), "S007", 74),
        ];
        for (cause, code, exit) in causes {
            let error = StoreError { operation: "list", object: "archive".into(), cause };
            let problem = Problem::from(error);
            assert_eq!((problem.code, problem.exit.code()), (code, exit), "{problem}");
            assert!(problem.hint.is_some_and(|hint| !hint.is_empty()));
        }
    }
}
