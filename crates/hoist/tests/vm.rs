//! Another kernel, and nothing but cgroup v2: Debian's own kernel in an emulated machine.

use std::path::Path;
use std::process::Command;

use crate::support::{Child, base_archive, made_by};

/// Runs a shell script as root in the machine; what it printed. The script ends at its first failure.
fn in_the_machine(script: &str) -> String {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask");
    let kernel = made_by("vm", "vm/vmlinuz");
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
