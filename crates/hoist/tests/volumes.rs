//! `-v` and `--mount`: bind mounts, named volumes, tmpfs.

use crate::support::Sandbox;

#[test]
fn a_bind_mount_is_the_machines_directory() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("data/in", "from outside");
    let directory = file
        .parent()
        .expect("a directory")
        .to_str()
        .expect("a path");
    let volume = format!("{directory}:/data");
    let script = "cat /data/in; echo from inside > /data/out";
    sandbox
        .hoist(&["run", "--rm", "-v", &volume, "busybox", "sh", "-c", script])
        .ok()
        .stdout_is("from outside");
    assert_eq!(
        std::fs::read_to_string(sandbox.path("data/out")).expect("the file"),
        "from inside\n"
    );
}

#[test]
fn a_read_only_mount_stays_as_it_is() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("data/in", "");
    let directory = file
        .parent()
        .expect("a directory")
        .to_str()
        .expect("a path");
    let short = ["-v".to_owned(), format!("{directory}:/data:ro")];
    let long = [
        "--mount".to_owned(),
        format!("type=bind,source={directory},target=/data,readonly"),
    ];
    for [flag, value] in [short, long] {
        let run = sandbox.hoist(&[
            "run",
            "--rm",
            &flag,
            &value,
            "busybox",
            "touch",
            "/data/out",
        ]);
        run.fails(1).says("Read-only file system");
    }
}

#[test]
fn a_file_can_be_mounted_over_a_file() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("motd", "welcome");
    let volume = format!("{}:/etc/motd", file.display());
    sandbox
        .hoist(&["run", "--rm", "-v", &volume, "busybox", "cat", "/etc/motd"])
        .ok()
        .stdout_is("welcome");
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let sandbox = Sandbox::new();
    let write = [
        "run",
        "--rm",
        "-v",
        "data:/data",
        "busybox",
        "sh",
        "-c",
        "echo kept > /data/file",
    ];
    sandbox.hoist(&write).ok();
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "-v",
            "data:/data",
            "busybox",
            "cat",
            "/data/file",
        ])
        .ok()
        .stdout_is("kept");
    let mount = [
        "run",
        "--rm",
        "--mount",
        "type=volume,src=data,dst=/elsewhere",
        "busybox",
    ];
    sandbox
        .hoist(&[&mount[..], &["cat", "/elsewhere/file"]].concat())
        .ok()
        .stdout_is("kept");
}

#[test]
fn a_new_volume_starts_with_what_the_image_has_there() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "-v",
            "etc:/etc",
            "busybox",
            "cat",
            "/etc/nsswitch.conf",
        ])
        .ok()
        .prints("passwd: files");
}

#[test]
fn tmpfs_by_mount_flag() {
    let sandbox = Sandbox::new();
    let mount = "type=tmpfs,destination=/scratch,tmpfs-size=2m,tmpfs-mode=0700";
    let script = "stat -c %a /scratch; df -k /scratch | tail -1 | awk '{print $2}'";
    sandbox
        .hoist(&[
            "run", "--rm", "--mount", mount, "busybox", "sh", "-c", script,
        ])
        .ok()
        .stdout_is("700\n2048");
}

#[test]
fn a_missing_bind_source_is_made_for_v_and_refused_for_mount() {
    let sandbox = Sandbox::new();
    let missing = sandbox.path("missing");
    let missing = missing.to_str().expect("a path");
    let mount = format!("type=bind,source={missing},target=/data");
    sandbox
        .hoist(&["run", "--rm", "--mount", &mount, "busybox", "true"])
        .fails(125)
        .says(missing);
    assert!(!sandbox.path("missing").exists());
    let volume = format!("{missing}:/data");
    sandbox
        .hoist(&["run", "--rm", "-v", &volume, "busybox", "true"])
        .ok();
    assert!(sandbox.path("missing").is_dir());
}

#[test]
fn inspect_lists_the_mounts() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["create", "--name", "box", "-v", "data:/data:ro", "busybox"])
        .ok();
    let format = "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}";
    assert_eq!(sandbox.inspect("box", format), "volume data /data false");
}

#[test]
fn a_volume_is_filled_with_files_that_stay_one_file() {
    let sandbox = Sandbox::new();
    // All of busybox's commands are names of one file.
    let inodes = "stat -c %i /bin/sh /bin/ls /bin/cat | sort -u | wc -l";
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "-v",
            "data:/bin",
            "busybox",
            "sh",
            "-c",
            inodes,
        ])
        .ok()
        .stdout_is("1");
}
