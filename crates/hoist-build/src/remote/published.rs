//! When what lies elsewhere was published: what `SOURCE_DATE_EPOCH` may name.
//!
//! As BuildKit has it: a commit when it was committed; a file when its server says that it changed
//! last, and where no server says so, an archive with its newest file.

use super::{Remote, Supplier, context::ContextAddress, web_file::WebFile};
use crate::error::BuildError;

impl Supplier<'_> {
    /// When `remote` was published, in seconds since 1970, as far as that can be told.
    pub(crate) fn published(&self, remote: &Remote) -> Result<Option<i64>, BuildError> {
        match remote {
            Remote::File(file) => self.published_file(file),
            Remote::Git(source) => self.commit_time(source).map(Some),
        }
    }

    /// The same of a context, which `text` is the address of.
    pub(crate) fn published_context(&self, text: &str) -> Result<Option<i64>, BuildError> {
        let address = ContextAddress {
            text,
            keep_git_dir: false,
        };
        self.published(&address.remote()?)
    }

    fn published_file(&self, file: &WebFile) -> Result<Option<i64>, BuildError> {
        let brought = self.bring(file, &self.pin_file(file)?)?;
        match brought.modified {
            Some(time) => Ok(Some(time)),
            None => brought.newest(file, self.stop),
        }
    }
}
