//! What a container sees of the machine, and what it may do: Docker's defaults.

use crate::support::Sandbox;

#[test]
fn namespaces_are_its_own() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "for name in /proc/self/ns/*; do readlink $name; done",
        ])
        .ok();
    for name in ["pid", "mnt", "net", "uts", "ipc", "cgroup"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
        let host = host.to_str().expect("its name");
        assert!(
            run.stdout.contains(&format!("{name}:[")),
            "{name} is not in {run}"
        );
        assert!(
            !run.stdout.lines().any(|line| line == host),
            "{name} is the machine's in {run}"
        );
    }
}

#[test]
fn the_process_sees_only_its_container() {
    let sandbox = Sandbox::new();
    let script = "echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/self/cgroup";
    let run = sandbox
        .hoist(&["run", "--rm", "busybox", "sh", "-c", script])
        .ok();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "1");
    assert!(
        lines[1].parse::<u32>().is_ok_and(|count| count <= 4),
        "{run}"
    );
    assert!(
        lines[2..].iter().all(|line| !line.contains("hoist")),
        "cgroup paths leak: {run}"
    );
}

#[test]
fn capabilities_and_filter_are_dockers() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&["run", "--rm", "busybox", "cat", "/proc/self/status"])
        .ok();
    let field = |name: &str| {
        let line = run
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_default()
            .to_owned()
    };
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(field(set), "00000000a80425fb", "{set}");
    }
    assert_eq!(
        (field("CapInh"), field("CapAmb")),
        ("0".repeat(16), "0".repeat(16))
    );
    assert_eq!(field("Seccomp"), "2");

    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "-u",
            "1000",
            "busybox",
            "cat",
            "/proc/self/status",
        ])
        .ok();
    assert!(
        run.stdout.contains("CapEff:\t0000000000000000"),
        "an ordinary user has none: {run}"
    );
}

#[test]
fn dangerous_calls_are_refused() {
    let sandbox = Sandbox::new();
    let refused = |command: &[&str]| {
        let run = sandbox.hoist(&[&["run", "--rm", "busybox"], command].concat());
        assert_ne!(run.code, 0, "{run}");
        assert!(
            run.stderr.contains("ermitted") || run.stderr.contains("enied"),
            "{run}"
        );
    };
    refused(&["mount", "-t", "tmpfs", "none", "/mnt"]);
    refused(&["unshare", "-U", "true"]);
    refused(&["hostname", "other"]);
    // Docker lets device nodes be made, but not be opened.
    refused(&["sh", "-c", "mknod /dev/evil b 254 0 && cat /dev/evil"]);
}

#[test]
fn kernel_files_are_masked_or_read_only() {
    let sandbox = Sandbox::new();
    let script = "cat /proc/kcore /proc/timer_list /proc/keys | wc -c; ls /proc/acpi /sys/firmware | grep -v : | tr -d '\\n'";
    let run = sandbox
        .hoist(&["run", "--rm", "busybox", "sh", "-c", script])
        .ok();
    assert_eq!(run.text(), "0", "{run}");
    for write in [
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "mkdir /sys/x",
    ] {
        let run = sandbox.hoist(&["run", "--rm", "busybox", "sh", "-c", write]);
        assert_ne!(run.code, 0, "{run}");
    }
}

#[test]
fn devices_are_the_harmless_ones() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&["run", "--rm", "busybox", "ls", "/dev"])
        .ok();
    let devices: Vec<&str> = run.stdout.split_whitespace().collect();
    for wanted in [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin",
    ] {
        assert!(devices.contains(&wanted), "{wanted} is not in {devices:?}");
    }
    assert!(
        !devices
            .iter()
            .any(|name| ["mem", "kmsg", "sda", "vda", "fuse"].contains(name)),
        "{devices:?}"
    );
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "echo x > /dev/null; head -c 3 /dev/zero | wc -c",
        ])
        .ok()
        .stdout_is("3");
}

#[test]
fn etc_knows_the_container_itself() {
    let sandbox = Sandbox::new();
    let script = "cat /etc/hosts; cat /etc/resolv.conf";
    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "--hostname",
            "me",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    run.prints("127.0.0.1\tlocalhost")
        .prints("\tme")
        .prints("nameserver ");
}

#[test]
fn a_container_cannot_reach_out_of_its_root_by_its_paths() {
    // A link in the image that points out of it is followed inside the container's root.
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nRUN ln -s /../../../../../../etc /escape\n",
    );
    let context = sandbox.path("context");
    sandbox
        .hoist(&[
            "build",
            "-q",
            "-t",
            "links",
            context.to_str().expect("a path"),
        ])
        .ok();
    let script = "test ! -e /escape/shadow.hoist; readlink /escape; cat /escape/hostname";
    let run = [
        "run",
        "--rm",
        "-h",
        "inside",
        "-w",
        "/escape/deep/er",
        "links",
        "sh",
        "-c",
        script,
    ];
    sandbox.hoist(&run).ok().prints("inside");
    assert!(!std::path::Path::new("/etc/deep").exists());
}
