//! The request behind a reader: of the whole, of the rest, or of the first of several ranges.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use hoist_core::image::Descriptor;
use ureq::http::Method;

use super::BlobReader;
use crate::{
    access::Access,
    error::{RegistryError, Result},
    failure::connection_failure,
    options::Ranges,
    parts::{Parts, Slots},
    wire::Response,
};

impl BlobReader {
    /// A body that stands at the offset.
    pub(super) fn open(&mut self) -> Result<Box<dyn Read + Send>> {
        let endpoint = &self.endpoints[self.current];
        let path = endpoint.path(self.reference.path());
        let rest = format!("{path}/blobs/{}", self.digest);
        let slots = self.slots();
        let length = self.registry.options().ranges.length.get();
        let until = match &slots {
            Some(_) => self.offset + length,
            None => self.end,
        };
        let whole = self.offset == 0 && until == self.size;
        let headers = if whole {
            Vec::new()
        } else {
            vec![("range", format!("bytes={}-{}", self.offset, until - 1))]
        };
        let response =
            self.registry
                .request(endpoint, &Access::pull(&path), Method::GET, &rest, &headers)?;
        if slots.is_some() && matches!(response.status, 400 | 416 | 501) {
            // It was asked for a range without need.
            self.undivided = true;
            return self.open();
        }
        let response = response.checked()?;
        self.action.clone_from(&response.action);
        self.sized = response.content_length().is_some();
        if response.status == 206 && !whole {
            self.check_range(&response)?;
            let body = response.into_reader();
            return match slots {
                Some(slots) => self.divide(body, until, length, slots),
                None => Ok(body),
            };
        }
        if self.is_range {
            return Err(RegistryError::Malformed {
                what: response.action,
                reason: "it sends the whole where a range was asked for".to_owned(),
            });
        }
        self.check_size(self.size, response.content_length())?;
        let mut body = response.into_reader();
        // A server that knows no ranges sends what is there already, too.
        let skipped = io::copy(&mut body.by_ref().take(self.offset), &mut io::sink());
        match skipped {
            Ok(count) if count == self.offset => Ok(body),
            Ok(_) => {
                let early = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(connection_failure(self.action.clone(), early.into()))
            }
            Err(error) => Err(connection_failure(self.action.clone(), error.into())),
        }
    }

    /// Leave to fetch what is left by several connections, when it is worth that.
    fn slots(&self) -> Option<Slots> {
        let Ranges {
            above,
            length,
            at_once,
            ..
        } = self.registry.options().ranges;
        let left = self.end - self.offset;
        if self.undivided || left < above || left <= length.get() {
            return None;
        }
        self.registry.budget().take(at_once)
    }

    /// What is left: the range in `body`, up to `until`, and then those after it.
    fn divide(
        &self,
        body: Box<dyn Read + Send>,
        until: u64,
        length: u64,
        slots: Slots,
    ) -> Result<Box<dyn Read + Send>> {
        let registry = self.registry.clone();
        let (reference, current) = (self.reference.clone(), self.current);
        let blob = Descriptor {
            media_type: String::new(),
            digest: self.digest,
            size: self.size,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let open = move |start, end| Self {
            current,
            is_range: true,
            ..registry.reader(&reference, &blob, start..end)
        };
        let places = (self.offset, until, self.end);
        match Parts::begin(body, places, length, slots, Box::new(open)) {
            Ok(parts) => Ok(Box::new(parts)),
            Err(error) => Err(connection_failure(self.action.clone(), error.into())),
        }
    }

    /// `Content-Range: bytes first-last/size`.
    fn check_range(&self, response: &Response) -> Result<()> {
        let value = response.header("content-range").unwrap_or_default();
        let parsed = value.strip_prefix("bytes ").and_then(|rest| {
            let (range, size) = rest.split_once('/')?;
            let (first, _) = range.split_once('-')?;
            Some((
                first.trim().parse::<u64>().ok()?,
                size.trim().parse::<u64>().ok(),
            ))
        });
        match parsed {
            Some((first, size)) if first == self.offset => self.check_size(self.size, size),
            _ => Err(RegistryError::Malformed {
                what: response.action.clone(),
                reason: format!(
                    "asked for the bytes from {} on, it sends {value:?}",
                    self.offset
                ),
            }),
        }
    }

    fn check_size(&self, expected: u64, announced: Option<u64>) -> Result<()> {
        match announced {
            Some(announced) if announced != expected => Err(RegistryError::SizeMismatch {
                what: self.what(),
                expected,
                announced,
            }),
            _ => Ok(()),
        }
    }
}
