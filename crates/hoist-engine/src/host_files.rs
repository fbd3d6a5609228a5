//! Files of the host that containers get in a form of their own.

use std::{fs, io, path::Path};

use hoist_network::{SYSTEMD_RESOLVED, resolv_conf, uses_systemd_resolved};

use crate::error::EngineError;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A file of the host as text, empty when there is none.
pub(crate) fn read(path: &str) -> Result<String, EngineError> {
    read_below(Path::new("/"), path)
}

/// The `resolv.conf` of a container with a network of its own. Where the host asks the stub of
/// systemd-resolved, which containers do not reach, the servers are those that the stub asks.
pub(crate) fn container_resolv_conf() -> Result<String, EngineError> {
    container_resolv_conf_below(Path::new("/"))
}

fn container_resolv_conf_below(root: &Path) -> Result<String, EngineError> {
    let host = read_below(root, RESOLV_CONF)?;
    if uses_systemd_resolved(&host) {
        return Ok(resolv_conf(&read_below(root, SYSTEMD_RESOLVED)?));
    }
    Ok(resolv_conf(&host))
}

fn read_below(root: &Path, path: &str) -> Result<String, EngineError> {
    let path = root.join(path.trim_start_matches('/'));
    match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(EngineError::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_of_systemd_is_passed_by() {
        let host = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = host.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let inside = || container_resolv_conf_below(host.path()).unwrap();
        let public = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
        assert_eq!(inside(), public);
        write(RESOLV_CONF, "nameserver 127.0.0.53\n");
        assert_eq!(inside(), public);
        write(
            SYSTEMD_RESOLVED,
            "nameserver 10.0.0.2\nsearch corp.example\n",
        );
        assert_eq!(inside(), "nameserver 10.0.0.2\nsearch corp.example\n");
        write(RESOLV_CONF, "nameserver 10.0.0.3\n");
        assert_eq!(inside(), "nameserver 10.0.0.3\n");
    }
}
