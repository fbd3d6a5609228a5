//! The value of `--chown`, and the user of `WORKDIR`: numbers, or names looked up in the image's
//! own `/etc/passwd` and `/etc/group`.

use std::{io::Read, path::Path};

use rustix::{fs::OFlags, io::Errno};

use super::draft::Owner;
use crate::{error::BuildError, tree::Root};

/// The largest passwd or group file that is read.
const LIMIT: u64 = 16 << 20;

/// The owner that `text` (`user`, `user:group`, by name or number) names in the image below
/// `root`. A number alone is user and group; a name alone brings its login group.
pub(crate) fn look_up(text: &str, root: Option<&Root>) -> Result<Owner, BuildError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let mut owner = match user.parse() {
        Ok(id) => Owner { uid: id, gid: id },
        Err(_) if user.is_empty() => Owner::default(),
        Err(_) => {
            let passwd = read(root, "etc/passwd")?;
            find(&passwd, user)
                .and_then(|fields| {
                    Some(Owner {
                        uid: fields.get(2)?.parse().ok()?,
                        gid: fields.get(3)?.parse().ok()?,
                    })
                })
                .ok_or_else(|| unknown("user", user, "/etc/passwd", &passwd))?
        }
    };
    match group {
        None | Some("") => {}
        Some(group) => {
            owner.gid = match group.parse() {
                Ok(id) => id,
                Err(_) => {
                    let groups = read(root, "etc/group")?;
                    find(&groups, group)
                        .and_then(|fields| fields.get(2)?.parse().ok())
                        .ok_or_else(|| unknown("group", group, "/etc/group", &groups))?
                }
            };
        }
    }
    Ok(owner)
}

/// The fields of the line of `name`.
fn find<'a>(file: &'a str, name: &str) -> Option<Vec<&'a str>> {
    file.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
}

fn unknown(what: &'static str, name: &str, file: &'static str, content: &str) -> BuildError {
    let known = content
        .lines()
        .filter_map(|line| line.split(':').next())
        .filter(|known| !known.is_empty())
        .map(str::to_owned)
        .collect();
    BuildError::UnknownOwner {
        what,
        name: name.to_owned(),
        file,
        known,
    }
}

/// The text of `path` in the image; empty when there is no such file.
fn read(root: Option<&Root>, path: &str) -> Result<String, BuildError> {
    let Some(root) = root else {
        return Ok(String::new());
    };
    let path = Path::new(path);
    let opened = root
        .follow(path)
        .and_then(|real| root.open(&real, OFlags::RDONLY | OFlags::NONBLOCK));
    let file = match opened {
        Ok(fd) => std::fs::File::from(fd),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(String::new()),
        Err(errno) => return Err(BuildError::io("read", root.display(path), errno)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|source| BuildError::Io {
            action: "read",
            path: root.display(path),
            source,
        })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tree::Ownership;

    #[test]
    fn owners_are_numbers_or_names_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:2000::/:/bin/sh\nbroken\n",
        )
        .unwrap();
        fs::write(dir.path().join("etc/group"), "root:x:0:\nweb:x:33:\n").unwrap();
        let fd = fs::File::open(dir.path()).unwrap().into();
        let root = Root::new(fd, "/".into(), Ownership::Kept);
        let table = [
            ("5", 5, 5),
            ("5:6", 5, 6),
            ("app", 1000, 2000),
            ("app:web", 1000, 33),
            ("app:", 1000, 2000),
            (":web", 0, 33),
            ("5:web", 5, 33),
        ];
        for (text, uid, gid) in table {
            let owner = look_up(text, Some(&root)).unwrap();
            assert_eq!(owner, Owner { uid, gid }, "{text}");
        }
        let error = look_up("ap", Some(&root)).unwrap_err();
        assert_eq!(error.to_string(), "no user ap in /etc/passwd of the image");
        assert!(look_up("app:nobody", Some(&root)).is_err());
        assert!(look_up("app", None).is_err());
        assert_eq!(look_up("7", None).unwrap(), Owner { uid: 7, gid: 7 });
    }
}
