//! What a container sees, and what it cannot do.

use std::{fs, os::unix::fs::symlink, path::Path};

use hoist_core::spec::{Device, NamespaceKind};

use crate::harness::{Sandbox, bind};

#[test]
fn namespaces_are_its_own() {
    let sandbox = Sandbox::new();
    let inside =
        sandbox.output("for n in pid net mnt ipc uts cgroup; do readlink /proc/self/ns/$n; done");
    let inside: Vec<&str> = inside.lines().collect();
    for (index, name) in ["pid", "net", "mnt", "ipc", "uts", "cgroup"]
        .into_iter()
        .enumerate()
    {
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(Path::new(inside[index]), outside, "{name}");
    }
    assert_eq!(
        sandbox.output("echo $$; cat /proc/self/cgroup | grep -v ':/$'; true"),
        "1\n"
    );
}

#[test]
fn the_hosts_network_on_request() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.request(&["readlink", "/proc/self/ns/net"]);
    request
        .spec
        .linux
        .namespaces
        .retain(|space| space.kind != NamespaceKind::Network);
    let finished = sandbox.run(&request);
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(Path::new(finished.output.trim()), own);
    // A parameter of the network would be the host's.
    request
        .spec
        .linux
        .sysctl
        .insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
    assert_eq!(sandbox.run(&request).failure().0, "Invalid");
}

#[test]
fn another_containers_network_and_pids() {
    let sandbox = Sandbox::new();
    let mut first = sandbox.start(&sandbox.shell("echo up; read line"));
    let pid = first.started();
    first.wait_for("up");
    let other = Sandbox::new();
    let mut request = other.shell("readlink /proc/self/ns/net; ps | grep -c 'read line'");
    for space in &mut request.spec.linux.namespaces {
        let name = match space.kind {
            NamespaceKind::Network => "net",
            NamespaceKind::Pid => "pid",
            _ => continue,
        };
        space.path = Some(format!("/proc/{pid}/ns/{name}").into());
    }
    request.spec.linux.readonly_paths.clear();
    let finished = other.run(&request);
    let net = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let lines: Vec<&str> = finished.output.lines().collect();
    assert_eq!(Path::new(lines[0]), net, "{finished:?}");
    assert_ne!(lines[1], "0", "{finished:?}");
    assert_eq!(first.finish().code(), 1);
}

#[test]
fn loopback_is_up() {
    let sandbox = Sandbox::new();
    let output = sandbox.output("ip addr show lo");
    assert!(
        output.contains("LOOPBACK,UP") && output.contains("127.0.0.1/8"),
        "{output}"
    );
}

#[test]
fn kernel_parameters() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell(
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range",
    );
    let sysctl = &mut request.spec.linux.sysctl;
    sysctl.insert(
        "net.ipv4.ip_unprivileged_port_start".to_owned(),
        "0".to_owned(),
    );
    sysctl.insert(
        "net.ipv4.ping_group_range".to_owned(),
        "0 2147483647".to_owned(),
    );
    assert_eq!(sandbox.run(&request).output, "0\n0\t2147483647\n");
}

#[test]
fn masked_and_read_only_paths() {
    let sandbox = Sandbox::new();
    let output = sandbox.output(
        "wc -c </proc/interrupts; wc -c </proc/keys; ls -A /sys/firmware | wc -l; \
         (echo 1 >/proc/sys/kernel/domainname) 2>&1; (echo 1 >/proc/irq/default_smp_affinity) 2>&1; \
         touch /sys/firmware/x 2>&1; mkdir /sys/fs/cgroup/memory/x 2>&1; true",
    );
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..3], ["0", "0", "0"], "{output}");
    assert_eq!(lines[3..].len(), 4, "{output}");
    assert!(
        lines[3..]
            .iter()
            .all(|line| line.contains("Read-only file system")),
        "{output}"
    );
}

#[test]
fn capabilities() {
    let sandbox = Sandbox::new();
    let output = sandbox.output("grep ^Cap /proc/self/status; grep NoNewPrivs /proc/self/status");
    let default = "00000000a80425fb";
    let expected = format!(
        "CapInh:\t0000000000000000\nCapPrm:\t{default}\nCapEff:\t{default}\nCapBnd:\t{default}\n\
         CapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"
    );
    assert_eq!(output, expected);

    let mut request = sandbox.shell("grep -E '^(Cap(Eff|Amb)|NoNew|Seccomp:)' /proc/self/status");
    request.spec.process.no_new_privileges = true;
    let sets = request.spec.process.capabilities.as_mut().unwrap();
    let bind = vec!["CAP_NET_BIND_SERVICE".to_owned()];
    (sets.ambient, sets.inheritable) = (bind.clone(), bind);
    request.spec.process.user.uid = 1000;
    let output = sandbox.run(&request).output;
    assert_eq!(
        output,
        "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n"
    );
}

#[test]
fn forbidden_calls() {
    let sandbox = Sandbox::new();
    let denied = |script: &str| {
        let finished = sandbox.run(&sandbox.shell(script));
        assert_ne!(finished.code(), 0, "{script}: {}", finished.output);
        finished.output
    };
    for script in [
        "mount -t tmpfs none /tmp",
        "umount /proc",
        "unshare -U true",
        "unshare -m true",
        "dmesg",
        "hostname other",
        "chroot /proc/1/root/../.. ls /proc/1/root/work",
        "mknod /tmp/disk b 8 0 && dd if=/tmp/disk of=/tmp/x count=1",
    ] {
        let output = denied(script);
        assert!(
            output.contains("ermitted")
                || output.contains("No such file")
                || output.contains("denied"),
            "{script}: {output}"
        );
    }
    assert_eq!(
        sandbox.output("grep ^Seccomp: /proc/self/status"),
        "Seccomp:\t2\n"
    );

    // With CAP_SYS_ADMIN the filter lets mounts through.
    let mut request = sandbox.shell("mount -t tmpfs none /tmp && echo mounted");
    let sets = request.spec.process.capabilities.as_mut().unwrap();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.push("CAP_SYS_ADMIN".to_owned());
    }
    assert_eq!(sandbox.run(&request).output, "mounted\n");
}

#[test]
fn devices() {
    let sandbox = Sandbox::new();
    let output = sandbox.output(
        "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %A %t:%T' $d; done; \
         for l in fd stdin stdout stderr ptmx core; do readlink $l; done; \
         head -c 3 /dev/zero | wc -c; echo x >/dev/null; ls /dev/console 2>&1; true",
    );
    assert!(output.contains("null crw-rw-rw- 1:3\n"), "{output}");
    assert!(output.contains("tty crw-rw-rw- 5:0\n"), "{output}");
    assert!(
        output.contains("/proc/self/fd\n/proc/self/fd/0\n"),
        "{output}"
    );
    assert!(output.contains("pts/ptmx\n/proc/kcore\n3\n"), "{output}");
    assert!(
        output.contains("No such file"),
        "no console without a terminal: {output}"
    );

    let mut request = sandbox.shell("stat -c '%A %u:%g %t:%T' /dev/extra/loop; ls -d /dev/extra");
    request.spec.linux.devices = vec![Device {
        kind: 'b',
        path: "/dev/extra/loop".into(),
        major: 7,
        minor: 1,
        file_mode: Some(0o640),
        uid: Some(3),
        gid: Some(4),
    }];
    assert_eq!(
        sandbox.run(&request).output,
        "brw-r----- 3:4 7:1\n/dev/extra\n"
    );
}

#[test]
fn no_descriptor_leaks() {
    let sandbox = Sandbox::new();
    // `ls` itself holds the directory that it lists.
    let output = sandbox.output("exec ls /proc/self/fd");
    assert_eq!(
        output.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    // A working directory through a descriptor of the runtime.
    for number in 3..30 {
        let mut request = sandbox.request(&["true"]);
        request.spec.process.cwd = format!("/proc/self/fd/{number}");
        let finished = sandbox.run(&request);
        assert!(
            finished.failure().1.contains("working directory"),
            "{finished:?}"
        );
    }
}

#[test]
fn links_of_the_image_do_not_redirect_the_runtime() {
    for (link, target) in [("proc", "/tmp"), ("sys", "tmp"), ("dev", "/etc")] {
        let sandbox = Sandbox::new();
        symlink(target, sandbox.path("lower").join(link)).unwrap();
        let finished = sandbox.run(&sandbox.request(&["true"]));
        assert!(
            finished.failure().1.starts_with("mount "),
            "{link}: {finished:?}"
        );
    }
}

#[test]
fn links_of_the_image_do_not_lead_outside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, sandbox.path("lower/escape")).unwrap();
    symlink("../../../../../../..", sandbox.path("lower/up")).unwrap();
    symlink(outside.join("file"), sandbox.path("lower/etc/hosts")).unwrap();
    let source = sandbox.path("source");
    fs::write(&source, "bound").unwrap();
    let host = format!("{}/new", sandbox.path("outside").display());
    for destination in ["/escape/file", "/etc/hosts", &format!("/up{host}")] {
        let mut request = sandbox.request(&["cat", destination]);
        request
            .spec
            .mounts
            .push(bind(source.clone(), destination, &["bind"]));
        let finished = sandbox.run(&request);
        assert_eq!(
            fs::read_dir(&outside).unwrap().count(),
            0,
            "{destination}: {finished:?}"
        );
    }
}

#[test]
fn masks_do_not_trust_the_images_null_device() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("fake")).unwrap();
    fs::write(sandbox.path("fake/null"), "not null").unwrap();
    let mut request = sandbox.shell("wc -c </proc/keys");
    // A volume over /dev, with a file in the place of the null device.
    request
        .spec
        .mounts
        .retain(|mount| mount.destination != Path::new("/dev"));
    request
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/dev"));
    request
        .spec
        .mounts
        .push(bind(sandbox.path("fake"), "/dev", &["rbind"]));
    assert_eq!(sandbox.run(&request).output, "0\n");
}

#[test]
fn the_launchers_own_file_cannot_be_written() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("");
    request.seal = true;
    request.init = true;
    request.spec.linux.seccomp = None;
    // From a script that is interpreted by the runtime itself, and from init.
    fs::write(sandbox.path("lower/start"), "#!/proc/self/exe\n").unwrap();
    request.spec.process.args = [
        "sh",
        "-c",
        "chmod 755 /start; (/start; true) >/dev/null 2>&1; \
         (echo x >/proc/1/exe) 2>&1; readlink /proc/1/exe 2>&1; ls /proc/1/fd 2>&1",
    ]
    .map(str::to_owned)
    .to_vec();
    let before = fs::read(env!("CARGO_BIN_EXE_runtime-launcher")).unwrap();
    let finished = sandbox.run(&request);
    assert!(!finished.output.contains("launcher"), "{finished:?}");
    assert!(finished.output.contains("denied"), "{finished:?}");
    assert_eq!(
        before,
        fs::read(env!("CARGO_BIN_EXE_runtime-launcher")).unwrap()
    );
}
