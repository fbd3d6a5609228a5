//! What the kernel reads: superblock, device slot, inodes, in little-endian bytes.

/// Bytes of a block, as those of a tar.
pub(super) const BLOCK: u64 = 512;
const BLOCK_BITS: u8 = 9;
/// Inodes begin at multiples of this; an inode's number is its offset in such slots.
pub(super) const SLOT: u64 = 32;
/// Bytes of an inode without attributes and content.
pub(super) const INODE: u64 = 64;
/// Where the first inode, the root's, begins.
pub(super) const FIRST_INODE: u64 = 3 * BLOCK;
/// The largest chunk that a file can be cut into: 2^40 bytes.
const CHUNK_BITS: u32 = BLOCK_BITS as u32 + 31;

const MAGIC: u32 = 0xe0f5_e1e2;
const SUPERBLOCK: usize = 1024;
const DEVICE_SLOT: usize = 128;
/// Inodes carry the time of modification.
const COMPATIBLE_MTIME: u32 = 0x2;
const INCOMPATIBLE_CHUNKS: u32 = 0x4;
const INCOMPATIBLE_DEVICES: u32 = 0x8;
/// A file's format: its chunks are indexes that name a device.
const CHUNK_INDEXES: u32 = 0x20;
/// The number of the tar among the devices.
const TAR: u16 = 1;

/// The numbers of a whole image.
pub(super) struct Summary {
    pub(super) inodes: u64,
    /// Of the image itself.
    pub(super) blocks: u32,
    /// Of the tar.
    pub(super) tar_blocks: u32,
}

/// Everything before the first inode.
pub(super) fn head(summary: &Summary) -> Vec<u8> {
    let mut head = vec![0; usize::try_from(FIRST_INODE).unwrap_or(0)];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    let superblock = |field| SUPERBLOCK + field;
    let root = u16::try_from(FIRST_INODE / SLOT).unwrap_or(0);
    put(superblock(0), &MAGIC.to_le_bytes());
    put(superblock(8), &COMPATIBLE_MTIME.to_le_bytes());
    put(superblock(12), &[BLOCK_BITS]);
    put(superblock(14), &root.to_le_bytes());
    put(superblock(16), &summary.inodes.to_le_bytes());
    put(superblock(36), &summary.blocks.to_le_bytes());
    let incompatible = INCOMPATIBLE_CHUNKS | INCOMPATIBLE_DEVICES;
    put(superblock(80), &incompatible.to_le_bytes());
    put(superblock(86), &1_u16.to_le_bytes());
    let slot = SUPERBLOCK / DEVICE_SLOT + 1;
    put(
        superblock(88),
        &u16::try_from(slot).unwrap_or(0).to_le_bytes(),
    );
    put(slot * DEVICE_SLOT, b"layer.tar");
    put(slot * DEVICE_SLOT + 64, &summary.tar_blocks.to_le_bytes());
    head
}

/// How an inode says where its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In blocks from this one on; also of inodes without content.
    Blocks(u32),
    /// Behind the inode and its attributes.
    Inline,
    /// In chunks, whose indexes are behind the inode and its attributes.
    Chunks(Chunks),
    /// There is none, but this number of a device.
    Device(u32),
}

/// Into how many pieces a file is cut: mostly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    bits: u32,
    pub(super) count: u64,
}

impl Chunks {
    /// The fewest for `size` bytes.
    pub(super) fn of(size: u64) -> Self {
        let bits = size.next_power_of_two().trailing_zeros();
        let bits = bits.clamp(u32::from(BLOCK_BITS), CHUNK_BITS);
        Self {
            bits,
            count: size.div_ceil(1 << bits),
        }
    }

    /// The indexes of a file whose data begin at `block` of the tar.
    pub(super) fn indexes(self, block: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let step = 1_u64 << (self.bits - u32::from(BLOCK_BITS));
        for chunk in 0..self.count {
            let block = u64::from(block) + chunk * step;
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(&TAR.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(block).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes
    }
}

/// An inode in its long form.
pub(super) struct Inode {
    pub(super) layout: Layout,
    /// Bytes of its attributes, as they are written.
    pub(super) attributes: usize,
    /// With the bits of its type.
    pub(super) mode: u16,
    pub(super) size: u64,
    /// A number among the inodes.
    pub(super) number: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) links: u32,
}

impl Inode {
    pub(super) fn bytes(&self) -> [u8; 64] {
        const EXTENDED: u16 = 1;
        let (layout, place) = match self.layout {
            Layout::Blocks(block) => (0, block),
            Layout::Device(number) => (0, number),
            Layout::Inline => (2, 0),
            Layout::Chunks(chunks) => {
                let format = chunks.bits - u32::from(BLOCK_BITS);
                (4, format | CHUNK_INDEXES)
            }
        };
        let mut bytes = [0; 64];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &(EXTENDED | layout << 1).to_le_bytes());
        put(2, &attribute_count(self.attributes).to_le_bytes());
        put(4, &self.mode.to_le_bytes());
        put(8, &self.size.to_le_bytes());
        put(16, &place.to_le_bytes());
        put(20, &self.number.to_le_bytes());
        put(24, &self.user.to_le_bytes());
        put(28, &self.group.to_le_bytes());
        put(32, &self.modified.0.to_le_bytes());
        put(40, &self.modified.1.to_le_bytes());
        put(44, &self.links.to_le_bytes());
        bytes
    }
}

/// What an inode says about the room of its attributes: a header of 12 bytes counts one, and then
/// four bytes do.
fn attribute_count(bytes: usize) -> u16 {
    let count = bytes.checked_sub(12).map_or(0, |entries| 1 + entries / 4);
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// A device's number, as the kernel's `new_encode_dev` has it.
pub(super) const fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
