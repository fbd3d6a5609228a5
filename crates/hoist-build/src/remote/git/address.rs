//! Addresses of git repositories, as BuildKit reads them: `https://host/x.git#ref:directory`,
//! `git@host:x`, `ssh://…`, `git://…`, and the form with a query (`?branch=…&subdir=…`).

use std::fmt;

/// A repository, and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GitAddress {
    pub(crate) remote: GitRemote,
    /// Branch, tag, commit or full name of a reference; the default branch when absent.
    pub(crate) reference: Option<String>,
    /// The commit that it must be, or how it begins: `checksum=` or `commit=`.
    pub(crate) checksum: Option<String>,
    /// The directory that is meant, without slashes at its ends; empty for the whole.
    pub(crate) subdirectory: String,
    /// `keep-git-dir=`, if given.
    pub(crate) keep_git_dir: Option<bool>,
    /// `submodules=`, if given.
    pub(crate) submodules: Option<bool>,
    /// `fetch-by-commit`: the checksum is the commit, whatever the reference points to.
    pub(crate) by_commit: bool,
}

/// Where a repository is.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct GitRemote {
    /// What git is told, without user and password of a web address.
    pub(crate) url: String,
    pub(crate) transport: Transport,
    /// `host` or `host:port`.
    pub(crate) host: String,
    /// `user:password` of a web address, as written there.
    pub(crate) user: Option<String>,
}

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Transport {
    #[default]
    Https,
    Http,
    Git,
    Ssh,
}

/// The user and password are nobody's business.
impl fmt::Debug for GitRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A text that is no address of a repository, or one that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotGit {
    /// It means something else.
    Other,
    /// Why it cannot be used.
    Invalid(String),
}

fn invalid(reason: impl Into<String>) -> NotGit {
    NotGit::Invalid(reason.into())
}

impl GitAddress {
    /// Read a source of `ADD`, or a context.
    ///
    /// # Errors
    /// [`NotGit::Other`] for paths and for web addresses that do not end with `.git`.
    pub(crate) fn parse(text: &str) -> Result<Self, NotGit> {
        let (text, fragment) = match text.split_once('#') {
            Some((text, fragment)) => (text, fragment),
            None => (text, ""),
        };
        let (base, query) = match text.split_once('?') {
            Some((base, query)) => (base, query),
            None => (text, ""),
        };
        let is_web = ["http://", "https://"]
            .iter()
            .any(|start| has_scheme(base, start));
        if is_web && !base.ends_with(".git") {
            return Err(NotGit::Other);
        }
        let remote = GitRemote::parse(base)?;
        let mut address = Self {
            remote,
            ..Self::default()
        };
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        if !reference.is_empty() {
            address.reference = Some(reference.to_owned());
        }
        address.subdirectory = directory(subdirectory);
        address.query(query)?;
        address.check()?;
        Ok(address)
    }

    /// As [`parse`](Self::parse), for contexts: `github.com/…` is one, too.
    pub(crate) fn parse_context(text: &str) -> Result<Self, NotGit> {
        match text.strip_prefix("github.com/") {
            Some(_) => {
                let end = text.find(['?', '#']).unwrap_or(text.len());
                let (path, rest) = text.split_at(end);
                let path = path.trim_end_matches('/');
                let ending = if path.ends_with(".git") { "" } else { ".git" };
                Self::parse(&format!("https://{path}{ending}{rest}"))
            }
            None => Self::parse(text),
        }
    }

    /// Whether the reference is a commit by its full name.
    pub(crate) fn commit(&self) -> Option<&str> {
        let given = self.reference.as_deref().filter(|name| is_commit(name));
        let pinned = self.checksum.as_deref().filter(|name| is_commit(name));
        given.or(pinned)
    }

    fn query(&mut self, query: &str) -> Result<(), NotGit> {
        let (mut tag, mut branch) = (None, None);
        let mut seen: Vec<&str> = Vec::new();
        for word in query.split('&').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if seen.contains(&name) {
                return Err(invalid(format!("query {name:?} has multiple values")));
            }
            seen.push(name);
            let value = decoded(value)?;
            let is_switch = matches!(name, "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_switch {
                return Err(invalid(format!("query {name:?} has no value")));
            }
            match name {
                "ref" => self.refer(&value)?,
                "tag" => tag = Some(prefixed("refs/tags/", &value)),
                "branch" => branch = Some(prefixed("refs/heads/", &value)),
                "subdir" => {
                    let value = directory(&value);
                    if !self.subdirectory.is_empty() && self.subdirectory != value {
                        return Err(invalid(format!(
                            "subdir conflicts: {:?} vs {value:?}",
                            self.subdirectory
                        )));
                    }
                    self.subdirectory = value;
                }
                "checksum" | "commit" => self.checksum = Some(value),
                "keep-git-dir" => self.keep_git_dir = Some(switch(name, &value)?),
                "submodules" => self.submodules = Some(switch(name, &value)?),
                "fetch-by-commit" => self.by_commit = switch(name, &value)?,
                "mtime" if matches!(value.as_str(), "checkout" | "commit") => {}
                "mtime" => return Err(invalid(format!("invalid mtime value: {value:?}"))),
                _ => return Err(invalid(format!("unexpected query {name:?}"))),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err(invalid("branch conflicts with tag"));
        }
        match tag.or(branch) {
            Some(name) => self.refer(&name),
            None => Ok(()),
        }
    }

    fn refer(&mut self, name: &str) -> Result<(), NotGit> {
        match &self.reference {
            Some(known) if known != name => {
                Err(invalid(format!("ref conflicts: {known:?} vs {name:?}")))
            }
            _ => {
                self.reference = Some(name.to_owned());
                Ok(())
            }
        }
    }

    fn check(&self) -> Result<(), NotGit> {
        if let Some(reference) = &self.reference {
            check_reference(reference)?;
        }
        if let Some(checksum) = &self.checksum {
            check_checksum(checksum)?;
        }
        if self.by_commit && self.commit().is_none() {
            return Err(invalid(
                "fetch-by-commit needs a full commit: write checksum= with all of its digits",
            ));
        }
        check_directory(&self.subdirectory)
    }
}

impl fmt::Display for GitAddress {
    /// As an address with a fragment, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.remote.url)?;
        match (self.reference.as_deref(), self.subdirectory.as_str()) {
            (None, "") => Ok(()),
            (reference, "") => write!(f, "#{}", reference.unwrap_or_default()),
            (reference, below) => write!(f, "#{}:{below}", reference.unwrap_or_default()),
        }
    }
}

impl GitRemote {
    /// Read the address of a repository, whatever it ends with: also those of submodules.
    pub(crate) fn parse(text: &str) -> Result<Self, NotGit> {
        if text.starts_with('-') || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(match text.contains("://") {
                true => invalid("the address has characters that none has"),
                false => NotGit::Other,
            });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::parse_scp(text);
        };
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "http" => Transport::Http,
            "https" => Transport::Https,
            "git" => Transport::Git,
            "ssh" => Transport::Ssh,
            _ => return Err(NotGit::Other),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => return Err(invalid("the address has no path")),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with('-') || host.contains(['\\', '%']) {
            return Err(invalid(format!("{host:?} is no host")));
        }
        if user.is_some_and(|user| user.starts_with('-')) {
            return Err(invalid("the address has no usable user"));
        }
        let scheme = scheme.to_ascii_lowercase();
        let is_web = matches!(transport, Transport::Http | Transport::Https);
        let url = match user {
            // The user is part of who is asked; a password is of no use to ssh.
            Some(user) if !is_web => format!("{scheme}://{user}@{host}{path}"),
            _ => format!("{scheme}://{host}{path}"),
        };
        Ok(Self {
            url,
            transport,
            host: host.to_ascii_lowercase(),
            user: user.filter(|_| is_web).map(str::to_owned),
        })
    }

    /// `user@host:path`.
    fn parse_scp(text: &str) -> Result<Self, NotGit> {
        let (user, rest) = text.split_once('@').ok_or(NotGit::Other)?;
        let (host, path) = rest.split_once(':').ok_or(NotGit::Other)?;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if user.is_empty() || !user.bytes().all(word) || !host.bytes().all(name) {
            return Err(NotGit::Other);
        }
        if host.is_empty() || host.starts_with('-') || path.is_empty() || path.starts_with('-') {
            return Err(invalid("no such host or path can be"));
        }
        Ok(Self {
            url: text.to_owned(),
            transport: Transport::Ssh,
            host: host.to_ascii_lowercase(),
            user: None,
        })
    }

    /// The address of a submodule of this repository, as `.gitmodules` writes it: relative to this
    /// one when it begins with `./` or `../`.
    pub(crate) fn submodule(&self, text: &str) -> Result<Self, NotGit> {
        if !text.starts_with("./") && !text.starts_with("../") {
            return Self::parse(text).map_err(|error| match error {
                NotGit::Other => invalid("not an http, https, ssh or git address"),
                error => error,
            });
        }
        // What the path hangs from: `https://host`, or `git@host:`.
        let start = match self.url.split_once("://") {
            Some((scheme, rest)) => scheme.len() + 3 + rest.find('/').unwrap_or(rest.len()),
            None => self.url.find(':').map_or(0, |at| at + 1),
        };
        let (origin, path) = self.url.split_at(start);
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(invalid("it leads above the root of its server"));
                    }
                }
                part => parts.push(part),
            }
        }
        let slash = if path.starts_with('/') { "/" } else { "" };
        let mut remote = Self::parse(&format!("{origin}{slash}{}", parts.join("/")))?;
        remote.user.clone_from(&self.user);
        Ok(remote)
    }
}

/// Whether `name` is a commit in full.
pub(crate) fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A checksum of a git source is a commit, or how it begins.
pub(crate) fn check_checksum(checksum: &str) -> Result<(), NotGit> {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !checksum.is_empty() && checksum.len() <= 64 && checksum.bytes().all(hexadecimal) {
        return Ok(());
    }
    Err(invalid(format!(
        "invalid checksum {checksum} for Git URL, expected hex commit hash"
    )))
}

/// The rules of `git check-ref-format`: what is taken can be no option, no range and no pattern.
fn check_reference(name: &str) -> Result<(), NotGit> {
    let bad_byte = |byte: u8| {
        byte <= b' '
            || byte == 0x7f
            || matches!(byte, b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\')
    };
    let bad_part = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock")
    };
    if name.starts_with('-')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.bytes().any(bad_byte)
        || name.split('/').any(bad_part)
    {
        return Err(invalid(format!(
            "{name:?} is no name of a branch, tag or commit"
        )));
    }
    Ok(())
}

fn check_directory(path: &str) -> Result<(), NotGit> {
    let is_bad = |part: &str| part == ".." || part.eq_ignore_ascii_case(".git");
    if path.split('/').any(is_bad) || path.chars().any(char::is_control) {
        return Err(invalid(format!(
            "the directory {path:?} is not one of the repository"
        )));
    }
    Ok(())
}

/// `path` without `.`, empty parts and slashes at its ends.
fn directory(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

fn has_scheme(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn prefixed(prefix: &str, name: &str) -> String {
    match name.starts_with(prefix) {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    }
}

/// As Go's `ParseBool`; nothing is true.
fn switch(name: &str, value: &str) -> Result<bool, NotGit> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(invalid(format!("invalid {name} value: {value:?}"))),
    }
}

fn decoded(text: &str) -> Result<String, NotGit> {
    let bytes = hoist_core::percent::decode(&text.replace('+', " "));
    String::from_utf8(bytes).map_err(|_| invalid(format!("the query {text:?} is not text")))
}

#[cfg(test)]
mod tests;
