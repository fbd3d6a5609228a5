//! The image configuration and manifest of the OCI image specification v1.1 (`config.md`,
//! `manifest.md`), with Docker's extensions (`Healthcheck`, `OnBuild`, `Shell`).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, platform::Platform};

/// Media type of an OCI image configuration.
pub const MEDIA_TYPE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of an OCI image manifest.
pub const MEDIA_TYPE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an uncompressed OCI layer.
pub const MEDIA_TYPE_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of a layer compressed with gzip.
pub const MEDIA_TYPE_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// `PATH` of a process whose image and request set none: Docker's.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image: what to run, on which layers, and how they came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// RFC 3339, when the image was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What the image runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// Defaults of containers made from the image.
    #[serde(default)]
    pub config: Config,
    /// The layers, lowest first.
    pub rootfs: RootFs,
    /// One entry an instruction, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// The layers of an image by the digests of their uncompressed tars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// DiffIDs, lowest layer first.
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step in the making of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction, as `hoist history` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Free text: `buildkit.dockerfile.v0`, `Imported from -`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// True when the step added no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Defaults of a container: the `config` object of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// `user`, `uid`, `user:group`, `uid:gid`; empty is root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `8000/tcp` → empty object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`, in order.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// Words before the command; `None` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The command or the arguments of the entry point; `None` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// The command was written in shell form (Docker extension).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Container path → empty object.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Absolute path; empty is `/`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free names and values.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// Name or number of the signal that asks the container to stop; empty is SIGTERM.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The health check (Docker extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The shell of shell forms (Docker extension); `None` is `/bin/sh -c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Instructions for images built on this one (Docker extension).
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub on_build: Vec<String>,
}

/// `{}`, the value of JSON sets in Docker's documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A health check: Docker's `HEALTHCHECK`, durations in nanoseconds on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`; empty inherits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two probes; zero is the default of 30 s.
    #[serde(skip_serializing_if = "Duration::is_zero", with = "nanoseconds")]
    pub interval: Duration,
    /// The longest that one probe may take; zero is the default of 30 s.
    #[serde(skip_serializing_if = "Duration::is_zero", with = "nanoseconds")]
    pub timeout: Duration,
    /// Failures do not count during this time after the start; zero is none.
    #[serde(skip_serializing_if = "Duration::is_zero", with = "nanoseconds")]
    pub start_period: Duration,
    /// Between two probes during the start period; zero is the default.
    #[serde(skip_serializing_if = "Duration::is_zero", with = "nanoseconds")]
    pub start_interval: Duration,
    /// Failures in a row that make a container unhealthy; zero is the default of 3.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_nanos(u64::deserialize(from)?))
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A manifest: the configuration and layers of one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`MEDIA_TYPE_MANIFEST`] or Docker's equivalent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers as blobs, lowest first.
    pub layers: Vec<Descriptor>,
    /// Free names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A reference to a blob by content (`descriptor.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// In an index: what the manifest runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_config_with_nulls_is_read_and_written_back_in_docker_words() {
        let text = r#"{"created":"2024-01-01T00:00:00Z","architecture":"amd64","os":"linux",
            "config":{"Env":null,"Cmd":["sh"],"Volumes":null,"OnBuild":null,
              "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000,"Retries":3}},
            "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x","empty_layer":true}]}"#;
        let image: Image = serde_json::from_str(text).unwrap();
        assert_eq!(image.config.env, Vec::<String>::new());
        assert_eq!(
            image.config.healthcheck.as_ref().unwrap().interval,
            Duration::from_secs(30)
        );
        let back = serde_json::to_value(&image).unwrap();
        assert_eq!(
            back["config"]["Healthcheck"]["Interval"],
            30_000_000_000_u64
        );
        assert_eq!(back["os"], "linux");
        assert!(back["config"].get("Volumes").is_none());
    }
}
