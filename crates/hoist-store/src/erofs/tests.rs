//! Archives by hand and by chance: the index over a tar is the tree that unpacking makes of it, the
//! kernel mounts it, and erofs-utils find nothing wrong with it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Seek, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Command,
};

use proptest::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};

use super::Index;
use crate::{
    archive::{Member, MemberKind, Reader, Writer},
    error::StoreError,
    overlay::OverlayXattrs,
    unpack::unpack,
    walk::walk,
    xattrs,
};

/// Members with the content of their files.
type Members = Vec<(Member, Vec<u8>)>;

fn tar_of(members: &Members) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for (member, data) in members {
        writer.member(member).unwrap();
        writer.data(data).unwrap();
        writer.pad(data.len() as u64).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn index_of(tar: &[u8]) -> Result<Index, StoreError> {
    let mut reader = Reader::new(Cursor::new(tar));
    let mut index = Index::default();
    while let Some((member, data)) = reader.next()? {
        index.member(&member, &data, reader.offset())?;
    }
    Ok(index)
}

/// An index and its tar in files, mounted.
struct Mounted {
    root: OwnedFd,
    image: tempfile::NamedTempFile,
    tar: tempfile::NamedTempFile,
}

impl Mounted {
    fn new(index: &Index, bytes: &[u8]) -> Self {
        let mut image = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tempfile::NamedTempFile::new().unwrap();
        tar.write_all(bytes).unwrap();
        index.write(bytes.len() as u64, image.as_file()).unwrap();
        image.rewind().unwrap();
        let root = hoist_sys::erofs::mount(image.as_file().as_fd(), tar.as_file().as_fd());
        let root = root.expect("the kernel mounts the index (needs Linux 6.12 and root)");
        Self { root, image, tar }
    }

    /// What `fsck.erofs` has to say.
    fn check(&self) {
        let output = Command::new("fsck.erofs")
            .arg(format!("--device={}", self.tar.path().display()))
            .arg("--extract")
            .arg(self.image.path())
            .output()
            .expect("fsck.erofs runs: apt-get install erofs-utils");
        let errors = String::from_utf8_lossy(&output.stderr);
        // Versions before 1.6 know blocks of 4096 bytes only.
        let old = errors.contains("blksize 512 isn't supported");
        assert!(old || output.status.success(), "{output:?}");
    }
}

/// What a walk sees of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: String,
    mode: u16,
    owner: (u32, u32),
    modified: (i64, u32),
    links: u32,
    device: (u32, u32),
    attributes: BTreeMap<String, Vec<u8>>,
    opaque: bool,
    content: Vec<u8>,
    /// Of all its names the first one: which of them are hard links of each other.
    first: Vec<u8>,
}

fn seen(root: OwnedFd) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut inodes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut reader = xattrs::Reader::default();
    walk(root, Path::new("/tree"), &mut |entry| {
        let stat: &Statx = entry.stat;
        let attributes = match entry.directory {
            Some(directory) => reader.of_open(directory),
            None => reader.of_entry(entry.parent, entry.name),
        };
        let attributes = attributes.unwrap();
        let first = inodes
            .entry(stat.stx_ino)
            .or_insert_with(|| entry.path.to_vec())
            .clone();
        let content = match entry.kind {
            rustix::fs::FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(entry.parent, entry.name, flags, Mode::empty());
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut File::from(file.unwrap()), &mut content).unwrap();
                assert_eq!(content.len() as u64, stat.stx_size);
                content
            }
            rustix::fs::FileType::Symlink => {
                let link = rustix::fs::readlinkat(entry.parent, entry.name, Vec::new());
                link.unwrap().into_bytes()
            }
            _ => Vec::new(),
        };
        // What no member described has the time of the file system, and the group of a directory
        // that hands its own on.
        let whiteout = stat.stx_mode == 0o020_000;
        let list = attributes.list.into_iter();
        all.insert(
            String::from_utf8_lossy(entry.path).into_owned(),
            Seen {
                kind: format!("{:?}", entry.kind),
                mode: stat.stx_mode,
                owner: match whiteout {
                    true => (0, 0),
                    false => (stat.stx_uid, stat.stx_gid),
                },
                modified: match whiteout {
                    true => (0, 0),
                    false => (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
                },
                links: stat.stx_nlink,
                device: (stat.stx_rdev_major, stat.stx_rdev_minor),
                attributes: list
                    .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value))
                    .collect(),
                opaque: attributes.opaque,
                content,
                first,
            },
        );
        Ok(())
    })
    .unwrap();
    all
}

fn unpacked(tar: &[u8]) -> Result<(tempfile::TempDir, OwnedFd), StoreError> {
    let home = tempfile::tempdir().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let root = rustix::fs::open(home.path(), flags, Mode::empty()).unwrap();
    let mut reader = Reader::new(Cursor::new(tar));
    unpack(
        &mut reader,
        root.as_fd(),
        home.path(),
        OverlayXattrs::Trusted,
    )?;
    Ok((home, root))
}

/// Whether the archive has symbolic links, be it that later entries replace them.
fn has_links(tar: &[u8]) -> bool {
    let mut reader = Reader::new(Cursor::new(tar));
    let members = std::iter::from_fn(|| reader.next().unwrap());
    members
        .into_iter()
        .any(|(member, _)| member.kind == MemberKind::Symlink)
}

/// Both forms are one tree, or both are refused, in the same words.
fn agree(tar: &[u8]) -> Option<Mounted> {
    let (_home, root) = match unpacked(tar) {
        Ok(unpacked) => unpacked,
        Err(error) => {
            match index_of(tar) {
                Err(other) => assert_eq!(other.to_string(), error.to_string()),
                Ok(index) => {
                    let error = hoist_core::error::chain(&error);
                    assert!(index.unfit().is_some(), "{error}");
                }
            }
            return None;
        }
    };
    let index = index_of(tar).unwrap();
    if index.unfit().is_some() {
        return None;
    }
    let mounted = Mounted::new(&index, tar);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let listed = rustix::fs::openat(&mounted.root, ".", flags, Mode::empty()).unwrap();
    let (found, expected) = (seen(listed), seen(root));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let links = has_links(tar);
    for (path, mut expected) in expected {
        // Unpacking dates directories at the end, by their paths, and links change what these mean.
        if links && expected.kind == "Directory" {
            expected.modified = found[&path].modified;
        }
        assert_eq!(found[&path], expected, "{path}");
    }
    Some(mounted)
}

fn member(path: &str, kind: MemberKind) -> Member {
    let mut member = Member::new(path.as_bytes().to_vec(), kind);
    member.mode = 0o644;
    member.modified = 1_700_000_000;
    member
}

fn file(path: &str, content: &[u8]) -> (Member, Vec<u8>) {
    let mut member = member(path, MemberKind::File);
    member.size = content.len() as u64;
    (member, content.to_vec())
}

fn plain(path: &str, kind: MemberKind, link: &str) -> (Member, Vec<u8>) {
    let mut member = member(path, kind);
    member.link = link.as_bytes().to_vec();
    (member, Vec::new())
}

fn directory(path: &str) -> (Member, Vec<u8>) {
    let mut made = plain(&format!("{path}/"), MemberKind::Directory, "");
    made.0.mode = 0o2750;
    made
}

#[test]
fn every_kind_of_entry_is_what_unpacking_makes_of_it() {
    let mut special = plain("dev/tty", MemberKind::CharacterDevice, "");
    special.0.device = (4095, (1 << 20) - 1);
    let mut block = plain("dev/disk", MemberKind::BlockDevice, "");
    block.0.device = (8, 300);
    let mut owned = file("owned", b"x");
    (owned.0.user, owned.0.group, owned.0.mode) = (70_000, 4_000_000_000, 0o4755);
    owned.0.modified = -5;
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    owned.0.xattrs = [
        (&b"security.capability"[..], capability),
        (b"user.empty", Vec::new()),
        (b"user.long", vec![7; 1500]),
        (b"trusted.overlay.opaque", b"y".to_vec()),
    ]
    .map(|(name, value)| (name.to_vec(), value))
    .into();
    let mut described = directory("described");
    described.0.xattrs = [(b"user.a".to_vec(), b"b".to_vec())].into();
    let long = "l".repeat(255);
    let members = vec![
        directory("."),
        directory("dev"),
        special,
        block,
        plain("dev/pipe", MemberKind::Fifo, ""),
        owned,
        described,
        file("described/below", &vec![b'a'; 511]),
        file("described/block", &vec![b'b'; 512]),
        file("described/more", &vec![b'c'; 100_000]),
        file("empty", b""),
        plain("hard", MemberKind::HardLink, "owned"),
        plain("soft", MemberKind::Symlink, "described"),
        plain("soft.hard", MemberKind::HardLink, "soft"),
        plain("soft.long", MemberKind::Symlink, &format!("{long}/{long}")),
        file("soft/through", b"in described"),
        file("implied/by/this", b"x"),
        file(".wh.deleted", b""),
        file("gone/.wh..wh..opq", b""),
        file("!before the dot", b""),
        file("-", b""),
        directory("emptied"),
    ];
    let mounted = agree(&tar_of(&members)).unwrap();
    mounted.check();
}

#[test]
fn later_entries_replace_earlier_ones() {
    let members = vec![
        file("file", b"first"),
        plain("link", MemberKind::HardLink, "file"),
        file("file", b"second"),
        directory("dir"),
        file("dir/in", b"x"),
        plain("kept", MemberKind::HardLink, "dir/in"),
        plain("dir", MemberKind::Symlink, "elsewhere"),
        directory("elsewhere"),
        file("dir/in", b"now in elsewhere"),
        directory("dir"),
        file(".wh.white", b""),
        directory("white"),
        file(".wh.grey", b""),
        file("grey/file", b""),
        file(".wh.file", b""),
        file(".wh.elsewhere", b""),
        plain("file", MemberKind::HardLink, "link"),
        plain("link", MemberKind::HardLink, "file"),
    ];
    agree(&tar_of(&members)).unwrap().check();
}

#[test]
fn directories_of_any_size_are_read_in_full() {
    let mut members = Vec::new();
    for count in [0, 1, 5, 14, 15, 16, 17, 40, 3000] {
        members.push(directory(&format!("of-{count}")));
        for number in 0..count {
            let name = "n".repeat(number % 240);
            members.push(file(&format!("of-{count}/{number}{name}"), b"x"));
        }
    }
    let deep = vec!["d"; 1000].join("/");
    members.push(file(&deep, b"deep"));
    agree(&tar_of(&members)).unwrap().check();
}

/// `fsck.erofs` reads only what is here, so the file beyond 4 GiB is made of a hole.
#[test]
fn large_files_are_read_at_their_end() {
    let size: u64 = (5 << 30) + 3;
    let mut large = member("large", MemberKind::File);
    large.size = size;
    let mut head = Vec::new();
    Writer::new(&mut head).member(&large).unwrap();
    let (after, tail) = (file("after", b"after"), b"end".as_slice());
    let rest = tar_of(&vec![after]);

    let mut tar = tempfile::tempfile().unwrap();
    tar.write_all(&head).unwrap();
    let end = head.len() as u64 + size;
    tar.seek(std::io::SeekFrom::Start(end - 3)).unwrap();
    tar.write_all(tail).unwrap();
    tar.seek(std::io::SeekFrom::Start(end.next_multiple_of(512)))
        .unwrap();
    tar.write_all(&rest).unwrap();
    let length = tar.stream_position().unwrap();
    tar.rewind().unwrap();

    let mut reader = Reader::new(std::io::BufReader::with_capacity(1 << 20, &tar));
    let mut index = Index::default();
    while let Some((member, data)) = reader.next().unwrap() {
        index.member(&member, &data, reader.offset()).unwrap();
    }
    assert_eq!(index.size(), size + 5);
    let mut image = tempfile::tempfile().unwrap();
    index.write(length, &mut image).unwrap();
    let root = hoist_sys::erofs::mount(image.as_fd(), tar.as_fd()).unwrap();
    let open = |name: &str| {
        let file = rustix::fs::openat(&root, name, OFlags::RDONLY, Mode::empty());
        File::from(file.unwrap())
    };
    let mut found = [0; 6];
    std::os::unix::fs::FileExt::read_exact_at(&open("large"), &mut found, size - 6).unwrap();
    assert_eq!(&found, b"\0\0\0end");
    assert_eq!(open("large").metadata().unwrap().len(), size);
    assert_eq!(std::io::read_to_string(open("after")).unwrap(), "after");
}

#[test]
fn what_only_a_file_system_can_judge_makes_a_layer_unfit() {
    let attribute = |path: &str, kind, name: &str, value: &[u8]| {
        let mut made = plain(path, kind, "x");
        made.0.xattrs = [(name.as_bytes().to_vec(), value.to_vec())].into();
        vec![made]
    };
    let cases = [
        attribute("x", MemberKind::File, "system.posix_acl_access", b"\x02"),
        attribute("x", MemberKind::File, "security.capability", b"short"),
        attribute("x", MemberKind::Symlink, "user.a", b"b"),
        attribute("x", MemberKind::File, "user.", b"b"),
        attribute("x", MemberKind::File, "user.a", &[0; 65536]),
        vec![plain("x", MemberKind::Symlink, "")],
        vec![plain("x", MemberKind::Symlink, &"x".repeat(4096))],
        vec![file(&"x".repeat(256), b"")],
        vec![directory("a"), plain("b", MemberKind::HardLink, "a")],
        vec![file("a/b", b""), plain("a", MemberKind::HardLink, "a/b")],
    ];
    for members in cases {
        let index = index_of(&tar_of(&members)).unwrap();
        assert!(index.unfit().is_some(), "{members:?}");
        // And what becomes of it is the same as ever.
        agree(&tar_of(&members));
    }
}

#[test]
fn an_archive_of_very_many_names_is_not_kept_in_memory() {
    let mut index = Index::default();
    let data = crate::archive::Data::Plain;
    for number in 0..400_000 {
        let (member, _) = file(&format!("a/{number}"), b"");
        index.member(&member, &data, 512).unwrap();
    }
    assert_eq!(index.unfit(), Some("it has too many entries"));
}

/// A mount has no place in any table.
#[test]
fn a_mount_is_seen_by_nobody() {
    let tar = tar_of(&vec![file("a", b"b")]);
    let mounted = Mounted::new(&index_of(&tar).unwrap(), &tar);
    let stat = rustix::fs::statx(
        &mounted.root,
        "a",
        AtFlags::empty(),
        StatxFlags::BASIC_STATS,
    );
    assert_eq!(stat.unwrap().stx_size, 1);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let image = mounted.image.path().to_str().unwrap();
    assert!(!table.contains(image), "{table}");
    let made = rustix::fs::mkdirat(&mounted.root, "new", Mode::RWXU);
    assert_eq!(made, Err(rustix::io::Errno::ROFS));
}

fn kinds() -> impl Strategy<Value = MemberKind> {
    prop_oneof![
        4 => Just(MemberKind::File),
        3 => Just(MemberKind::Directory),
        2 => Just(MemberKind::HardLink),
        2 => Just(MemberKind::Symlink),
        1 => Just(MemberKind::CharacterDevice),
        1 => Just(MemberKind::BlockDevice),
        1 => Just(MemberKind::Fifo),
    ]
}

prop_compose! {
    /// Few names, so that entries meet each other.
    fn members()(
        kind in kinds(),
        path in prop::collection::vec(prop_oneof![
            8 => "[ab]",
            1 => "[a-c]{200,255}",
            1 => "\\.wh\\.[ab]",
            1 => Just(".wh..wh..opq".to_owned()),
            1 => Just("..".to_owned()),
        ], 1..5),
        link in prop_oneof!["(/|\\.\\./)?[ab](/[ab]|/\\.\\.){0,3}", "[ab]{400,1500}"],
        numbers in (0_u32..0o10000, 0..u32::MAX, 0..u32::MAX),
        modified in any::<i32>(),
        device in (0_u32..3, 0_u32..1 << 20),
        xattrs in prop::collection::btree_map(
            "(trusted|security)\\.[a-z]{1,9}",
            prop::collection::vec(any::<u8>(), 0..300),
            0..3,
        ),
        content in prop::collection::vec(any::<u8>(), 0..1500),
    ) -> (Member, Vec<u8>) {
        let mut member = Member::new(path.join("/").into_bytes(), kind);
        (member.mode, member.user, member.group) = numbers;
        member.modified = modified.into();
        member.xattrs = xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        let is_file = kind == MemberKind::File;
        let content = if is_file { content } else { Vec::new() };
        member.size = content.len() as u64;
        if matches!(kind, MemberKind::HardLink | MemberKind::Symlink) {
            member.link = link.into_bytes();
        }
        if matches!(kind, MemberKind::CharacterDevice | MemberKind::BlockDevice) {
            member.device = device;
        }
        (member, content)
    }
}

/// Without the entry that ends the archive early, if there is one.
fn accepted(members: &Members) -> Vec<u8> {
    let mut kept = Members::new();
    for member in members {
        kept.push(member.clone());
        if index_of(&tar_of(&kept)).is_err() {
            kept.pop();
        }
    }
    tar_of(&kept)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn both_forms_of_any_archive_agree(members in prop::collection::vec(members(), 0..30)) {
        agree(&tar_of(&members));
        agree(&accepted(&members));
    }
}
