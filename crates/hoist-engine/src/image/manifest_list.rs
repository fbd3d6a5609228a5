//! Lists of manifests: one name for the images of several platforms.
//!
//! A list is put together here (`manifest create`, `annotate`), one file a list, and becomes an index
//! in a registry when it is pushed ([`push`]). Its entries are manifests that a registry has, in any
//! repository, and images of the store, which are compressed when they enter the list: their
//! manifests are known from then on.

mod file;
mod push;

use hoist_core::{
    Digest, Platform, Reference,
    image::{MEDIA_TYPE_CONFIG, Manifest},
};
use hoist_registry::{Document, RawManifest, Registry, RegistryError};
use hoist_store::StoreError;
use serde::{Deserialize, Serialize};

use super::{event::Listener, push::media_type as media_type_of};
use crate::{error::EngineError, root::Engine};

pub use push::PushedList;

const MEDIA_TYPE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's index: of manifests that are all Docker's.
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A list of manifests in the making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestList {
    /// What it will be pushed as.
    pub reference: Reference,
    /// Its manifests, in the order in which they were named.
    pub entries: Vec<ListEntry>,
}

/// A manifest of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListEntry {
    /// How it was named.
    pub reference: Reference,
    /// The image of the store that it is of; `None` when a registry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it runs on; `None` when nobody has said it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<ListedPlatform>,
    /// Its bytes, which are text.
    pub manifest: String,
}

/// What an entry of an index runs on (`image-index.md`), with what Windows needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListedPlatform {
    /// `amd64`, …
    pub architecture: String,
    /// `linux`, …
    pub os: String,
    /// The version of Windows.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// `win32k`, …
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// `v8`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// What the index says of one entry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    media_type: &'a str,
    size: usize,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a ListedPlatform>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Listed<'a>>,
}

impl From<&Platform> for ListedPlatform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone().unwrap_or_default(),
            ..Self::default()
        }
    }
}

impl ListedPlatform {
    /// Take what `other` says, and keep what it leaves open.
    fn amend(&mut self, other: &Self) {
        let set = |mine: &mut String, theirs: &String| {
            if !theirs.is_empty() {
                mine.clone_from(theirs);
            }
        };
        set(&mut self.architecture, &other.architecture);
        set(&mut self.os, &other.os);
        set(&mut self.os_version, &other.os_version);
        set(&mut self.variant, &other.variant);
        for feature in &other.os_features {
            if !self.os_features.contains(feature) {
                self.os_features.push(feature.clone());
            }
        }
    }

    /// Whether there is such a system: Docker's table.
    fn is_known(&self) -> bool {
        let architectures: &[&str] = match self.os.as_str() {
            "darwin" => &["386", "amd64", "arm", "arm64"],
            "dragonfly" | "solaris" => &["amd64"],
            "freebsd" | "netbsd" | "openbsd" => &["386", "amd64", "arm", "arm64"],
            "linux" => &[
                "386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le",
                "riscv64", "s390x",
            ],
            "plan9" => &["386", "amd64"],
            "windows" => &["386", "amd64", "arm", "arm64"],
            _ => &[],
        };
        architectures.contains(&self.architecture.as_str())
    }
}

impl ManifestList {
    /// What the list is pushed as: Docker's type when all its manifests are Docker's, OCI's
    /// otherwise.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        let all_dockers = |entry: &ListEntry| entry.media_type == DOCKER_MANIFEST;
        if !self.entries.is_empty() && self.entries.iter().all(all_dockers) {
            return DOCKER_LIST;
        }
        MEDIA_TYPE_INDEX
    }

    /// The bytes of the index.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when they cannot be made.
    pub fn index(&self) -> Result<Vec<u8>, EngineError> {
        let index = Index {
            schema_version: 2,
            media_type: self.media_type(),
            manifests: self.entries.iter().map(ListEntry::listed).collect(),
        };
        serde_json::to_vec(&index)
            .map_err(|error| EngineError::invalid(format!("the index cannot be written: {error}")))
    }

    /// The entry that was named so.
    #[must_use]
    pub fn entry(&self, reference: &Reference) -> Option<&ListEntry> {
        self.entries
            .iter()
            .find(|entry| entry.reference == *reference)
    }

    /// Put an entry where the one of its name is, or at the end.
    fn put(&mut self, entry: ListEntry) {
        let known = self
            .entries
            .iter_mut()
            .find(|known| known.reference == entry.reference);
        match known {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }
}

impl ListEntry {
    fn listed(&self) -> Listed<'_> {
        Listed {
            media_type: &self.media_type,
            size: self.manifest.len(),
            digest: self.digest,
            platform: self.platform.as_ref(),
        }
    }

    /// The manifest, parsed.
    fn parsed(&self) -> Result<Manifest, EngineError> {
        serde_json::from_str(&self.manifest).map_err(|error| {
            EngineError::invalid(format!(
                "the manifest of {} is malformed: {error}",
                self.reference.familiar()
            ))
        })
    }
}

impl Engine {
    /// Begin a list of `members`, or with `amend` add them to the one that there is.
    ///
    /// A member is what its registry has under that name; where the registry has nothing, does not
    /// say, or cannot be reached, the image of the store with that name.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for a list that is there already, and for a member that is itself a
    /// list; [`EngineError::Registry`] for one that is nowhere.
    pub fn create_manifest_list(
        &self,
        registry: &Registry,
        list: &Reference,
        members: &[Reference],
        amend: bool,
    ) -> Result<ManifestList, EngineError> {
        if !amend {
            self.refuse_known(list)?;
        }
        let members: Vec<_> = members
            .iter()
            .map(|member| self.member(registry, member))
            .collect::<Result<_, _>>()?;
        let lock = self.lock_lists()?;
        let mut made = match self.stored_list(list)? {
            Some(_) if !amend => return Err(already_there(list)),
            Some(known) => known,
            None => ManifestList {
                reference: list.clone(),
                entries: Vec::new(),
            },
        };
        for entry in members {
            made.put(entry);
        }
        self.store_list(&made)?;
        drop(lock);
        Ok(made)
    }

    /// Say what a member of a list runs on; what `platform` leaves open stays as it is.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when there is no such list, no such member or no such system.
    pub fn annotate_manifest(
        &self,
        list: &Reference,
        member: &Reference,
        platform: &ListedPlatform,
    ) -> Result<(), EngineError> {
        let lock = self.lock_lists()?;
        let missing = || EngineError::Invalid {
            message: format!("manifest for image {member} does not exist in {list}"),
            hint: Some(format!(
                "hoist manifest inspect {} shows what is in it",
                list.familiar()
            )),
        };
        let mut made = self.stored_list(list)?.ok_or_else(missing)?;
        let mut entries = made.entries.iter_mut();
        let entry = entries
            .find(|entry| entry.reference == *member)
            .ok_or_else(missing)?;
        let described = entry.platform.get_or_insert_default();
        described.amend(platform);
        if !described.is_known() {
            return Err(EngineError::invalid(format!(
                "manifest entry for image has unsupported os/arch combination: {}/{}",
                described.os, described.architecture
            )));
        }
        self.store_list(&made)?;
        drop(lock);
        Ok(())
    }

    fn refuse_known(&self, list: &Reference) -> Result<(), EngineError> {
        match self.stored_list(list)? {
            Some(_) => Err(already_there(list)),
            None => Ok(()),
        }
    }

    /// What a member's name means: to its registry, else here.
    fn member(&self, registry: &Registry, reference: &Reference) -> Result<ListEntry, EngineError> {
        match registry.manifest(reference) {
            Ok(raw) => remote(registry, reference, &raw),
            Err(
                error @ (RegistryError::ManifestUnknown(_)
                | RegistryError::PullDenied { .. }
                | RegistryError::NoCredentials { .. }
                | RegistryError::Connection { .. }),
            ) => self.local(reference)?.ok_or_else(|| error.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The image of the store with that name; `None` when there is none.
    fn local(&self, reference: &Reference) -> Result<Option<ListEntry>, EngineError> {
        let store = self.store();
        let id = match store.resolve(&reference.to_string()) {
            Err(StoreError::NoSuchImage(_)) => return Ok(None),
            result => result?,
        };
        let image = store.image(&id)?;
        let silent: Listener = std::sync::Arc::new(|_| {});
        let bytes = self.prepared_manifest(&image, &silent)?;
        let mut entry = entry(reference, &media_type_of(&bytes), &bytes)?;
        entry.image = Some(id);
        entry.platform = Some(ListedPlatform::from(&image.image.platform));
        Ok(Some(entry))
    }
}

fn already_there(list: &Reference) -> EngineError {
    let name = list.familiar();
    EngineError::Invalid {
        message: "refusing to amend an existing manifest list with no --amend flag".to_owned(),
        hint: Some(format!(
            "add to it with --amend, or begin again after hoist manifest rm {name}"
        )),
    }
}

/// A manifest of a registry.
fn remote(
    registry: &Registry,
    reference: &Reference,
    raw: &RawManifest,
) -> Result<ListEntry, EngineError> {
    let Document::Manifest(manifest) = raw.document(reference)? else {
        return Err(EngineError::Invalid {
            message: format!("{reference} is a manifest list"),
            hint: Some("name the manifests in it by their digests".to_owned()),
        });
    };
    let mut entry = entry(reference, &raw.media_type, &raw.bytes)?;
    // What is no image of a container has nothing to run on.
    if matches!(
        manifest.config.media_type.as_str(),
        MEDIA_TYPE_CONFIG | DOCKER_CONFIG
    ) {
        let config = registry.config(reference, &manifest.config)?;
        entry.platform = serde_json::from_slice::<ListedPlatform>(&config)
            .ok()
            .filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty());
    }
    Ok(entry)
}

fn entry(reference: &Reference, media_type: &str, bytes: &[u8]) -> Result<ListEntry, EngineError> {
    let manifest = String::from_utf8(bytes.to_vec()).map_err(|_| {
        EngineError::invalid(format!(
            "the manifest of {} is malformed: it is no text",
            reference.familiar()
        ))
    })?;
    Ok(ListEntry {
        reference: reference.clone(),
        image: None,
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        platform: None,
        manifest,
    })
}

#[cfg(test)]
mod tests {
    use hoist_core::image::MEDIA_TYPE_MANIFEST;

    use super::*;

    fn member(name: &str, media_type: &str) -> ListEntry {
        let reference = Reference::parse(name).unwrap();
        let mut entry = entry(&reference, media_type, b"{}").unwrap();
        entry.platform = Some(ListedPlatform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            ..ListedPlatform::default()
        });
        entry
    }

    #[test]
    fn a_list_is_dockers_only_when_all_of_it_is() {
        let mut list = ManifestList {
            reference: Reference::parse("app").unwrap(),
            entries: vec![member("app:1", DOCKER_MANIFEST)],
        };
        assert_eq!(list.media_type(), DOCKER_LIST);
        list.put(member("app:2", MEDIA_TYPE_MANIFEST));
        assert_eq!(list.media_type(), MEDIA_TYPE_INDEX);
        // The same name again takes the old one's place.
        list.put(member("app:1", MEDIA_TYPE_MANIFEST));
        assert_eq!(list.entries.len(), 2);
        insta::assert_snapshot!(
            String::from_utf8(list.index().unwrap()).unwrap(),
            @r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","platform":{"architecture":"arm64","os":"linux"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","platform":{"architecture":"arm64","os":"linux"}}]}"#
        );
    }

    #[test]
    fn what_is_said_of_a_platform_adds_up() {
        let mut platform = ListedPlatform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            ..ListedPlatform::default()
        };
        platform.amend(&ListedPlatform {
            architecture: "arm".to_owned(),
            variant: "v7".to_owned(),
            os_features: vec!["a".to_owned(), "a".to_owned()],
            ..ListedPlatform::default()
        });
        assert!(platform.is_known());
        assert_eq!((&*platform.os, &*platform.variant), ("linux", "v7"));
        assert_eq!(platform.os_features, ["a"]);
        platform.amend(&ListedPlatform {
            os: "plan9".to_owned(),
            ..ListedPlatform::default()
        });
        assert!(!platform.is_known());
    }
}
