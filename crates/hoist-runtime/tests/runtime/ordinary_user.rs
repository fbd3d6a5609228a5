//! The same code for an ordinary user, in a user namespace.

use std::{fs, os::unix::fs::chown, process::Command};

use hoist_core::spec::{NamespaceKind, User};

use crate::{
    harness::{Running, Sandbox, tool, write_program},
    request::{Action, Maps, Request},
};

const USER: &str = "hoist-test";

/// An ordinary user with subordinate ids: made when absent.
struct Account {
    uid: u32,
    gid: u32,
    uids: (u32, u32),
    gids: (u32, u32),
}

fn account() -> Account {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        assert!(
            std::path::Path::new("/usr/bin/newuidmap").exists(),
            "newuidmap is missing: apt-get install uidmap"
        );
        let known = fs::read_to_string("/etc/passwd")
            .unwrap()
            .lines()
            .any(|line| line.starts_with("hoist-test:"));
        if !known {
            tool(Command::new("useradd").args(["-m", USER]));
        }
    });
    let number = |option: &str| -> u32 {
        tool(Command::new("id").args([option, USER]))
            .trim()
            .parse()
            .unwrap()
    };
    let range = |file: &str| -> (u32, u32) {
        let text = fs::read_to_string(file).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("hoist-test:"))
            .unwrap();
        let (first, count) = line.split_once(':').unwrap();
        (first.parse().unwrap(), count.parse().unwrap())
    };
    Account {
        uid: number("-u"),
        gid: number("-g"),
        uids: range("/etc/subuid"),
        gids: range("/etc/subgid"),
    }
}

fn request(sandbox: &Sandbox, script: &str) -> (Account, Request) {
    let account = account();
    // As if that user had unpacked the image.
    let owner = format!("{}:{}", account.uid, account.gid);
    let owned = ["lower", "upper", "work"].map(|name| sandbox.path(name));
    tool(Command::new("chown").args(["-hR", &owner]).args(owned));
    let mut request = sandbox.shell(script);
    request.cgroup = None;
    request.user_namespace = Some(Maps {
        uids: vec![(0, account.uid, 1), (1, account.uids.0, account.uids.1)],
        gids: vec![(0, account.gid, 1), (1, account.gids.0, account.gids.1)],
    });
    (account, request)
}

fn start(sandbox: &Sandbox, account: &Account, request: &Request) -> Running {
    // The binary of the tests may lie where the user cannot reach it.
    let launcher = sandbox.path("launcher");
    if !launcher.exists() {
        let content = fs::read(env!("CARGO_BIN_EXE_runtime-launcher")).unwrap();
        write_program(&launcher, &content, 0o755);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", account.uid))
        .arg(format!("--regid={}", account.gid))
        .args(["--clear-groups", "--"])
        .arg(launcher);
    sandbox.start_by(request, command)
}

#[test]
fn a_container_of_an_ordinary_user() {
    let sandbox = Sandbox::new();
    let (account, mut request) = request(
        &sandbox,
        "id -u; echo x >/etc/made; chown 5:6 /etc/made; ls /dev/null /dev/pts/ptmx; \
         echo y >/dev/null; ip addr show lo | grep -c UP; wc -c </proc/keys; hostname; \
         grep ^Seccomp: /proc/self/status; rm /bin/ls",
    );
    fs::write(sandbox.path("lower/etc/passwd"), "").unwrap();
    let finished = start(&sandbox, &account, &request).finish();
    assert_eq!(
        finished.output, "0\n/dev/null\n/dev/pts/ptmx\n1\n0\nbox\nSeccomp:\t2\n",
        "{finished:?}"
    );
    assert_eq!(finished.code(), 0);
    let made = fs::metadata(sandbox.path("upper/etc/made")).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::uid(&made),
        account.uids.0 + 4
    );

    // As another user of the container, with a terminal and init.
    request.spec.process.args = ["sh", "-c", "id -u; tty"].map(str::to_owned).to_vec();
    request.spec.process.user = User {
        uid: 1000,
        gid: 1000,
        additional_gids: vec![1000, 7],
        umask: None,
    };
    request.spec.process.terminal = true;
    request.init = true;
    request.upper = sandbox.path("upper2");
    request.work = sandbox.path("work2");
    for path in [&request.upper, &request.work] {
        fs::create_dir(path).unwrap();
        chown(path, Some(account.uid), Some(account.gid)).unwrap();
    }
    let finished = start(&sandbox, &account, &request).finish();
    assert_eq!(finished.output, "1000\r\n/dev/pts/0\r\n", "{finished:?}");
}

#[test]
fn a_further_process() {
    let sandbox = Sandbox::new();
    let (account, request) = request(&sandbox, "echo up; read line");
    let mut running = start(&sandbox, &account, &request);
    let pid = running.started();
    running.wait_for("up");
    let mut further = request.clone();
    further.action = Action::Exec(pid);
    further.spec.process.args = ["sh", "-c", "id -u; hostname; tty"]
        .map(str::to_owned)
        .to_vec();
    further.spec.process.user = User {
        uid: 3,
        gid: 3,
        ..User::default()
    };
    further.spec.process.terminal = true;
    let finished = start(&sandbox, &account, &further).finish();
    assert_eq!(
        finished.output, "3\r\nbox\r\n/dev/pts/0\r\n",
        "{finished:?}"
    );
    assert_eq!(running.finish().code(), 1);
}

#[test]
fn a_further_process_beside_the_hosts_network() {
    let sandbox = Sandbox::new();
    let (account, mut request) = request(&sandbox, "echo up; read line");
    let namespaces = &mut request.spec.linux.namespaces;
    namespaces.retain(|space| !matches!(space.kind, NamespaceKind::Network | NamespaceKind::Uts));
    request.spec.hostname = String::new();
    let mut running = start(&sandbox, &account, &request);
    let pid = running.started();
    running.wait_for("up");
    let mut further = request.clone();
    further.action = Action::Exec(pid);
    let names = ["mnt", "net", "ipc", "uts", "cgroup"];
    let script = format!(
        "for n in {}; do readlink /proc/self/ns/$n; done",
        names.join(" ")
    );
    further.spec.process.args = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let finished = start(&sandbox, &account, &further).finish();
    let theirs = names.map(|name| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        format!("{}\n", link.display())
    });
    assert_eq!(finished.output, theirs.concat(), "{finished:?}");
    running.finish();
}

#[test]
fn root_maps_by_itself() {
    let sandbox = Sandbox::new();
    let (_, mut request) = request(&sandbox, "id -u; touch /made");
    let map = vec![(0, 700_000, 65536)];
    request.user_namespace = Some(Maps {
        uids: map.clone(),
        gids: map,
    });
    let owned = ["lower", "upper", "work"].map(|name| sandbox.path(name));
    tool(
        Command::new("chown")
            .args(["-hR", "700000:700000"])
            .args(owned),
    );
    let finished = sandbox.run(&request);
    assert_eq!(finished.output, "0\n", "{finished:?}");
    let made = fs::metadata(sandbox.path("upper/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 700_000);
}

#[test]
fn with_the_hosts_network() {
    let sandbox = Sandbox::new();
    let (account, mut request) = request(
        &sandbox,
        "ls /sys/class/net | grep -cx lo; touch /sys/x 2>&1",
    );
    request
        .spec
        .linux
        .namespaces
        .retain(|space| space.kind != NamespaceKind::Network);
    let finished = start(&sandbox, &account, &request).finish();
    assert!(
        finished.output.starts_with("1\ntouch: /sys/x: "),
        "{finished:?}"
    );
}

#[test]
fn with_a_single_id() {
    let sandbox = Sandbox::new();
    let (account, mut request) = request(&sandbox, "id -u; touch /made");
    request.user_namespace = Some(Maps {
        uids: vec![(0, account.uid, 1)],
        gids: vec![(0, account.gid, 1)],
    });
    request.spec.process.user.additional_gids = vec![0];
    let finished = start(&sandbox, &account, &request).finish();
    assert_eq!(finished.output, "0\n", "{finished:?}");
    let made = fs::metadata(sandbox.path("upper/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), account.uid);
}

#[test]
fn ids_that_are_not_ones_own_are_refused() {
    let sandbox = Sandbox::new();
    let (account, mut request) = request(&sandbox, "true");
    request.user_namespace = Some(Maps {
        uids: vec![(0, 0, 1000)],
        gids: vec![(0, 0, 1000)],
    });
    let finished = start(&sandbox, &account, &request).finish();
    let (_, message, _) = finished.failure();
    assert!(
        message.starts_with("mapping ids with newuidmap failed: "),
        "{message}"
    );
}
