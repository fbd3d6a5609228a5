//! Files from web servers: asked for when they have changed, resumed, bounded, and told to nobody.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    fs::File,
    io::{Read, Seek},
    sync::{Arc, atomic::Ordering},
};

use hoist_core::Digest;
use hoist_registry::{
    Answer, DownloadRequest, Downloaded, Downloader, RegistryError, Secret, Validators,
};
use support::{content, options, scripted::Scripted};

/// A download that begins with nothing.
struct Fetch {
    file: File,
    result: Result<Answer, RegistryError>,
}

impl Fetch {
    fn of(request: &DownloadRequest<'_>) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        let (options, _) = options();
        let downloader = Downloader::new(options).unwrap();
        let result = downloader.download(request, &mut file);
        Self { file, result }
    }

    #[track_caller]
    fn saved(mut self) -> (Downloaded, Vec<u8>) {
        let Answer::Saved(saved) = self.result.unwrap() else {
            panic!("nothing was fetched");
        };
        let mut bytes = Vec::new();
        self.file.rewind().unwrap();
        self.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(saved.digest, Digest::of(&bytes));
        assert_eq!(saved.size, bytes.len() as u64);
        (saved, bytes)
    }

    #[track_caller]
    fn error(self) -> String {
        hoist_core::error::chain(&self.result.unwrap_err())
    }
}

fn request(url: &str) -> DownloadRequest<'_> {
    DownloadRequest {
        url,
        authorization: None,
        known: None,
        limit: 1 << 20,
        stopped: None,
    }
}

fn url(server: &Scripted, path: &str) -> String {
    format!("http://{}{path}", server.address)
}

const TIME: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

#[test]
fn a_file_that_has_not_changed_is_not_fetched_again() {
    let server = Scripted::start(|exchange| {
        let tag = ("ETag", "\"one\"");
        match exchange.seen.target.as_str() {
            "/knows" if exchange.seen.header("if-none-match") == Some("\"one\"") => {
                exchange.reply(304, &[tag], b"");
            }
            "/times" if exchange.seen.header("if-modified-since") == Some(TIME.1) => {
                exchange.reply(304, &[], b"");
            }
            "/times" => exchange.reply(200, &[TIME], b"content"),
            _ => exchange.reply(200, &[tag, TIME], b"content"),
        }
    });
    for path in ["/knows", "/times", "/ignores"] {
        let url = url(&server, path);
        let (saved, bytes) = Fetch::of(&request(&url)).saved();
        assert_eq!(bytes, b"content");
        assert_eq!(saved.validators.modified(), Some(784_111_777));
        let again = DownloadRequest {
            known: Some(&saved.validators),
            ..request(&url)
        };
        assert_eq!(Fetch::of(&again).result.unwrap(), Answer::Unchanged);
    }
    let other = Validators {
        etag: Some("\"zero\"".to_owned()),
        last_modified: None,
    };
    let url = url(&server, "/knows");
    let changed = DownloadRequest {
        known: Some(&other),
        ..request(&url)
    };
    assert_eq!(Fetch::of(&changed).saved().1, b"content");
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("accept-encoding") == Some("identity"))
    );
}

#[test]
fn a_broken_connection_goes_on_or_begins_anew() {
    let whole = content(300_000, 7);
    let served = whole.clone();
    let server = Scripted::start(move |exchange| {
        let start = exchange.seen.range_start();
        let (etag, cut) = match exchange.seen.target.as_str() {
            "/strong" => ("\"s\"", 100_000),
            "/weak" if exchange.earlier < 6 => ("W/\"s\"", 100_000),
            _ => ("W/\"s\"", usize::MAX),
        };
        let rest = &served[start.unwrap_or(0)..];
        let range = format!(
            "bytes {}-{}/{}",
            start.unwrap_or(0),
            served.len() - 1,
            served.len()
        );
        match start {
            Some(_) => {
                let headers = [("ETag", etag), ("Content-Range", range.as_str())];
                exchange.announce(206, &headers, rest.len());
            }
            None => exchange.announce(200, &[("ETag", etag)], rest.len()),
        }
        exchange.raw(&rest[..rest.len().min(cut)]);
    });
    let strong = url(&server, "/strong");
    assert_eq!(Fetch::of(&request(&strong)).saved().1, whole);
    let starts: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.range_start())
        .collect();
    assert_eq!(starts, [None, Some(100_000), Some(200_000)]);
    assert_eq!(server.seen()[1].header("if-range"), Some("\"s\""));
    // What is not said to be the same byte for byte is fetched from its beginning.
    let weak = url(&server, "/weak");
    assert_eq!(Fetch::of(&request(&weak)).saved().1, whole);
    assert!(
        server.seen()[3..]
            .iter()
            .all(|seen| seen.range_start().is_none())
    );
}

#[test]
fn a_file_that_changes_meanwhile_is_not_pieced_together() {
    let server = Scripted::start(|exchange| match exchange.earlier {
        0 => {
            exchange.announce(200, &[("ETag", "\"old\"")], 10);
            exchange.raw(b"olddd");
        }
        _ => exchange.reply(200, &[("ETag", "\"new\"")], b"new"),
    });
    let (saved, bytes) = Fetch::of(&request(&url(&server, "/"))).saved();
    assert_eq!(bytes, b"new");
    assert_eq!(saved.validators.etag.as_deref(), Some("\"new\""));
}

#[test]
fn a_body_without_end_and_lies_about_its_length_are_errors() {
    let server = Scripted::start(|exchange| match exchange.seen.target.as_str() {
        "/endless" => exchange.endless(&[], b"x"),
        "/long" => exchange.announce(200, &[], 2 << 20),
        "/huge" => {
            exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n");
        }
        "/short" => {
            exchange.announce(200, &[], 100);
            exchange.raw(b"short");
        }
        _ => exchange.reply(404, &[], b"no"),
    });
    for (path, problem) in [
        ("/endless", "is larger than 1048576 bytes"),
        ("/long", "is larger than 1048576 bytes"),
        ("/huge", "the answer is not HTTP"),
        ("/short", "the connection was closed early"),
        ("/missing", "unexpected status 404 Not Found"),
    ] {
        let error = Fetch::of(&request(&url(&server, path))).error();
        assert!(error.contains(problem), "{path}: {error}");
        assert!(error.contains(path), "{path}: {error}");
    }
    let shorts = server
        .lines()
        .iter()
        .filter(|line| line.ends_with("/short"))
        .count();
    assert_eq!(shorts, 4, "as often as was allowed");
}

#[test]
fn a_server_that_says_nothing_holds_nobody_up() {
    let server = Scripted::start(|exchange| {
        if exchange.seen.target == "/late" {
            exchange.announce(200, &[], 100);
            exchange.raw(b"begun");
        }
        exchange.stall();
    });
    for path in ["/silent", "/late"] {
        let (options, _) = options();
        let cancelled = Arc::clone(&options.cancelled);
        let downloader = Downloader::new(options).unwrap();
        let url = url(&server, path);
        std::thread::scope(|scope| {
            let download = scope.spawn(|| {
                let mut file = tempfile::tempfile().unwrap();
                downloader.download(&request(&url), &mut file)
            });
            while !server.lines().iter().any(|line| line.ends_with(path)) {
                std::thread::yield_now();
            }
            cancelled.store(true, Ordering::Relaxed);
            let error = download.join().unwrap().unwrap_err();
            assert!(matches!(error, RegistryError::Cancelled), "{error}");
        });
    }
}

#[test]
fn redirects_end_and_take_no_credentials_along() {
    let other = Scripted::start(|exchange| exchange.reply(200, &[], b"there"));
    let elsewhere = url(&other, "/file");
    let server = Scripted::start(move |exchange| match exchange.seen.target.as_str() {
        "/away" => exchange.reply(302, &[("Location", &elsewhere)], b""),
        "/near" => exchange.reply(307, &[("Location", "/here?x")], b""),
        "/loop" => exchange.reply(301, &[("Location", "/loop")], b""),
        "/local" => exchange.reply(302, &[("Location", "file:///etc/passwd")], b""),
        _ => exchange.reply(200, &[], b"here"),
    });
    let secret = Secret::new("Bearer s3cret\n");
    for (path, bytes) in [("/away", "there"), ("/near", "here")] {
        let url = url(&server, path);
        let request = DownloadRequest {
            authorization: Some(&secret),
            ..request(&url)
        };
        assert_eq!(Fetch::of(&request).saved().1, bytes.as_bytes());
    }
    let sent = |server: &Scripted| -> Vec<Option<String>> {
        let seen = server.seen();
        let headers = seen.iter().map(|seen| seen.header("authorization"));
        headers.map(|value| value.map(str::to_owned)).collect()
    };
    assert_eq!(sent(&other), [None]);
    assert_eq!(sent(&server), vec![Some("Bearer s3cret".to_owned()); 3]);
    let error = Fetch::of(&request(&url(&server, "/loop"))).error();
    assert!(error.contains("too many redirects"), "{error}");
    let error = Fetch::of(&request(&url(&server, "/local"))).error();
    assert!(error.contains("without a usable Location"), "{error}");
    let address = format!("http://me:pw@{}/x", server.address);
    Fetch::of(&request(&address)).saved();
    assert_eq!(
        sent(&server).last().unwrap().as_deref(),
        Some("Basic bWU6cHc=")
    );
}
