//! `--add-host`, `--shm-size` and `--ulimit`: what RUN steps find around them.

use std::net::IpAddr;

use hoist_build::Entitlement;
use hoist_core::spec::Rlimit;
use hoist_engine::step::Surroundings;

use crate::args::value;

/// The limits that Docker knows (`docs.docker.com/reference/cli/docker/container/run/#ulimit`).
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The flags about the surroundings of RUN steps.
#[derive(Debug, clap::Args)]
pub(crate) struct SurroundingsFlags {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "host", value_parser = host)]
    pub(crate) add_host: Vec<(String, String)>,
    /// Size of "/dev/shm"
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    pub(crate) shm_size: Option<u64>,
    /// Ulimit options (format: "name=soft[:hard]")
    #[arg(long, value_name = "ulimit", value_parser = limit)]
    pub(crate) ulimit: Vec<Rlimit>,
    /// Set the parent cgroup for the RUN instructions during build
    #[arg(long, value_name = "string", value_parser = cgroup_parent)]
    pub(crate) cgroup_parent: Option<String>,
    /// Allow extra privileged entitlement ("network.host", "security.insecure",
    /// "device", "device=NAME")
    #[arg(long, value_name = "entitlement")]
    pub(crate) allow: Vec<Entitlement>,
}

impl SurroundingsFlags {
    /// As the engine takes them.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            extra_hosts: self.add_host.clone(),
            // Docker: 0 is the default.
            shm_size: self.shm_size.filter(|bytes| *bytes > 0),
            rlimits: self.ulimit.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
        }
    }
}

fn cgroup_parent(text: &str) -> Result<String, String> {
    let names = text.trim_matches('/').split('/');
    let is_path = names.clone().all(|name| !matches!(name, "" | "." | ".."));
    if !is_path {
        return Err(format!(
            "{text:?} is no parent cgroup: write its path below the root of the hierarchy, as /ci/builds"
        ));
    }
    Ok(format!("/{}", text.trim_matches('/')))
}

fn host(text: &str) -> Result<(String, String), String> {
    let Some((name, address)) = text.split_once(['=', ':']) else {
        return Err(format!("bad format for add-host: {text:?}"));
    };
    if name.is_empty() {
        return Err(format!("bad format for add-host: {text:?}"));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok((name.to_owned(), address.to_owned()))
}

fn limit(text: &str) -> Result<Rlimit, String> {
    let Some((name, values)) = text.split_once('=') else {
        return Err(format!("invalid ulimit argument: {text}"));
    };
    if !LIMITS.contains(&name) {
        return Err(format!(
            "invalid ulimit type: {name}\nhint: write one of {}",
            LIMITS.join(", ")
        ));
    }
    let number = |text: &str| match value::integer(text)? {
        -1 => Ok(u64::MAX),
        number => u64::try_from(number).map_err(|_| format!("invalid ulimit value: {text}")),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if soft > hard {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(Rlimit {
        kind: format!("RLIMIT_{}", name.to_ascii_uppercase()),
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_with_a_colon_or_an_equals_sign() {
        let table = [
            ("a:1.2.3.4", Ok(("a", "1.2.3.4"))),
            ("a=1.2.3.4", Ok(("a", "1.2.3.4"))),
            ("a:::1", Ok(("a", "::1"))),
            ("a=[::1]", Ok(("a", "::1"))),
            ("a:host-gateway", Ok(("a", "host-gateway"))),
            ("a", Err("bad format for add-host: \"a\"")),
            ("a:b", Err("invalid IP address in add-host: \"b\"")),
        ];
        for (text, expected) in table {
            let expected = expected
                .map(|(name, address)| (name.to_owned(), address.to_owned()))
                .map_err(str::to_owned);
            assert_eq!(host(text), expected, "{text}");
        }
    }

    #[test]
    fn a_parent_cgroup_cannot_lead_out_of_the_tree() {
        for (text, path) in [("ci", "/ci"), ("/ci/builds/", "/ci/builds")] {
            assert_eq!(cgroup_parent(text).as_deref(), Ok(path));
        }
        for text in ["", "/", "a/../..", "./a", "a//b"] {
            assert!(cgroup_parent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_have_a_name_and_one_or_two_values() {
        let table = [
            ("nofile=1024", Some(("RLIMIT_NOFILE", 1024, 1024))),
            ("nproc=10:20", Some(("RLIMIT_NPROC", 10, 20))),
            ("core=-1", Some(("RLIMIT_CORE", u64::MAX, u64::MAX))),
            ("nofile=20:10", None),
            ("nofile", None),
            ("files=1", None),
            ("nofile=x", None),
        ];
        for (text, expected) in table {
            let found = limit(text).ok();
            let found = found.map(|limit| (limit.kind, limit.soft, limit.hard));
            let expected = expected.map(|(kind, soft, hard)| (kind.to_owned(), soft, hard));
            assert_eq!(found, expected, "{text}");
        }
    }
}
