//! Two layers, path by path.

use std::{
    collections::{BTreeMap, HashMap},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use crate::{
    error::BuildError,
    execute::open_directory,
    tree::{
        Entry, Kind, Ownership, Root,
        digest::{attributes, read_files},
        filter::Filter,
        walk,
    },
};

const SECOND: i64 = 1_000_000_000;

/// A path that two layers have differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// From the root of the image, absolute.
    pub path: PathBuf,
    /// In what they differ; never empty.
    pub changes: Vec<Change>,
}

/// In what a path of two layers differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only the first layer has it.
    OnlyFirst,
    /// Only the second layer has it.
    OnlySecond,
    /// It is a file here and a directory there, or the like.
    Kind,
    /// The bytes of a file, the target of a link, the number of a device.
    Content,
    /// Permissions.
    Mode,
    /// The numbers of user or group.
    Owner,
    /// The time of modification, in whole seconds as layers have it: of the first, and of the
    /// second.
    Time(i64, i64),
    /// Extended attributes.
    Attributes,
    /// Which other names the file has.
    Links,
}

/// Compare the layers at `first` and `second`; a layer that is not there is empty.
pub(super) fn layers(
    first: Option<&Path>,
    second: Option<&Path>,
    cancelled: &AtomicBool,
) -> Result<Vec<Difference>, BuildError> {
    let first = Listing::read(first, cancelled)?;
    let second = Listing::read(second, cancelled)?;
    let mut paths: Vec<&PathBuf> = first.entries.keys().collect();
    paths.extend(
        second
            .entries
            .keys()
            .filter(|path| !first.entries.contains_key(*path)),
    );
    paths.sort_by_key(|path| path.as_os_str().as_bytes());
    let compared = paths.into_iter().map(|path| {
        let pair = (first.entries.get(path), second.entries.get(path));
        let changes = match pair {
            (Some(_), None) => vec![Change::OnlyFirst],
            (None, Some(_)) => vec![Change::OnlySecond],
            (Some(one), Some(other)) => changes(one, other),
            (None, None) => Vec::new(),
        };
        Difference {
            path: Path::new("/").join(path),
            changes,
        }
    });
    Ok(compared
        .filter(|difference| !difference.changes.is_empty())
        .collect())
}

/// A layer, read.
#[derive(Default)]
struct Listing {
    entries: BTreeMap<PathBuf, Seen>,
}

/// A path of a layer.
struct Seen {
    entry: Entry,
    /// The first name of a file that has several.
    first_name: Option<PathBuf>,
}

impl Listing {
    fn read(path: Option<&Path>, cancelled: &AtomicBool) -> Result<Self, BuildError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let root = Root::new(open_directory(path)?, path.to_owned(), Ownership::Kept);
        let start = Path::new("");
        let mut entries = walk(&root, start, &Filter::ignoring(None))?;
        read_files(&root, start, &mut entries, None, cancelled)?;
        let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let mut listing = Self::default();
        for mut entry in entries {
            let first_name = (entry.is_linked && entry.kind == Kind::File).then(|| {
                let inode = (entry.identity.device, entry.identity.inode);
                let name = names.entry(inode).or_insert_with(|| entry.path.clone());
                name.clone()
            });
            if entry.is_directory() {
                entry.attributes = of_directory(&root, &entry)?;
            }
            let path = entry.path.clone();
            listing.entries.insert(path, Seen { entry, first_name });
        }
        Ok(listing)
    }
}

fn of_directory(root: &Root, entry: &Entry) -> Result<crate::tree::Attributes, BuildError> {
    use rustix::fs::OFlags;
    root.open(&entry.path, OFlags::RDONLY | OFlags::DIRECTORY)
        .and_then(|directory| attributes(&directory))
        .map_err(|errno| BuildError::io("read", root.display(&entry.path), errno))
}

fn changes(one: &Seen, other: &Seen) -> Vec<Change> {
    let (a, b) = (&one.entry, &other.entry);
    if std::mem::discriminant(&a.kind) != std::mem::discriminant(&b.kind) {
        return vec![Change::Kind];
    }
    // What a step deleted is marked by a device that has nothing to say about itself.
    if a.is_whiteout() && b.is_whiteout() {
        return Vec::new();
    }
    let times = [a, b].map(|entry| entry.identity.mtime.div_euclid(SECOND));
    let is_root = a.path.as_os_str().is_empty();
    let found = [
        (a.kind != b.kind || a.digest != b.digest, Change::Content),
        (a.mode != b.mode, Change::Mode),
        ((a.uid, a.gid) != (b.uid, b.gid), Change::Owner),
        // The archive of a layer has no time for its root.
        (
            times[0] != times[1] && !is_root,
            Change::Time(times[0], times[1]),
        ),
        (a.attributes != b.attributes, Change::Attributes),
        (one.first_name != other.first_name, Change::Links),
    ];
    let found = found.into_iter().filter(|(differs, _)| *differs);
    found.map(|(_, change)| change).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        time::{Duration, SystemTime},
    };

    use super::*;

    fn at(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for (number, dir) in [&first, &second].into_iter().enumerate() {
            let path = |name: &str| dir.path().join(name);
            let text = number.to_string();
            for (name, content) in [
                ("same", "x"),
                ("content", &text),
                ("mode", "x"),
                ("time", "x"),
                ("linked", "x"),
                ("attribute", "x"),
            ] {
                fs::write(path(name), content).unwrap();
                at(&path(name), 1000);
            }
            symlink(&text, path("target")).unwrap();
            symlink("same", path(&format!("only-{text}"))).unwrap();
            if number == 0 {
                fs::write(path("kind"), "x").unwrap();
                fs::hard_link(path("linked"), path("other")).unwrap();
            } else {
                symlink("x", path("kind")).unwrap();
                fs::write(path("other"), "x").unwrap();
                at(&path("other"), 1000);
                at(&path("time"), 2000);
                let mode = fs::Permissions::from_mode(0o600);
                fs::set_permissions(path("mode"), mode).unwrap();
                std::os::unix::fs::chown(path("same"), Some(7), Some(7)).unwrap();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(path("attribute"), "user.x", b"1", flags).unwrap();
            }
            at(dir.path(), number as u64);
        }
        let never = AtomicBool::new(false);
        let found = layers(Some(first.path()), Some(second.path()), &never).unwrap();
        let lines: Vec<_> = found
            .iter()
            .map(|Difference { path, changes }| {
                let changes = changes.iter().filter(|change| {
                    // Links have no time that could be set here.
                    !(matches!(change, Change::Time(..)) && path == Path::new("/target"))
                });
                format!("{} {:?}", path.display(), changes.collect::<Vec<_>>())
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        /attribute [Attributes]
        /content [Content]
        /kind [Kind]
        /linked [Links]
        /mode [Mode]
        /only-0 [OnlyFirst]
        /only-1 [OnlySecond]
        /other [Links]
        /same [Owner]
        /target [Content]
        /time [Time(1000, 2000)]
        ");
        assert!(
            layers(Some(first.path()), Some(first.path()), &never)
                .unwrap()
                .is_empty()
        );
        let gone = layers(Some(first.path()), None, &never).unwrap();
        assert!(
            gone.iter()
                .all(|found| found.changes == [Change::OnlyFirst])
        );
    }
}
