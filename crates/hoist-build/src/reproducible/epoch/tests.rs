use hoist_dockerfile::{
    Source, parse_bytes,
    stages::{Inputs, resolve},
};

use super::*;
use crate::execute::open_directory;

#[test]
fn the_newest_file_is_found_and_directories_do_not_count() {
    use std::time::{Duration, SystemTime};
    let dir = tempfile::tempdir().unwrap();
    for (name, seconds) in [("a", 5), ("b", 9), ("c", 9)] {
        std::fs::write(dir.path().join(name), name).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 999);
        let file = std::fs::File::open(dir.path().join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    let root = Root::new(
        open_directory(dir.path()).unwrap(),
        dir.path().to_owned(),
        Ownership::Root,
    );
    let entries = walk(&root, Path::new(""), &Filter::ignoring(None)).unwrap();
    assert_eq!(newest(&entries), Some((9, Path::new("b"))));
    assert_eq!(newest(&[]), None);
}

#[test]
fn a_stage_that_names_the_epoch_does_nothing_else() {
    let url = "https://example.com/src.tar.gz";
    let one = "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD";
    let table = [
        ("FROM scratch AS s\nARG V=1\nADD URL /\n", Ok(url)),
        (
            "ARG HOST=example.com\nFROM scratch AS s\nARG NAME=src\nARG NAME=$NAME.tar\n\
             ADD https://$HOST/$NAME.$TYPE /\n",
            Ok("https://example.com/src.tar."),
        ),
        (
            "FROM scratch AS s\nARG TYPE=zip\nADD https://example.com/src.tar.$TYPE /\n",
            Ok(url),
        ),
        (
            "FROM scratch AS s\nADD https://u:p@example.com/r.git#v1 /\n",
            Ok("https://example.com/r.git#v1"),
        ),
        (
            "FROM busybox AS s\nADD URL /\n",
            Err("SOURCE_DATE_EPOCH stage must use FROM scratch"),
        ),
        ("FROM scratch AS s\n", Err(one)),
        ("FROM scratch AS s\nADD URL /\nADD URL /\n", Err(one)),
        (
            "FROM scratch AS s\nADD URL URL /\n",
            Err("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source"),
        ),
        (
            "FROM scratch AS s\nADD file /\n",
            Err("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD"),
        ),
        (
            "FROM scratch AS s\nADD URL /\nCOPY a /\n",
            Err(
                "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported copy instruction",
            ),
        ),
    ];
    let build_args = [("TYPE".to_owned(), "gz".to_owned())].into();
    for (text, expected) in table {
        let text = text.replace("URL", url);
        let dockerfile = parse_bytes(text.as_bytes()).unwrap();
        let host = hoist_core::Platform::host();
        let inputs = Inputs {
            target: None,
            build_args: &build_args,
            build_platform: &host,
            target_platform: &host,
            contexts: &Default::default(),
        };
        let reading = stage::Reading {
            dockerfile: &dockerfile,
            listing: &Listing {
                name: "Dockerfile".to_owned(),
                source: Source::new(&text),
            },
            build_args: &build_args,
            resolution: &resolve(&dockerfile, &inputs).unwrap(),
        };
        let found = reading.source_of(&dockerfile.stages[0]);
        let found = found.map(|(remote, _)| remote.shown());
        let found = found.map_err(|error| error.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, expected, "{text}");
    }
}
