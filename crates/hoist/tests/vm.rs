//! Other kernels, and nothing but cgroup v2: Debian's own in an emulated machine.

use std::path::Path;
use std::process::Command;

use crate::support::{Child, base_archive, made_by};

/// Runs a shell script as root in the machine, with the kernel of a release; what it printed. The script
/// ends at its first failure.
fn in_the_machine(release: &str, script: &str) -> String {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask");
    let kernel = made_by("vm", &format!("vm/{release}/vmlinuz"));
    let kernel = kernel.parent().expect("a directory");
    let directory = tempfile::tempdir().expect("a directory");
    let commands = directory.path().join("commands");
    std::fs::write(&commands, format!("set -ex\n{script}")).expect("the script");
    let mut boot = Command::new("sh");
    boot.arg(xtask.join("vm/boot.sh"))
        .arg(kernel)
        .arg(env!("CARGO_BIN_EXE_hoist"));
    boot.arg(base_archive("busybox:latest").0)
        .arg(&commands)
        .env("VM_SECONDS", "110");
    Child::spawn(boot).finish().ok().stdout
}

#[test]
fn limits_and_network_on_cgroup_v2() {
    let printed = in_the_machine(
        "bookworm",
        "hoist import --change 'CMD [\"sh\"]' /base.tar busybox\n\
         test \"$(hoist run --rm busybox echo hello)\" = hello\n\
         hoist run -d --name box --memory 64m --cpus 0.5 --pids-limit 32 -p 8080:80 busybox httpd -f -h /etc -p 80\n\
         cgroup=$(ls -d /sys/fs/cgroup/hoist/*/)\n\
         test \"$(cat $cgroup/memory.max)\" = 67108864\n\
         test \"$(cat $cgroup/cpu.max)\" = '50000 100000'\n\
         test \"$(cat $cgroup/pids.max)\" = 32\n\
         test \"$(hoist exec box cat /proc/self/cgroup)\" = 0::/\n\
         wget -q -O - http://127.0.0.1:8080/passwd | grep root\n\
         hoist rm -f box\n\
         code=0; hoist run --name big --memory 16m busybox tail /dev/zero || code=$?\n\
         test $code = 137\n\
         test \"$(hoist inspect --format '{{.State.OOMKilled}}' big)\" = true\n\
         hoist rm big\n\
         test -z \"$(ls -d /sys/fs/cgroup/hoist/*/ 2>/dev/null)\"\n\
         hoist system prune -f\n\
         test -z \"$(ls /sys/class/net | grep -v lo)\"\n\
         echo everything held\n",
    );
    assert!(printed.contains("\neverything held\n"), "{printed}");
}

/// The first kernel that mounts indexed layers, whose overlays take only mounts that are attached.
#[test]
fn indexed_layers_on_linux_6_12() {
    let printed = in_the_machine(
        "trixie",
        "hoist import --change 'CMD [\"sh\"]' /base.tar busybox\n\
         hoist info | grep 'Layer form: unpacked (.* on the file system of /var/lib/hoist)'\n\
         mkdir /app\n\
         printf 'FROM busybox\\nRUN mkdir /d && echo 1 >/d/one && echo x >/d/gone\\nRUN rm /d/gone\\nVOLUME /d\\n' >/app/Dockerfile\n\
         hoist build -q -t app /app\n\
         hoist save -o /app.tar app\n\
         dd if=/dev/zero of=/disk bs=1M count=0 seek=100\n\
         mke2fs -F /disk 100000\n\
         mkdir /ext\n\
         mount -o loop -t ext4 /disk /ext\n\
         export HOIST_ROOT=/ext/root HOIST_RUN=/run/other\n\
         hoist info | grep 'Layer form: indexed (kernel 6.12, root)'\n\
         hoist load -i /app.tar\n\
         test $(ls /ext/root/layers/*/layer.erofs | wc -l) = 3\n\
         test \"$(hoist run --rm --network none app ls /d)\" = one\n\
         hoist run -d --name box --network none app sleep 1000\n\
         test \"$(hoist exec box cat /d/one)\" = 1\n\
         printf 'FROM app AS a\\nRUN echo 2 >/two\\nFROM scratch\\nCOPY --from=a /two /d /\\n' >/app/Dockerfile\n\
         hoist build -q -o /out /app\n\
         test \"$(cat /out/one /out/two)\" = \"$(printf '1\\n2')\"\n\
         test $(grep -c ' erofs ' /proc/self/mountinfo) = 0\n\
         hoist rm -f box\n\
         hoist system prune -af\n\
         umount /ext\n\
         echo everything held\n",
    );
    assert!(printed.contains("\neverything held\n"), "{printed}");
}
