use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::error::StoreError;

fn write(members: &[(Member, &[u8])]) -> Vec<u8> {
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

fn read(bytes: &[u8]) -> Result<Vec<(Member, Data, Vec<u8>)>, StoreError> {
    let mut reader = Reader::new(Cursor::new(bytes));
    let mut members = Vec::new();
    while let Some((member, data)) = reader.next()? {
        let mut content = Vec::new();
        let mut buffer = [0; 300];
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => content.extend_from_slice(&buffer[..count]),
            }
        }
        members.push((member, data, content));
    }
    reader.drain()?;
    Ok(members)
}

fn kinds() -> impl Strategy<Value = MemberKind> {
    prop_oneof![
        Just(MemberKind::File),
        Just(MemberKind::HardLink),
        Just(MemberKind::Symlink),
        Just(MemberKind::CharacterDevice),
        Just(MemberKind::BlockDevice),
        Just(MemberKind::Directory),
        Just(MemberKind::Fifo),
    ]
}

prop_compose! {
    fn members()(
        kind in kinds(),
        path in prop::collection::vec("[a-zé]{1,60}", 1..8),
        link in "[a-z/]{1,200}",
        numbers in (0_u32..0o10000, 0..u32::MAX, 0..u32::MAX),
        modified in prop_oneof![any::<i32>().prop_map(i64::from), any::<i64>()],
        device in (0_u32..4096, 0_u32..1 << 20),
        xattrs in prop::collection::btree_map("user\\.[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..1200), 0..3),
        content in prop::collection::vec(any::<u8>(), 0..1500),
    ) -> (Member, Vec<u8>) {
        let mut path = path.join("/").into_bytes();
        if kind == MemberKind::Directory {
            path.push(b'/');
        }
        let mut member = Member::new(path, kind);
        (member.mode, member.user, member.group) = numbers;
        member.modified = modified;
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

proptest! {
    #[test]
    fn what_was_written_is_read(list in prop::collection::vec(members(), 0..6)) {
        let borrowed: Vec<_> = list.iter().map(|(m, c)| (m.clone(), c.as_slice())).collect();
        let bytes = write(&borrowed);
        prop_assert_eq!(bytes.len() % BLOCK, 0);
        let back = read(&bytes).unwrap();
        let expected: Vec<_> = list.into_iter().map(|(m, c)| (m, Data::Plain, c)).collect();
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn damage_never_panics(
        list in prop::collection::vec(members(), 1..3),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let borrowed: Vec<_> = list.iter().map(|(m, c)| (m.clone(), c.as_slice())).collect();
        let mut bytes = write(&borrowed);
        let _ = read(&bytes[..cut.index(bytes.len())]);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = read(&bytes);
    }
}

#[test]
fn the_same_member_is_always_the_same_bytes_and_pax_appears_only_when_needed() {
    let mut plain = Member::new(b"a/b".to_vec(), MemberKind::File);
    plain.mode = 0o644;
    plain.size = 2;
    assert_eq!(write(&[(plain.clone(), b"hi")]).len(), 4 * BLOCK);
    let prefixed = Member::new(
        [&[b'd'; 150][..], b"/", &[b'f'; 100]].concat(),
        MemberKind::File,
    );
    assert_eq!(write(&[(prefixed, b"")]).len(), 3 * BLOCK);
    let long = Member::new(
        [&[b'd'; 150][..], b"/", &[b'f'; 101]].concat(),
        MemberKind::File,
    );
    assert_eq!(write(&[(long, b"")]).len(), 5 * BLOCK);
    for (change, blocks) in [
        ((|member| member.modified = -1) as fn(&mut Member), 6),
        (|member| member.modified = 1 << 33, 6),
        (|member| member.user = 0o7_777_777, 4),
        (|member| member.user = 0o10_000_000, 6),
        (
            |member| drop(member.xattrs.insert(b"user.x".to_vec(), vec![0; 3])),
            6,
        ),
    ] {
        let mut member = plain.clone();
        change(&mut member);
        assert_eq!(write(&[(member, b"hi")]).len(), blocks * BLOCK);
    }
}

/// The length of a record counts its own digits, also where they grow by one.
#[test]
fn pax_lengths_are_right_at_every_size() {
    for size in (1..300).chain(950..1020).chain(9960..10010) {
        let mut member = Member::new(b"f".to_vec(), MemberKind::File);
        member.xattrs.insert(b"user.x".to_vec(), vec![b'v'; size]);
        let back = read(&write(&[(member.clone(), b"")])).unwrap();
        assert_eq!(back[0].0, member, "{size}");
    }
}

fn message(bytes: &[u8]) -> String {
    hoist_core::error::chain(&read(bytes).unwrap_err())
}

fn raw(flag: u8, name: &[u8], data: &[u8], edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut member = Member::new(name.to_vec(), MemberKind::File);
    member.size = data.len() as u64;
    let mut bytes = write(&[(member, data)]);
    bytes.truncate(bytes.len() - 2 * BLOCK);
    bytes[156] = flag;
    edit(&mut bytes[..BLOCK]);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..BLOCK].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn malformed_archives_are_refused_with_the_place_and_the_entry() {
    let good = raw(b'0', b"first", b"content", |_| ());
    let mut bad_sum = good.clone();
    bad_sum.extend(raw(b'0', b"second", b"", |_| ()));
    let at = good.len();
    bad_sum[at] ^= 1;
    let huge = raw(b'x', b"p", b"", |block| {
        block[124..135].copy_from_slice(b"77777777777");
    });
    let table: &[(&[u8], &str)] = &[
        (
            &[b'x'; 600],
            "not a readable archive at byte 0: it is not a tar archive",
        ),
        (&good[..700], "cannot read the archive after 700 bytes: "),
        (
            &bad_sum,
            "not a readable archive at byte 1024: the checksum of an entry's header is wrong",
        ),
        (
            &huge,
            "not a readable archive at byte 0: an entry has more than 1 MiB of names",
        ),
        (
            &raw(b'x', b"p", b"9 path", |_| ()),
            "a pax record is malformed",
        ),
        (
            &raw(b'V', b"label", b"", |_| ()),
            "archive entry \"label\": its type 'V' is not known",
        ),
        (
            &raw(b'0', b"who", b"", |block| {
                block[108..116].copy_from_slice(b"\x80\0\0\0\xff\xff\xff\xff");
            }),
            "archive entry \"who\": its user id is not a number below 4294967295",
        ),
        (
            &raw(b'0', b"when", b"", |block| {
                block[136..147].copy_from_slice(b"12345678901");
            }),
            "archive entry \"when\": its modification time is not a number",
        ),
        (
            &raw(b'3', b"tty", b"", |block| {
                block[329..336].copy_from_slice(b"0010000");
            }),
            "archive entry \"tty\": its device number is wrong",
        ),
    ];
    for (bytes, expected) in table {
        let found = message(bytes);
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

#[test]
fn compressions_are_recognised() {
    let name = |bytes: &'static [u8]| match decompressed_layer(bytes) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    for (start, expected) in [
        (&b""[..], "it is empty"),
        (b"\x28\xb5\x2f\xfd....", ""),
        (b"\xfd7zXZ\0...", "xz"),
        (b"BZh91AY&", "bzip2"),
        (b"\x1f\x8b\x08...", ""),
        (b"x", ""),
    ] {
        assert!(name(start).ends_with(expected), "{start:?}");
    }
}

/// GNU's own formats, written by GNU tar itself.
#[test]
fn archives_of_gnu_tar_are_read() {
    let home = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    std::fs::create_dir(home.path().join("d".repeat(120))).unwrap();
    std::fs::write(home.path().join(&long), "long").unwrap();
    let sparse = std::fs::File::create(home.path().join("sparse")).unwrap();
    for number in 0..40_u64 {
        std::os::unix::fs::FileExt::write_at(&sparse, b"run", number * 65536).unwrap();
    }
    sparse.set_len(1 << 22).unwrap();
    for format in [
        vec!["--format=gnu"],
        vec!["--format=posix", "--sparse-version=0.0"],
        vec!["--format=posix", "--sparse-version=0.1"],
        vec!["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = std::process::Command::new("tar")
            .args(["--create", "--sparse", "--file=-", "--directory"])
            .arg(home.path())
            .args(&format)
            .args([long.as_str(), "sparse"])
            .output()
            .expect("GNU tar: apt-get install tar");
        assert!(output.status.success(), "{output:?}");
        let members = read(&output.stdout).unwrap();
        assert_eq!(members[0].0.path, long.as_bytes(), "{format:?}");
        assert_eq!(members[0].2, b"long");
        let (member, Data::Sparse(runs), content) = &members[1] else {
            panic!("{format:?}: {:?}", members[1].1);
        };
        assert_eq!(
            (member.path.as_slice(), member.size),
            (&b"sparse"[..], 1 << 22)
        );
        let data: Vec<_> = runs.iter().filter(|run| run.length > 0).collect();
        assert_eq!(data.len(), 40, "{format:?}");
        assert_eq!(data[7].offset, 7 * 65536);
        assert!(content.starts_with(b"run\0"));
    }
}
