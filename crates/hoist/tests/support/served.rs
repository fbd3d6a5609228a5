//! An image for a scripted registry: made by hand, byte for byte.

use hoist_core::Digest;
use serde_json::{Value, json};

use super::scripted::{Exchange, Scripted};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// A manifest with everything that it names.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) manifest: Value,
    /// Layers, then the configuration.
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Served {
    /// An image of these archives, as they are.
    pub(crate) fn of(tars: &[Vec<u8>]) -> Self {
        let pairs: Vec<_> = tars
            .iter()
            .map(|tar| (tar.clone(), Digest::of(tar)))
            .collect();
        Self::of_blobs(&pairs)
    }

    /// An image of blobs, each with the digest of the archive in it.
    pub(crate) fn of_blobs(layers: &[(Vec<u8>, Digest)]) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = json!({
            "architecture": hoist_core::Platform::host().architecture,
            "os": "linux",
            "config": { "Cmd": ["/bin/true"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let described = |kind: &str, blob: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(blob), "size": blob.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &config),
            "layers": layers.iter().map(|(blob, _)| described(PLAIN, blob)).collect::<Vec<_>>(),
        });
        let mut blobs: Vec<_> = layers.iter().map(|(blob, _)| blob.clone()).collect();
        blobs.push(config);
        Self { manifest, blobs }
    }

    /// The blob that is asked for.
    pub(crate) fn blob(&self, exchange: &Exchange) -> Option<&Vec<u8>> {
        let (_, name) = exchange.seen.target.split_once("/blobs/")?;
        let mut blobs = self.blobs.iter();
        blobs.find(|blob| Digest::of(blob).to_string() == name)
    }

    /// What an honest registry says.
    pub(crate) fn answer(&self, exchange: &mut Exchange) {
        if exchange.seen.target == "/v2/" {
            exchange.reply(200, &[], b"");
        } else if exchange.seen.target.contains("/manifests/") {
            let bytes = self.manifest.to_string();
            exchange.reply(200, &[("Content-Type", MANIFEST)], bytes.as_bytes());
        } else if let Some(blob) = self.blob(exchange) {
            exchange.serve_cut(blob, usize::MAX);
        } else {
            exchange.not_found("UNKNOWN");
        }
    }

    /// A registry that has it, and does otherwise where the script says so by returning true.
    pub(crate) fn behind(
        self,
        script: impl Fn(&Self, &mut Exchange) -> bool + Send + Sync + 'static,
    ) -> Scripted {
        Scripted::start(move |exchange| {
            if !script(&self, exchange) {
                self.answer(exchange);
            }
        })
    }
}

/// One entry of an archive, with all its blocks.
pub(crate) fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut field =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000755");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{:011o}", content.len()));
    field(136, "00000000000");
    field(148, "        ");
    field(157, link);
    field(257, "ustar\x0000");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

/// An archive of one file that is no archive of hoist's making, so that its blob is kept.
pub(crate) fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    [entry(b'0', name, "", content), vec![0; 4096]].concat()
}

/// Bytes that repeat nowhere soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Zstandard of `start` and then so many blocks of 128 KiB of zeros: four bytes each.
pub(crate) fn zstd_of_zeros(start: &[u8], blocks: u32) -> Vec<u8> {
    // The magic; no checksum, no size; a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3];
    let mut block = |header: usize| frame.extend_from_slice(&header.to_le_bytes()[..3]);
    block(start.len() << 3);
    frame.extend_from_slice(start);
    for number in 1..=blocks {
        let header = (128 << 10 << 3) | (1 << 1) | usize::from(number == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}
