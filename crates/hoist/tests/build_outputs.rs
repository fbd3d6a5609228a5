//! `hoist build --output`.

use crate::support::Sandbox;

#[test]
fn results_are_directories_archives_and_streams() {
    let sandbox = Sandbox::new();
    sandbox.file("context/Dockerfile", "FROM scratch\nCOPY data /app/data\n");
    sandbox.file("context/data", "x");
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    let out = sandbox.path("out");
    sandbox
        .hoist(&["build", "-o", out.to_str().expect("a path"), context])
        .ok();
    let text = std::fs::read_to_string(out.join("app/data")).expect("a file");
    assert_eq!(text, "x");

    let archive = sandbox.path("image.tar");
    let to = format!("type=docker,dest={}", archive.display());
    sandbox
        .hoist(&["build", "-t", "app", "--output", &to, context])
        .ok();
    let listed = std::process::Command::new("tar")
        .arg("-tf")
        .arg(&archive)
        .output()
        .expect("tar runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("manifest.json\n"), "{listed}");
    sandbox.hoist(&["inspect", "app"]).fails(1);

    // A failure leaves no half of an archive.
    sandbox.file("context/Dockerfile", "FROM scratch\nCOPY nothing /\n");
    let before = std::fs::read(&archive).expect("the archive");
    sandbox.hoist(&["build", "--output", &to, context]).fails(1);
    assert_eq!(std::fs::read(&archive).expect("the archive"), before);
    sandbox
        .hoist(&["build", "--output", "type=oci", context])
        .fails(125)
        .says("dest is required for oci output");
}
