//! Records of networks on disk.
//!
//! ```text
//! $HOIST_ROOT/networks/
//!   bridge.json      the default network: a Bridge
//! ```
//!
//! A record is written whole under a temporary name, synced, and renamed.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use crate::{Bridge, NetworkError, bridge::DEFAULT_NETWORK};

/// Reads the record of the default network; nothing when there is none yet.
pub(crate) fn read(state: &Path) -> Result<Option<Bridge>, NetworkError> {
    let path = state.join(format!("{DEFAULT_NETWORK}.json"));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(NetworkError::File {
                action: "read",
                path,
                source,
            });
        }
    };
    let bridge: Bridge = match serde_json::from_slice(&bytes) {
        Ok(bridge) => bridge,
        Err(error) => {
            return Err(NetworkError::Record {
                path,
                reason: error.to_string(),
            });
        }
    };
    if bridge.subnet.capacity() == 0 || !bridge.subnet.contains(bridge.gateway) {
        let reason = format!(
            "{} has no room for the gateway {}",
            bridge.subnet, bridge.gateway
        );
        return Err(NetworkError::Record { path, reason });
    }
    Ok(Some(bridge))
}

/// Writes the record of `bridge`.
pub(crate) fn write(state: &Path, bridge: &Bridge) -> Result<(), NetworkError> {
    let path = state.join(format!("{}.json", bridge.name));
    let draft = state.join(format!(".{}.json.new", bridge.name));
    let mut bytes = serde_json::to_vec_pretty(bridge).expect("a bridge is plain data");
    bytes.push(b'\n');
    let written = fs::create_dir_all(state).and_then(|()| {
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&draft);
        NetworkError::File {
            action: "write",
            path,
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use hoist_core::Describe;

    use super::*;
    use crate::{Subnet, bridge::Naming};

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path()).unwrap(), None);
        let subnet: Subnet = "172.18.0.0/16".parse().unwrap();
        let bridge = Naming::of(state.path(), true).default_bridge(subnet, 1500);
        write(state.path(), &bridge).unwrap();
        assert_eq!(read(state.path()).unwrap(), Some(bridge));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_record_says_which_file_it_is() {
        let state = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            r#"{"name":"bridge","interface":"a","table":"b","subnet":"10.0.0.0/32","gateway":"10.0.0.1","mtu":1}"#,
        ] {
            fs::write(state.path().join("bridge.json"), text).unwrap();
            let error = read(state.path()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("bridge.json is not a valid network record")
            );
            assert_eq!(error.hints().len(), 1);
        }
    }
}
