//! Layers from elsewhere and their blobs: named as they came, given back byte for byte, resumed,
//! compressed once, gone with their layer.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::io::{self, Read, Write};

use hoist_core::Digest;
use hoist_store::{Codec, FormPolicy, Layer, Store, StoreError};
use support::{Fixture, Tar, archive_of, gzip, image, reference};

in_both_forms!(
    a_layer_from_elsewhere_keeps_its_digest_and_its_bytes,
    an_archive_of_our_own_making_needs_no_blob,
    what_is_not_what_it_should_be_is_never_seen,
    an_interrupted_blob_is_gone_on_with_by_one_at_a_time,
    begun_downloads_are_garbage_unless_somebody_is_at_them,
    blobs_live_as_long_as_their_layer,
    a_layer_whose_blob_is_gone_says_so,
);

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// An archive that hoist would write otherwise: unsorted, with user names and a time of a directory
/// that comes twice.
fn foreign() -> Vec<u8> {
    Tar::default()
        .directory("./z")
        .file("./z/file", "content of the file")
        .full(b'0', "./a", "", b"first", |block| {
            block[265..270].copy_from_slice(b"alice");
        })
        .directory("./z")
        .finish()
}

fn bring(store: &Store, blob: &[u8], media_type: &str, diff_id: &Digest) -> Layer {
    let draft = store.begin_blob().unwrap();
    store
        .import_layer(draft, blob, media_type, Some(diff_id))
        .unwrap()
}

fn a_layer_from_elsewhere_keeps_its_digest_and_its_bytes(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let tar = foreign();
    let diff_id = Digest::of(&tar);
    let forms = [
        (gzip(&tar), GZIP),
        (zstd::encode_all(&tar[..], 3).unwrap(), "…+zstd"),
        (tar.clone(), PLAIN),
    ];
    for (blob, media_type) in forms {
        let store = Store::open(&fixture.home.path().join(media_type.replace('/', "-")))
            .unwrap()
            .with_form(policy);
        let layer = bring(&store, &blob, media_type, &diff_id);
        assert_eq!(layer.diff_id, diff_id);
        assert_eq!(layer.size, 24);
        assert_eq!(
            std::fs::read(support::open(&store, &layer).join("a")).unwrap(),
            b"first"
        );
        assert_eq!(archive_of(&store, &diff_id), tar);
        assert_eq!(store.archive_size(&diff_id).unwrap(), tar.len() as u64);
        let [form] = &store.layer_blobs(&diff_id).unwrap()[..] else {
            panic!("one form");
        };
        assert_eq!(form.digest, Digest::of(&blob));
        assert_eq!(form.media_type, media_type);
        let mut kept = Vec::new();
        let mut file = store.open_blob(&form.digest).unwrap();
        file.read_to_end(&mut kept).unwrap();
        assert_eq!(kept, blob);
    }
}

fn an_archive_of_our_own_making_needs_no_blob(policy: FormPolicy) {
    let (one, other) = (Fixture::of(policy), Fixture::of(policy));
    let layer = one.layer("ours");
    let tar = archive_of(&one.store, &layer.diff_id);
    bring(&other.store, &tar, PLAIN, &layer.diff_id);
    // Indexed, the archive is there in any case, and is a form of the layer.
    let forms = other.store.layer_blobs(&layer.diff_id).unwrap().len();
    assert_eq!(forms, usize::from(policy == FormPolicy::Indexed));
    assert_eq!(archive_of(&other.store, &layer.diff_id), tar);
    assert_eq!(other.names("blobs/sha256"), [""; 0]);
    assert_eq!(other.drafts().len(), 0);
}

fn what_is_not_what_it_should_be_is_never_seen(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let store = &fixture.store;
    let blob = gzip(&foreign());
    let other = Digest::of(b"something else");
    let draft = store.begin_blob().unwrap();
    let result = store.import_layer(draft, &blob[..], GZIP, Some(&other));
    assert!(matches!(result, Err(StoreError::DigestMismatch { .. })));
    // The layer is right, the blob is not the one that was asked for.
    let draft = store.try_begin_blob(&other).unwrap().unwrap();
    let result = store.import_layer(draft, &blob[..], GZIP, None);
    assert!(matches!(result, Err(StoreError::DigestMismatch { .. })));
    // Bytes that are no gzip after all are not gone on with.
    let draft = store.try_begin_blob(&Digest::of(&blob)).unwrap().unwrap();
    let mut damaged = blob.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    store
        .import_layer(draft, &damaged[..], GZIP, None)
        .unwrap_err();
    for directory in ["layers", "blobs/sha256", "downloads"] {
        assert_eq!(fixture.names(directory), [""; 0], "{directory}");
    }
    assert_eq!(fixture.drafts().len(), 0);
}

/// Fails after some bytes, as a connection does.
struct Cut<'a>(&'a [u8]);

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            count => Ok(count),
        }
    }
}

fn an_interrupted_blob_is_gone_on_with_by_one_at_a_time(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let store = &fixture.store;
    let tar = foreign();
    let blob = gzip(&tar);
    let digest = Digest::of(&blob);
    let half = blob.len() / 2;
    let draft = store.try_begin_blob(&digest).unwrap().unwrap();
    assert!(
        fixture
            .reopened()
            .try_begin_blob(&digest)
            .unwrap()
            .is_none()
    );
    store
        .import_layer(draft, Cut(&blob[..half]), GZIP, None)
        .unwrap_err();
    let draft = fixture.reopened().try_begin_blob(&digest).unwrap().unwrap();
    assert_eq!(draft.length(), half as u64);
    assert_eq!(draft.digester().clone().finish(), Digest::of(&blob[..half]));
    let layer = store
        .import_layer(draft, &blob[half..], GZIP, Some(&Digest::of(&tar)))
        .unwrap();
    assert_eq!(archive_of(store, &layer.diff_id), tar);
    assert_eq!(fixture.names("downloads"), [""; 0]);
}

fn begun_downloads_are_garbage_unless_somebody_is_at_them(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let (left, busy) = (Digest::of(b"left"), Digest::of(b"busy"));
    let begin = |digest| {
        let mut draft = fixture.store.try_begin_blob(digest).unwrap().unwrap();
        draft.write_all(b"some bytes").unwrap();
        draft
    };
    drop(begin(&left));
    let draft = begin(&busy);
    assert_eq!(
        fixture.reopened().collect_garbage(&[], &[]).unwrap().bytes,
        10
    );
    assert_eq!(
        fixture.names("downloads"),
        [busy.hex(), format!("{}.lock", busy.hex())]
    );
    drop(draft);
}

#[test]
fn a_layer_is_compressed_once_and_always_to_the_same() {
    let (one, other) = (Fixture::new(), Fixture::new());
    let content: String = (0..400_000)
        .map(|number: u32| format!("{number} "))
        .collect();
    let mut forms = Vec::new();
    for fixture in [&one, &other] {
        let layer = fixture.layer(&content);
        let store = &fixture.store;
        let mut steps = Vec::new();
        let form = store
            .compress_layer(&layer.diff_id, Codec::Gzip(4), &mut |done| steps.push(done))
            .unwrap();
        assert!(steps.len() > 1, "several blocks: {steps:?}");
        let again = store
            .compress_layer(&layer.diff_id, Codec::Gzip(9), &mut |_| {
                panic!("it is compressed already")
            })
            .unwrap();
        assert_eq!(again, form);
        let zstd = store
            .compress_layer(&layer.diff_id, Codec::Zstd(3), &mut |_| {})
            .unwrap();
        for blob in [&form, &zstd] {
            // Any reader of the format gives the archive back.
            let file = store.open_blob(&blob.digest).unwrap();
            let mut inflated = Vec::new();
            if blob.media_type.ends_with("gzip") {
                let mut decoder = flate2::read::MultiGzDecoder::new(file);
                decoder.read_to_end(&mut inflated).unwrap();
            } else {
                inflated = zstd::decode_all(file).unwrap();
            }
            assert_eq!(Digest::of(&inflated), layer.diff_id);
        }
        forms.push((form, zstd));
    }
    assert_eq!(forms[0], forms[1]);
}

fn blobs_live_as_long_as_their_layer(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let blob = gzip(&foreign());
    let diff_id = Digest::of(&foreign());
    {
        let store = fixture.reopened();
        let layer = bring(&store, &blob, GZIP, &diff_id);
        let id = store
            .put_image(&image("2024-01-01T00:00:00Z", &[&layer]))
            .unwrap();
        store.put_manifest(&id, b"{}").unwrap();
        store
            .tag_as_in_registry(&reference("app:1"), &id, &Digest::of(b"{}"))
            .unwrap();
    }
    let store = fixture.reopened();
    assert_eq!(store.collect_garbage(&[], &[]).unwrap().bytes, 0);
    assert_eq!(archive_of(&store, &diff_id), foreign());
    let id = store.resolve("app:1").unwrap();
    assert_eq!(store.manifest(&id).unwrap().as_deref(), Some(&b"{}"[..]));
    let digests = store.repository_digests(&id).unwrap();
    assert_eq!(digests[0].familiar(), format!("app@{}", Digest::of(b"{}")));
    // The same image by the same name: what the registry means by it stays.
    store.tag(&reference("app:1"), &id).unwrap();
    assert!(
        store
            .registry_digest(&reference("app:1"))
            .unwrap()
            .is_some()
    );
    store.remove_image("app:1", false, &|_| None).unwrap();
    for directory in ["layers", "blobs/sha256", "manifests", "images"] {
        assert_eq!(fixture.names(directory), [""; 0], "{directory}");
    }
    {
        bring(&fixture.reopened(), &blob, GZIP, &diff_id);
    }
    let freed = fixture.reopened().collect_garbage(&[], &[]).unwrap();
    assert_eq!(freed.layers, 1);
    assert_eq!(fixture.names("blobs/sha256"), [""; 0]);
}

fn a_layer_whose_blob_is_gone_says_so(policy: FormPolicy) {
    let fixture = Fixture::of(policy);
    let blob = gzip(&foreign());
    let diff_id = Digest::of(&foreign());
    bring(&fixture.store, &blob, GZIP, &diff_id);
    let path = fixture.store.root().join("blobs/sha256");
    std::fs::remove_file(path.join(Digest::of(&blob).hex())).unwrap();
    let result = fixture.store.write_tar(&diff_id, io::sink());
    match policy {
        FormPolicy::Indexed => {
            result.unwrap();
            assert_eq!(fixture.store.layer_blobs(&diff_id).unwrap(), []);
        }
        _ => assert!(matches!(result, Err(StoreError::Damaged { .. }))),
    }
}

#[test]
fn a_tree_that_is_no_layer_goes_out_and_comes_back() {
    let fixture = Fixture::new();
    let store = Store::open(&fixture.home.path().join("store")).unwrap();
    let tree = fixture.home.path().join("tree");
    std::fs::create_dir_all(tree.join("http/deep")).unwrap();
    std::fs::write(tree.join("http/deep/wheel"), vec![7; 2_000_000]).unwrap();
    std::os::unix::fs::symlink("deep/wheel", tree.join("http/link")).unwrap();
    let open = || std::fs::File::open(&tree).unwrap().into();
    let (plain, diff_id) = store.archive_tree(open(), &tree, None).unwrap();
    assert_eq!(plain.digester().clone().finish(), diff_id);
    for codec in [Codec::Gzip(4), Codec::Zstd(3)] {
        let archive = || store.archive_tree(open(), &tree, Some(codec)).unwrap();
        let ((blob, found), (again, _)) = (archive(), archive());
        assert_eq!(found, diff_id);
        assert!(blob.length() < plain.length() / 10);
        assert_eq!(
            blob.digester().clone().finish(),
            again.digester().clone().finish()
        );
        let draft = store.unpack_tree(blob.reader().unwrap(), &diff_id).unwrap();
        assert_eq!(
            std::fs::read(draft.path().join("http/link")).unwrap(),
            vec![7; 2_000_000]
        );
        let wrong = store.unpack_tree(blob.reader().unwrap(), &Digest::of(b""));
        assert!(matches!(wrong, Err(StoreError::DigestMismatch { .. })));
        let half = blob.reader().unwrap().take(blob.length() / 2);
        assert!(store.unpack_tree(half, &diff_id).is_err());
    }
}
