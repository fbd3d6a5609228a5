use hoist_dockerfile::parse_bytes;

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
    let table = [
        (
            format!("FROM scratch AS s\nARG V=1\nADD {url} /\n"),
            Ok(url),
        ),
        (
            format!("FROM busybox AS s\nADD {url} /\n"),
            Err("SOURCE_DATE_EPOCH stage must use FROM scratch"),
        ),
        (
            "FROM scratch AS s\n".to_owned(),
            Err("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"),
        ),
        (
            format!("FROM scratch AS s\nADD {url} /\nADD {url} /\n"),
            Err("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD"),
        ),
        (
            "FROM scratch AS s\nADD file /\n".to_owned(),
            Err("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD"),
        ),
        (
            format!("FROM scratch AS s\nADD {url} /\nCOPY a /\n"),
            Err(
                "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported copy instruction",
            ),
        ),
    ];
    for (text, expected) in table {
        let dockerfile = parse_bytes(text.as_bytes()).unwrap();
        let found = source_of(&dockerfile.stages[0]).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }
}
