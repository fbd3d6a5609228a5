//! Keys that ssh-keygen makes.

use std::process::Command;

use super::*;

fn keygen(arguments: &[&str], path: &std::path::Path) -> Vec<u8> {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "tests"])
        .args(arguments)
        .arg("-f")
        .arg(path)
        .output()
        .expect("install it: apt-get install openssh-client");
    assert!(output.status.success(), "{output:?}");
    std::fs::read(path).expect("a key")
}

#[test]
fn keys_of_every_kind_and_format_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for (number, arguments) in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "rsa", "-b", "2048", "-m", "PEM"],
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
        &["-t", "ecdsa", "-b", "256", "-m", "PKCS8"],
    ]
    .into_iter()
    .enumerate()
    {
        let path = directory.path().join(number.to_string());
        let text = keygen(arguments, &path);
        let key = SshKey::parse(&text, "tests").unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let mut words = public.split_whitespace().skip(1);
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        assert_eq!(BASE64_STANDARD.encode(key.public()), words.next().unwrap());
        assert_eq!(key.comment(), "tests");
        assert!(key.sign(b"data", RSA_SHA2_512).is_some());
        assert!(!format!("{key:?}").contains("signer"));
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    keygen(&["-t", "ed25519"], &path);
    let text = std::fs::read_to_string(&path).unwrap();
    let status = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret phrase", "-f"])
        .arg(&path)
        .status();
    assert!(status.unwrap().success());
    let encrypted = std::fs::read(&path).unwrap();
    let error = |text: &[u8]| SshKey::parse(text, "x").unwrap_err();
    assert!(error(&encrypted).contains("encrypted"));
    assert_eq!(error(b"nothing"), "it is no private key");
    assert_eq!(error(b"\xff"), "it is no private key");
    assert_eq!(
        error(text.replace("AAAA", "AA!A").as_bytes()),
        "it is damaged"
    );
    // Cut anywhere it is refused, and nothing panics.
    let (head, tail) = text.split_at(36);
    let (body, foot) = tail.split_once("-----END").unwrap();
    for length in 0..body.len() {
        let cut = format!("{head}{}-----END{foot}", &body[..length]);
        let _ = SshKey::parse(cut.as_bytes(), "x");
    }
    let rsa = keygen(&["-t", "rsa", "-b", "2048"], &directory.path().join("rsa"));
    let rsa = SshKey::parse(&rsa, "x").unwrap();
    assert!(rsa.sign(b"data", 0).is_none(), "SHA-1");
}
