//! `RUN --device`: devices that others describe in files, by the Container Device Interface
//! (`github.com/cncf-tags/container-device-interface`, SPEC.md 1.0).
//!
//! The files are JSON or YAML by that specification; JSON alone is read here, which every tool that
//! makes them writes on request. A file that cannot be read matters only to a build that asks for a
//! device, and then is an error: the device may be in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use hoist_core::spec;
use serde::Deserialize;

use crate::error::BuildError;

/// Where the descriptions lie; those of later directories count more.
pub const CDI_DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// A `RUN --device` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `vendor.org/class=name`, `vendor.org/class=*`, or `vendor.org/class` for the first.
    pub(crate) name: String,
    /// The build fails where there is no such device; otherwise the step does without.
    pub(crate) required: bool,
}

/// A device node, and the one of the host that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeviceNode {
    pub(crate) host: PathBuf,
    pub(crate) device: spec::Device,
}

/// What a device brings into a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edits {
    pub(crate) nodes: Vec<DeviceNode>,
    pub(crate) mounts: Vec<spec::Mount>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
}

impl Edits {
    /// The same for an ordinary user, who cannot make device nodes: those of the host, mounted.
    pub(crate) fn with_mounts_only(mut self) -> Self {
        let nodes = std::mem::take(&mut self.nodes);
        let binds = nodes.into_iter().map(|node| spec::Mount {
            destination: node.device.path,
            kind: "bind".to_owned(),
            source: Some(node.host),
            options: vec!["bind".to_owned(), "rprivate".to_owned()],
        });
        self.mounts.extend(binds);
        self
    }
}

impl Wanted {
    /// Read the value of the flag; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split(',').collect();
        let mut wanted = Self {
            name: String::new(),
            required: false,
        };
        for field in &fields {
            match field.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("name") => {
                    value.clone_into(&mut wanted.name);
                }
                Some((key, value)) if key.eq_ignore_ascii_case("required") => {
                    wanted.required = match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(format!("invalid value for required: {value}")),
                    };
                }
                None if fields.len() > 1 && field.eq_ignore_ascii_case("required") => {
                    wanted.required = true;
                }
                _ if wanted.name.is_empty() => (*field).clone_into(&mut wanted.name),
                _ => return Err(format!("unexpected field '{field}' in --device={text}")),
            }
        }
        let kind = wanted.name.split('=').next().unwrap_or_default();
        match kind.split_once('/') {
            Some((vendor, class)) if !vendor.is_empty() && !class.is_empty() => Ok(wanted),
            _ => Err(format!(
                "unqualified device \"{}\": write vendor.org/class=name",
                wanted.name
            )),
        }
    }
}

/// A description as it lies on disk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: ContainerEdits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: PathBuf,
    host_path: Option<PathBuf>,
    file_mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: PathBuf,
    container_path: PathBuf,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    path: PathBuf,
}

/// What `wanted` brings along, by the descriptions in `directories`; `None` when nothing there
/// describes it.
///
/// # Errors
/// A description that cannot be read; a device node that is not there; a device that needs a hook.
pub(crate) fn find(directories: &[PathBuf], wanted: &Wanted) -> Result<Option<Edits>, BuildError> {
    let (kind, name) = match wanted.name.split_once('=') {
        Some((kind, name)) => (kind, Some(name)),
        None => (wanted.name.as_str(), None),
    };
    // By name; a description of a later directory replaces one of an earlier.
    let mut found: BTreeMap<String, Edits> = BTreeMap::new();
    let mut first = None;
    for path in descriptions(directories)? {
        let spec = read(&path)?;
        if spec.kind != kind {
            continue;
        }
        for device in &spec.devices {
            let is_it = match name {
                Some("*") => true,
                Some(name) => device.name == name,
                None => first.get_or_insert_with(|| device.name.clone()) == &device.name,
            };
            if is_it {
                let edits = merged(
                    &wanted.name,
                    [&spec.container_edits, &device.container_edits],
                )?;
                found.insert(device.name.clone(), edits);
            }
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mut all = Edits::default();
    for edits in found.into_values() {
        all.nodes.extend(edits.nodes);
        all.mounts.extend(edits.mounts);
        all.env.extend(edits.env);
    }
    Ok(Some(all))
}

/// The files with descriptions, those that count more last.
fn descriptions(directories: &[PathBuf]) -> Result<Vec<PathBuf>, BuildError> {
    let mut paths = Vec::new();
    for directory in directories {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(BuildError::Io {
                    action: "list",
                    path: directory.clone(),
                    source,
                });
            }
        };
        let mut here: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        here.retain(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("json" | "yaml" | "yml"))
        });
        here.sort();
        paths.extend(here);
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<Spec, BuildError> {
    let bytes = fs::read(path).map_err(|source| BuildError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let hint = if is_json {
            "repair or remove it"
        } else {
            "hoist reads CDI descriptions that are JSON: write it anew as such (nvidia-ctk cdi \
             generate --format=json)"
        };
        BuildError::Invalid {
            message: format!(
                "cannot read the CDI description {}: {error}",
                path.display()
            ),
            hints: vec![hint.to_owned()],
        }
    })
}

fn merged(name: &str, parts: [&ContainerEdits; 2]) -> Result<Edits, BuildError> {
    let mut edits = Edits::default();
    for part in parts {
        if let Some(hook) = part.hooks.first() {
            return Err(BuildError::Unsupported {
                what: format!(
                    "the device {name}, which needs the hook {},",
                    hook.path.display()
                ),
                hints: vec![
                    "hoist runs no programs of the host for a step: describe the device without \
                     hooks"
                        .to_owned(),
                ],
            });
        }
        edits.env.extend(part.env.iter().cloned());
        for node in &part.device_nodes {
            edits.nodes.push(device(name, node)?);
        }
        edits.mounts.extend(part.mounts.iter().map(mount));
    }
    Ok(edits)
}

/// The node in the container, of the numbers that the host's has.
fn device(name: &str, node: &Node) -> Result<DeviceNode, BuildError> {
    let host = node.host_path.as_ref().unwrap_or(&node.path);
    let failed = |reason: String| BuildError::Invalid {
        message: format!(
            "the device {name} cannot be used: {}: {reason}",
            host.display()
        ),
        hints: Vec::new(),
    };
    let found = fs::metadata(host).map_err(|error| failed(error.to_string()))?;
    let kind = match found.file_type() {
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        _ => return Err(failed("it is no device".to_owned())),
    };
    let device = spec::Device {
        kind,
        path: node.path.clone(),
        major: rustix::fs::major(found.rdev()),
        minor: rustix::fs::minor(found.rdev()),
        file_mode: Some(node.file_mode.unwrap_or(found.mode() & 0o777)),
        uid: Some(node.uid.unwrap_or(found.uid())),
        gid: Some(node.gid.unwrap_or(found.gid())),
    };
    Ok(DeviceNode {
        host: host.clone(),
        device,
    })
}

fn mount(mount: &Mount) -> spec::Mount {
    let mut options = mount.options.clone();
    if !options
        .iter()
        .any(|option| option == "bind" || option == "rbind")
    {
        options.push("rbind".to_owned());
    }
    spec::Mount {
        destination: mount.container_path.clone(),
        kind: "bind".to_owned(),
        source: Some(mount.host_path.clone()),
        options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_with_vendor_and_class() {
        let wanted = |name: &str, required| {
            Ok(Wanted {
                name: name.to_owned(),
                required,
            })
        };
        let table = [
            ("v.org/gpu=0", wanted("v.org/gpu=0", false)),
            ("v.org/gpu", wanted("v.org/gpu", false)),
            ("v.org/gpu=0,required", wanted("v.org/gpu=0", true)),
            (
                "name=v.org/gpu=*,required=false",
                wanted("v.org/gpu=*", false),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(Wanted::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "gpu",
            "v.org/=0",
            "v.org/gpu=0,x",
            "v.org/gpu,required=maybe",
        ] {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn descriptions_are_found_merged_and_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (etc, run) = (directory.path().join("etc"), directory.path().join("run"));
        fs::create_dir(&etc).unwrap();
        let text = |value: &str| {
            format!(
                r#"{{"cdiVersion":"0.6.0","kind":"v.org/null","containerEdits":{{"env":["ALL=1"]}},
                "devices":[{{"name":"a","containerEdits":{{"env":["WHICH={value}"],
                "deviceNodes":[{{"path":"/dev/mine","hostPath":"/dev/null"}}],
                "mounts":[{{"hostPath":"/etc","containerPath":"/host","options":["ro"]}}]}}}},
                {{"name":"b"}},{{"name":"c","containerEdits":{{"hooks":[{{"hookName":"createContainer","path":"/bin/x"}}]}}}}]}}"#
            )
        };
        fs::write(etc.join("one.json"), text("etc")).unwrap();
        let directories = [etc.clone(), run.clone()];
        let find = |name: &str| find(&directories, &Wanted::parse(name).unwrap());
        let edits = find("v.org/null=a").unwrap().unwrap();
        assert_eq!(edits.env, ["ALL=1", "WHICH=etc"]);
        assert_eq!(edits.mounts[0].options, ["ro", "rbind"]);
        let node = &edits.nodes[0].device;
        assert_eq!((node.kind, node.major, node.minor), ('c', 1, 3));
        assert_eq!(find("v.org/null").unwrap().unwrap(), edits);
        let binds = edits.with_mounts_only();
        assert_eq!(
            binds.mounts[1].source.as_deref(),
            Some(Path::new("/dev/null"))
        );
        assert_eq!(binds.mounts[1].destination, Path::new("/dev/mine"));
        assert_eq!(find("v.org/null=d").unwrap(), None);
        assert_eq!(find("v.org/other=a").unwrap(), None);
        let error = find("v.org/null=c").unwrap_err().to_string();
        assert!(error.contains("needs the hook /bin/x"), "{error}");

        fs::create_dir(&run).unwrap();
        fs::write(run.join("one.json"), text("run")).unwrap();
        let edits = find("v.org/null=a").unwrap().unwrap();
        assert_eq!(edits.env, ["ALL=1", "WHICH=run"]);
        fs::write(run.join("two.yaml"), "kind: v.org/x\n").unwrap();
        let error = find("v.org/null=a").unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the CDI description"),
            "{error}"
        );
    }
}
