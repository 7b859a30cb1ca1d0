//! From a URI or a path to a [`Root`]. Credentials are refused in URIs and read from the environment only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object_store::ObjectStore;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::client::{client, plain_http, retry, unusable};
use super::confined::Confined;
use super::direct::Direct;
use super::error::READ_ONLY;
use super::settings::{StoreSettings, has_credentials, local_path};
use super::{Root, cloud};
use crate::error::{Exit, Problem, quoted, shown_place};

/// The whole process shares each `memory://name`, so that a test's writer and reader meet.
static MEMORY: OnceLock<Mutex<HashMap<String, Arc<InMemory>>>> = OnceLock::new();

impl Root {
    /// Opens `file://`, `s3://`, `gs://`, `az://` or `memory://` roots, an absolute path, or `https://` to read from. With
    /// `create` the root shall be written to, and the folder of a local one is made.
    ///
    /// # Errors
    /// `C003` credentials in the URI, `C004` plain http, `S003` an unusable URI or missing folder, `S008` an http root that
    /// shall be written to.
    pub fn open(uri: &str, create: bool, settings: &StoreSettings) -> Result<Self, Problem> {
        let place = shown_place(uri);
        let opened = Self::open_at(uri, create, settings).map_err(|problem| {
            let is_named = problem.what.contains(&place) || problem.code == "C003";
            let what = if is_named { problem.what } else { format!("{} (the root {place})", problem.what) };
            Problem { what, ..problem }
        })?;
        Ok(Self { place: place.into(), ..opened })
    }

    fn open_at(uri: &str, create: bool, settings: &StoreSettings) -> Result<Self, Problem> {
        refuse_credentials(uri)?;
        refuse_plain_http(settings)?;
        refuse_unprintable_environment()?;
        let (scheme, rest) = uri.split_once("://").unwrap_or(("file", uri));
        if create && rest.split('/').any(|part| part == "_t3b") {
            return Err(
                unusable("it lies inside _t3b, where a root keeps its runs").hint("name the root itself")
            );
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty() && !matches!(scheme, "file" | "memory") {
            return Err(unusable("the URI names no bucket, container or host"));
        }
        let (store, prefix): (Arc<dyn ObjectStore>, &str) = match scheme {
            "file" if create => (open_output(local(uri)?, settings)?, ""),
            "file" => (open_folder(local(uri)?)?, ""),
            "memory" => (open_memory(bucket), prefix),
            "s3" | "s3a" | "gs" | "az" | "azure" => (cloud::open(scheme, bucket, settings)?, prefix),
            "http" | "https" => (open_http(uri, create, settings)?, ""),
            other => {
                return Err(unusable(&format!(
                    "scheme {}, allowed file, s3, gs, az, https, memory",
                    quoted(other)
                )));
            }
        };
        let prefix = Path::parse(prefix).map_err(|_| unusable("prefix with empty or relative segments"))?;
        #[cfg(debug_assertions)]
        let store = super::crash::with_crash_points(store);
        let is_read_only = scheme.starts_with("http");
        let is_folder = scheme == "file" && !create;
        let folder =
            is_folder.then(|| local(uri).ok().and_then(|path| std::fs::canonicalize(path).ok())).flatten();
        let folder = folder.map(Arc::from);
        Ok(Self { is_read_only, folder, ..Self::over(store, prefix, settings.operation_deadline) })
    }
}

fn refuse_credentials(uri: &str) -> Result<(), Problem> {
    if !has_credentials(uri) {
        return Ok(());
    }
    let scheme = uri.split("://").next().unwrap_or_default();
    let what = format!("credentials in a URI are refused: {scheme}://***");
    Err(Problem::new("C003", Exit::Config, what).hint("use the provider's environment variables or role"))
}

/// The client puts what it finds there into headers, and ends the process where it cannot.
fn refuse_unprintable_environment() -> Result<(), Problem> {
    let is_theirs = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| is_theirs(name)) else { continue };
        // A key may be a text of several lines; everything else is one.
        let is_key = name.contains("SERVICE_ACCOUNT") || name.contains("CREDENTIALS");
        if !is_key
            && value.to_str().is_none_or(|text| text.contains(|c: char| c.is_control() || !c.is_ascii()))
        {
            return Err(unusable(&format!("${name} holds a character that no header can have")));
        }
    }
    Ok(())
}

fn refuse_plain_http(settings: &StoreSettings) -> Result<(), Problem> {
    let plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    if plain && !settings.allow_http { Err(plain_http("store.endpoint")) } else { Ok(()) }
}

/// Why a local folder cannot be opened: one that may not be seen is not one that is not there.
fn no_folder(folder: &str) -> Problem {
    let is_hidden =
        std::fs::metadata(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if is_hidden {
        return denied(format!("local folder {} cannot be opened: permission denied", shown_place(folder)));
    }
    if std::fs::metadata(folder).is_ok_and(|metadata| metadata.is_file()) {
        let what = format!("store root cannot be used: {} is a file", shown_place(folder));
        return Problem::new("S003", Exit::Config, what).hint("name the folder around it");
    }
    unusable(&format!("no such local folder, {}", shown_place(folder)))
}

fn denied(what: String) -> Problem {
    Problem::new("S006", Exit::Permission, what)
        .hint("check who owns it and who may search the folders above")
}

/// A folder that is written to; it holds only what we wrote.
fn open_output(folder: &str, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, Problem> {
    use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    std::fs::create_dir_all(folder).map_err(|error| {
        let what = format!("output folder {} cannot be made: {}", shown_place(folder), error.kind());
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => denied(what),
            AlreadyExists | NotADirectory => {
                Problem::new("S003", Exit::Config, what).hint("a part of its path is a file; name another")
            }
            _ => Problem::new("S007", Exit::StoreIo, what)
                .hint("name another output root, or mend what the system says"),
        }
    })?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|_| no_folder(folder))?;
    Ok(Arc::new(store.with_fsync(settings.fsync)))
}

/// A folder that is only read.
fn open_folder(folder: &str) -> Result<Arc<dyn ObjectStore>, Problem> {
    Ok(Arc::new(Confined::open(folder).map_err(|_| no_folder(folder))?))
}

fn local(uri: &str) -> Result<&str, Problem> {
    for part in uri.trim_start_matches("file://").split('/') {
        if part == "~" || part.starts_with("$HOME") || part.starts_with("${") {
            return Err(unusable(&format!("{part} is what a shell expands and a setting does not"))
                .hint("write the whole path"));
        }
        if ["s3:", "gs:", "az:", "http:", "https:", "file:"].contains(&part) {
            return Err(unusable(&format!("{part} has to be followed by two slashes")));
        }
    }
    local_path(uri).ok_or_else(|| unusable("a file URI names an absolute path of this machine"))
}

fn open_memory(name: &str) -> Arc<dyn ObjectStore> {
    let stores = MEMORY.get_or_init(Mutex::default);
    let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_default()) as Arc<dyn ObjectStore>
}

fn open_http(uri: &str, create: bool, settings: &StoreSettings) -> Result<Arc<dyn ObjectStore>, Problem> {
    if create {
        let what = "an http root can only be read";
        return Err(Problem::new("S008", Exit::Config, what).hint(READ_ONLY));
    }
    if uri.starts_with("http:") && !settings.allow_http {
        return Err(plain_http("an http root"));
    }
    if uri.contains('#') {
        return Err(unusable("a URL with a fragment"));
    }
    let builder = HttpBuilder::new()
        .with_url(uri.trim_end_matches('/'))
        .with_client_options(client(settings))
        .with_http_connector(Direct::new(settings))
        .with_retry(retry(settings));
    Ok(Arc::new(builder.build().map_err(|_| unusable("no URL"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_uri_are_refused_and_not_repeated() {
        for uri in ["s3://KEY:SECRET@bucket/x", "s3://bucket/x?X-Amz-Signature=SECRET"] {
            let problem = refuse_credentials(uri).unwrap_err();
            assert_eq!(problem.code, "C003");
            assert!(!problem.to_string().contains("SECRET"), "{problem}");
        }
        assert!(refuse_credentials("file:///archive@home/x").is_ok());
        assert!(refuse_credentials("https://host/archive@home/x").is_ok());
    }
}
