//! `hoist build` with contexts as nobody means them: names that are no text, files that are none,
//! links that lead out, holes, and very many files.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
        net::UnixListener,
    },
    process::Command,
};

use crate::support::Sandbox;

/// Runs a program of the machine.
fn machine(program: &str, arguments: &[&OsStr]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.expect("the program runs").success(), "{program}");
}

#[test]
fn names_that_are_no_text_and_files_that_are_none() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY odd /odd\nRUN test -p /odd/fifo && test -c /odd/null && test ! -e /odd/socket\n\
         RUN test \"$(cat /odd/-rf '/odd/# c' \"$(printf '/odd/new\\nline')\" \"$(printf '/odd/\\377\\376')\")\" = abcd\n",
    );
    let odd = sandbox.path("context/odd");
    fs::create_dir(&odd).expect("a directory");
    for (name, content) in [
        (&b"-rf"[..], "a"),
        (b"# c", "b"),
        (b"new\nline", "c"),
        (b"\xff\xfe", "d"),
    ] {
        fs::write(odd.join(OsStr::from_bytes(name)), content).expect("a file");
    }
    let fifo = odd.join("fifo");
    machine("mkfifo", &[fifo.as_os_str()]);
    let null = odd.join("null");
    let device = ["c", "1", "3"].map(OsStr::new);
    machine("mknod", &[&[null.as_os_str()], &device[..]].concat());
    let _socket = UnixListener::bind(odd.join("socket")).expect("a socket");

    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox.hoist(&["build", "-t", "odd", context]).ok();
    // And the digests of them all are found again.
    sandbox
        .hoist(&["build", "--progress", "plain", "-t", "odd", context])
        .ok()
        .says("CACHED");
}

#[test]
fn links_lead_no_further_than_the_context() {
    let sandbox = Sandbox::new();
    let context = sandbox.path("context");
    fs::create_dir(&context).expect("a directory");
    symlink("/etc", context.join("absolute")).expect("a link");
    symlink("../../../../../../etc", context.join("upwards")).expect("a link");
    symlink("loop", context.join("loop")).expect("a link");
    let directory = context.to_str().expect("a path");
    for source in [
        "absolute/passwd",
        "upwards/passwd",
        "loop/x",
        "../../etc/passwd",
    ] {
        sandbox.file(
            "context/Dockerfile",
            &format!("FROM scratch\nCOPY {source} /x/\n"),
        );
        sandbox.hoist(&["build", directory]).fails(1);
    }
    // As links they are welcome: where they lead is the image's affair.
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY . /x/\nRUN test \"$(readlink /x/absolute)\" = /etc\n",
    );
    sandbox.hoist(&["build", directory]).ok();
}

#[test]
fn holes_of_a_sparse_file_stay_holes() {
    let sandbox = Sandbox::new();
    sandbox.file("context/Dockerfile", "FROM scratch\nCOPY sparse /\n");
    let path = sandbox.path("context/sparse");
    let file = File::create(&path).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 32 << 20).expect("data");
    file.set_len(64 << 20).expect("a length");
    let context = sandbox.path("context");
    let output = sandbox.path("output");
    let flags = format!("type=local,dest={}", output.display());
    let context = context.to_str().expect("a path");
    sandbox
        .hoist(&["build", "-t", "sparse", "--output", &flags, context])
        .ok();
    let copied = fs::read(output.join("sparse")).expect("the file");
    assert!(copied == fs::read(&path).expect("the file"));
    // Blocks of 512 bytes.
    let layers = fs::read_dir(sandbox.root().join("layers")).expect("the layers");
    let blocks = layers
        .filter_map(|layer| fs::metadata(layer.ok()?.path().join("tree/sparse")).ok())
        .map(|found| found.blocks())
        .collect::<Vec<_>>();
    assert!(matches!(blocks[..], [1..64]), "{blocks:?} blocks");
}

#[test]
fn twenty_thousand_files_are_no_matter() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY many /many\nRUN test $(find /many -type f | wc -l) = 20000\n",
    );
    for number in 0..20_000 {
        let directory = sandbox.path(&format!("context/many/{}", number / 500));
        if number % 500 == 0 {
            fs::create_dir_all(&directory).expect("a directory");
        }
        File::create(directory.join(number.to_string())).expect("a file");
    }
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox.hoist(&["build", context]).ok();
}
