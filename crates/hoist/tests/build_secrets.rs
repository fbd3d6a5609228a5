//! `hoist build --secret`, `--ssh`, `--allow-secret-in-layer`.

use crate::support::Sandbox;

#[test]
fn secrets_come_from_files_and_the_environment_and_stay_out_of_sight() {
    let sandbox = Sandbox::new();
    let secret = sandbox.file("secret", "hunter2-and-more\n");
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\n\
         RUN --mount=type=secret,id=file --mount=type=secret,id=HOIST_TEST_TOKEN,env=T \
             cat /run/secrets/file && echo token $T && echo ${#T} > /length\n\
         CMD cat /length\n",
    );
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    let from = format!("id=file,src={}", secret.display());
    let arguments = [
        "build",
        "-t",
        "built",
        "--progress",
        "plain",
        "--secret",
        &from,
        "--secret",
        "id=HOIST_TEST_TOKEN",
        context,
    ];
    let mut command = sandbox.command(&arguments);
    command.env("HOIST_TEST_TOKEN", "t0k3n-from-here");
    crate::support::Child::spawn(command)
        .finish()
        .ok()
        .says("token ***")
        .never_says("hunter2")
        .never_says("t0k3n");
    sandbox
        .hoist(&["run", "--rm", "built"])
        .ok()
        .stdout_is("15");
    sandbox
        .hoist(&["build", "--secret", "id=x,src=/nonexistent", context])
        .fails(1)
        .says("cannot read the secret x from /nonexistent");
    sandbox
        .hoist(&["build", "--secret", "src=x", context])
        .fails(125)
        .says("secret missing 'id'");
    sandbox
        .hoist(&[
            "build",
            "--ssh",
            &format!("default={}", secret.display()),
            context,
        ])
        .fails(1)
        .says("it is no private key");
}

#[test]
fn a_file_of_secrets_that_is_copied_ends_the_build() {
    let sandbox = Sandbox::new();
    sandbox.file("context/.env", "PASSWORD=x\n");
    sandbox.file("context/Dockerfile", "FROM busybox\nCOPY . /app\n");
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    sandbox
        .hoist(&["build", context])
        .fails(1)
        .says(">>> COPY . /app")
        .says("is in the new layer: /app/.env")
        .says("--allow-secret-in-layer /app/.env");
    sandbox
        .hoist(&["build", "--allow-secret-in-layer", "/app/.env", context])
        .ok();
}
