//! The root and what is mounted in it.

use std::{fs, os::unix::fs::FileTypeExt, process::Command};

use hoist_core::spec::Mount;

use crate::harness::{Sandbox, bind, tool};

#[test]
fn writes_land_in_the_upper_layer() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("lower/etc/motd"), "old").unwrap();
    fs::write(sandbox.path("lower/etc/gone"), "x").unwrap();
    sandbox.output("echo new >/etc/motd; rm /etc/gone; mkdir /etc/made");
    assert_eq!(
        fs::read_to_string(sandbox.path("upper/etc/motd")).unwrap(),
        "new\n"
    );
    assert_eq!(
        fs::read_to_string(sandbox.path("lower/etc/motd")).unwrap(),
        "old"
    );
    let whiteout = fs::symlink_metadata(sandbox.path("upper/etc/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert!(sandbox.path("upper/etc/made").is_dir());
}

#[test]
fn many_layers_the_topmost_first() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("cat /etc/n; ls /etc | grep -c layer");
    for number in 0..40 {
        // Colons and commas in paths are no separators.
        let layer = sandbox.path(&format!("layer:{number},x"));
        fs::create_dir_all(layer.join("etc")).unwrap();
        fs::write(layer.join("etc/n"), format!("{number}\n")).unwrap();
        fs::write(layer.join(format!("etc/layer{number}")), "").unwrap();
        request.lower.insert(0, layer);
    }
    assert_eq!(sandbox.run(&request).output, "39\n40\n");
}

/// Paths of more than 255 bytes, and kernels before 6.5, take another way to the same mount.
#[test]
fn layers_in_a_deep_directory() {
    let sandbox = Sandbox::new();
    let deep = sandbox.path(&format!("{0}/{0}/{0}", "deep:directory,".repeat(8)));
    let (layer, upper, work) = (deep.join("layer"), deep.join("upper"), deep.join("work"));
    for path in [&layer, &upper, &work] {
        fs::create_dir_all(path).unwrap();
    }
    fs::write(layer.join("mark"), "deep\n").unwrap();
    let mut request = sandbox.shell("cat /mark; echo more >/file");
    request.lower.insert(0, layer);
    (request.upper, request.work) = (upper, work);
    assert_eq!(sandbox.run(&request).output, "deep\n");
    assert_eq!(
        fs::read_to_string(request.upper.join("file")).unwrap(),
        "more\n"
    );
    // Too many of them for that way.
    let layers: Vec<_> = (0..15)
        .map(|number| deep.join(number.to_string()))
        .collect();
    layers
        .iter()
        .for_each(|layer| fs::create_dir(layer).unwrap());
    request.lower.extend(layers);
    let finished = sandbox.run(&request);
    assert!(
        finished.failure().1.contains("Argument list too long"),
        "{finished:?}"
    );
}

#[test]
fn a_directory_as_root() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("echo here >/file; cat /file");
    request.upper = request.lower.pop().unwrap();
    assert_eq!(sandbox.run(&request).output, "here\n");
    assert!(sandbox.path("lower/file").exists());
}

#[test]
fn a_read_only_root() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("touch /x 2>&1; touch /run/x && echo wrote; pwd");
    request.spec.root.readonly = true;
    request.spec.process.cwd = "/work/dir".to_owned();
    request.spec.mounts.push(Mount {
        destination: "/run".into(),
        kind: "tmpfs".to_owned(),
        source: None,
        options: vec!["size=1m".to_owned()],
    });
    let output = sandbox.run(&request).output;
    assert_eq!(
        output,
        "touch: /x: Read-only file system\nwrote\n/work/dir\n"
    );
}

#[test]
fn tmpfs_with_options() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell(
        "stat -c '%a %u:%g' /scratch; df -k /scratch | tail -1 | awk '{print $2}'; \
         cp /bin/busybox /scratch/b; /scratch/b true 2>&1; \
         dd if=/dev/zero of=/scratch/big bs=1k count=5000 2>&1; true",
    );
    request.spec.mounts.push(Mount {
        destination: "/scratch".into(),
        kind: "tmpfs".to_owned(),
        source: Some("tmpfs".into()),
        options: [
            "size=4096k",
            "mode=750",
            "uid=7",
            "gid=8",
            "noexec",
            "nosuid",
        ]
        .map(str::to_owned)
        .to_vec(),
    });
    let output = sandbox.run(&request).output;
    assert!(output.starts_with("750 7:8\n4096\n"), "{output}");
    assert!(output.contains("Permission denied"), "{output}");
    assert!(output.contains("No space left"), "{output}");
}

#[test]
fn bind_mounts() {
    let sandbox = Sandbox::new();
    let shared = sandbox.path("shared");
    fs::create_dir_all(shared.join("below")).unwrap();
    fs::write(shared.join("file"), "from the host\n").unwrap();
    let mut request = sandbox.shell(
        "cat /data/file /etc/one; echo back >/data/reply; \
         touch /fixed/x 2>&1; touch /fixed/below/x 2>&1; \
         grep ' /data ' /proc/self/mountinfo | grep -c nosuid",
    );
    request.spec.mounts.extend([
        bind(shared.clone(), "/data", &["rbind", "nosuid"]),
        bind(shared.join("file"), "/etc/one", &["bind", "ro"]),
        bind(shared.clone(), "/fixed", &["rbind", "ro"]),
    ]);
    let output = sandbox.run(&request).output;
    assert_eq!(
        output,
        "from the host\nfrom the host\n\
         touch: /fixed/x: Read-only file system\n\
         touch: /fixed/below/x: Read-only file system\n1\n"
    );
    assert_eq!(fs::read_to_string(shared.join("reply")).unwrap(), "back\n");
    // The places were made: a directory and a file.
    assert!(sandbox.path("upper/data").is_dir());
    assert!(sandbox.path("upper/etc/one").is_file());
}

/// A mount of the host, unmounted at the end.
struct HostMount(std::path::PathBuf);

impl HostMount {
    fn new(path: std::path::PathBuf, propagation: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let mount = |arguments: &[&str]| tool(Command::new("mount").args(arguments).arg(&path));
        mount(&["-t", "tmpfs", "none"]);
        mount(&[&format!("--make-{propagation}")]);
        Self(path)
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-R")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn mounts_below_are_read_only_too() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    let _below = HostMount::new(source.join("below"), "private");
    let mut request = sandbox.shell("touch /data/below/x 2>&1; ls /alone/below | wc -l");
    fs::write(source.join("below/seen"), "").unwrap();
    request.spec.mounts.extend([
        bind(source.clone(), "/data", &["rbind", "ro"]),
        bind(source, "/alone", &["bind"]),
    ]);
    let output = sandbox.run(&request).output;
    assert_eq!(output, "touch: /data/below/x: Read-only file system\n0\n");
}

#[test]
fn propagation() {
    let sandbox = Sandbox::new();
    let shared = HostMount::new(sandbox.path("shared"), "shared");
    for (option, sees) in [("rprivate", "0"), ("rslave", "1"), ("rshared", "1")] {
        let mut request = sandbox.shell("echo up; read line; ls /data/later | wc -l");
        request
            .spec
            .mounts
            .push(bind(shared.0.clone(), "/data", &["rbind", option]));
        fs::create_dir_all(shared.0.join("later")).unwrap();
        let mut running = sandbox.start(&request);
        running.started();
        running.wait_for("up\n");
        let later = HostMount::new(shared.0.join("later"), "private");
        fs::write(later.0.join("seen"), "").unwrap();
        let finished = running.finish();
        assert_eq!(finished.output.trim(), sees, "{option}");
    }
}

#[test]
fn the_containers_mounts_do_not_reach_the_host() {
    let sandbox = Sandbox::new();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut running = sandbox.start(&sandbox.shell("echo up; read line"));
    running.started();
    running.wait_for("up");
    let now = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = sandbox.directory.path().to_str().unwrap();
    assert!(!now.contains(own) && !before.contains(own));
    // And the host's root is gone from inside.
    let inside = running.finish();
    assert_eq!(inside.code(), 1);
    let mounts = sandbox.output("cat /proc/self/mountinfo");
    assert!(
        mounts
            .lines()
            .next()
            .unwrap()
            .contains(" / / rw,relatime - overlay "),
        "{mounts}"
    );
    assert!(
        !mounts.lines().any(|line| line.contains("shared:")),
        "{mounts}"
    );
}
