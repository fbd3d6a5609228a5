//! Indexed layers: the tar, which the digest names, and the index, which can be made anew of it.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::Path,
};

use hoist_core::{Digest, Digester};
use hoist_sys::atomic::{self, Durability};

use super::{Check, Finding, Outcome, Part, Remedy, layers::Files, quarantine};
use crate::{
    archive,
    blob::LayerBlob,
    erofs::Index,
    error::{Result, StoreError},
    form::LayerForm,
    import::index,
    layer::LayerRecord,
    layer_tar::Totals,
    layout::{INDEX, TAR, TREE},
};

impl Check<'_> {
    /// Whether a layer is, or was before its record was damaged, a tar with an index.
    pub(super) fn is_indexed(&self, diff_id: &Digest) -> bool {
        let directory = self.store.layout().layer(diff_id);
        match LayerRecord::read(self.store, diff_id) {
            Ok(record) => record.form == LayerForm::Indexed,
            Err(_) => directory.join(TAR).exists() && !directory.join(TREE).exists(),
        }
    }

    /// Compare the lengths, and read nothing.
    pub(super) fn weigh_indexed(&self, diff_id: &Digest, record: LayerRecord) -> Files {
        if self.store.has_files(diff_id) {
            Files::Right(record)
        } else {
            let problem = "its tar or its index is missing or too short".to_owned();
            Files::Wrong(problem, None)
        }
    }

    /// Compare the tar with the digest, and the index with what it should be.
    pub(super) fn compare_indexed(
        &mut self,
        diff_id: &Digest,
        forms: &[LayerBlob],
    ) -> Result<Files> {
        let directory = self.store.layout().layer(diff_id);
        let (made, length) = match self.read_tar(diff_id) {
            Ok(read) => read,
            Err(problem) => {
                let unpacked = self.unpack_first(diff_id, forms)?;
                return Ok(Files::Wrong(problem, unpacked));
            }
        };
        self.report.bytes += length;
        let mut bytes = Vec::new();
        made.write(length, &mut bytes)
            .map_err(StoreError::file("make", &directory.join(INDEX)))?;
        let record = LayerRecord {
            form: LayerForm::Indexed,
            ..self.expected(
                Totals {
                    size: made.size(),
                    archive_size: length,
                },
                false,
            )
        };
        let found = std::fs::read(directory.join(INDEX));
        Ok(match found {
            Ok(found) if found == bytes => Files::Right(record),
            _ => Files::WrongIndex(bytes, record),
        })
    }

    /// The index that the tar of a layer should have, and the length of the tar; or what is wrong
    /// with the tar.
    fn read_tar(&self, diff_id: &Digest) -> std::result::Result<(Index, u64), String> {
        let path = self.store.layout().layer(diff_id).join(TAR);
        let unreadable = |error: io::Error| format!("its tar cannot be read: {error}");
        let digest = |mut file: File| -> io::Result<(Digest, u64)> {
            let (mut digester, mut length) = (Digester::new(), 0);
            let mut buffer = vec![0; 256 * 1024];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    return Ok((digester.finish(), length));
                }
                digester.update(&buffer[..count]);
                length += count as u64;
            }
        };
        let file = File::open(&path).map_err(unreadable)?;
        let (found, length) = digest(file).map_err(unreadable)?;
        if found != *diff_id {
            return Err(format!("its tar has the digest {found}"));
        }
        let file = File::open(&path).map_err(unreadable)?;
        let mut archive = archive::Reader::new(BufReader::with_capacity(256 * 1024, file));
        let made = index(&mut archive).map_err(|error| hoist_core::error::chain(&error))?;
        Ok((made, length))
    }

    /// An index that is not the one over its tar: it is made anew.
    pub(super) fn wrong_index(&mut self, diff_id: &Digest, path: &Path, index: &[u8]) {
        let file = path.join(INDEX);
        let problem = "it is not the index over the tar beside it";
        let finding = Finding::new(Part::Layer, diff_id.to_string(), &file, problem)
            .touching(&self.owners_of(diff_id))
            .with(Remedy::Mend);
        self.doubt(diff_id);
        self.found(finding, |check| {
            let exclusive = check.store.exclusive()?;
            if file.exists() {
                quarantine::set_aside(check.store.layout(), &file)?;
            }
            atomic::write(&file, index, 0o644, Durability::Durable)
                .map_err(StoreError::file("write", &file))?;
            drop(exclusive);
            Ok(Outcome::Mended)
        });
    }
}
