//! From what a user wrote (`--user`, `USER`) to numbers, with Docker's rules and words.
//!
//! Pure: the caller reads `/etc/passwd` and `/etc/group` of the image (see
//! [`crate::Rootfs::read_file`]). A number always means an id, never a name; a number without an
//! entry stands for itself; the primary group is the first supplementary group.

use crate::RuntimeError;

/// Ids and home directory of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups; the primary one comes first.
    pub additional_gids: Vec<u32>,
    /// Home directory of the user's entry, `/` without one.
    pub home: String,
}

/// Ids go from 0 to 2147483647, as in Docker.
const MAXIMUM: i64 = (1 << 31) - 1;

struct User<'a> {
    name: &'a str,
    uid: i64,
    gid: i64,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: i64,
    members: &'a str,
}

/// Resolves `spec` (`""`, `uid`, `name`, `user:group`) by the files of the image; `""` is user 0.
///
/// Malformed lines are skipped. Files in an odd encoding are read as far as they are UTF-8.
///
/// # Errors
///
/// [`RuntimeError::UnknownUser`], [`RuntimeError::UnknownGroup`] for names without an entry,
/// [`RuntimeError::IdOutOfRange`] for numbers beyond 2147483647.
pub fn resolve(spec: &str, passwd: &[u8], group: &[u8]) -> Result<Resolved, RuntimeError> {
    let (user_part, group_part) = spec.split_once(':').unwrap_or((spec, ""));
    let wanted = if user_part.is_empty() {
        Some(0)
    } else {
        user_part.parse::<i64>().ok()
    };
    let passwd = String::from_utf8_lossy(passwd);
    let entry = passwd.lines().filter_map(user).find(|user| match wanted {
        Some(uid) => user.uid == uid,
        None => user.name == user_part,
    });
    let (uid, gid, home) = match (&entry, wanted) {
        (Some(user), _) => (user.uid, user.gid, user.home),
        (None, Some(uid)) => (uid, 0, "/"),
        (None, None) => {
            return Err(RuntimeError::UnknownUser {
                user: user_part.to_owned(),
            });
        }
    };
    let text = String::from_utf8_lossy(group);
    let mut groups = text.lines().filter_map(self::group);
    let mut additional = Vec::new();
    let gid = if group_part.is_empty() {
        if let Some(user) = &entry {
            let member = |group: &Group<'_>| group.members.split(',').any(|name| name == user.name);
            additional = groups.filter(member).map(|group| group.gid).collect();
        }
        gid
    } else {
        let wanted = group_part.parse::<i64>().ok();
        let found = groups.find(|group| match wanted {
            Some(gid) => group.gid == gid,
            None => group.name == group_part,
        });
        match (found, wanted) {
            (Some(group), _) => group.gid,
            (None, Some(gid)) => gid,
            (None, None) => {
                return Err(RuntimeError::UnknownGroup {
                    group: group_part.to_owned(),
                });
            }
        }
    };
    let in_range = |id: i64| match u32::try_from(id) {
        Ok(number) if id <= MAXIMUM => Ok(number),
        _ => Err(RuntimeError::IdOutOfRange {
            id: id.to_string(),
            user: spec.to_owned(),
        }),
    };
    let mut additional_gids = vec![in_range(gid)?];
    for id in additional {
        let id = in_range(id)?;
        if !additional_gids.contains(&id) {
            additional_gids.push(id);
        }
    }
    let home = if home.is_empty() { "/" } else { home };
    Ok(Resolved {
        uid: in_range(uid)?,
        gid: in_range(gid)?,
        additional_gids,
        home: home.to_owned(),
    })
}

/// The group id of one `--group-add`: a number, or a name of the image's group file.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_group(spec: &str, group: &[u8]) -> Result<u32, RuntimeError> {
    // User 0 always resolves, so that only the group can fail.
    resolve(&format!("0:{spec}"), b"", group)
        .map(|resolved| resolved.gid)
        .map_err(|error| match error {
            RuntimeError::IdOutOfRange { id, .. } => RuntimeError::IdOutOfRange {
                id,
                user: spec.to_owned(),
            },
            other => other,
        })
}

fn user(line: &str) -> Option<User<'_>> {
    let mut fields = line.trim().split(':');
    let name = fields
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
    let home = fields.nth(1).unwrap_or_default();
    Some(User {
        name,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home,
    })
}

fn group(line: &str) -> Option<Group<'_>> {
    let mut fields = line.trim().split(':');
    let name = fields
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let (_password, gid) = (fields.next()?, fields.next()?);
    Some(Group {
        name,
        gid: gid.parse().ok()?,
        members: fields.next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        daemon:x:1:1::/usr/sbin:/bin/false\n\
        # comment:x:5:5\n\
        broken line\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n\
        1234:x:77:78::/numeric:/bin/sh\n\
        huge:x:4294967296:0::/:/bin/sh\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,app\napp:x:1001:app\nvideo:x:44:app,daemon\n";

    fn show(spec: &str) -> String {
        match resolve(spec, PASSWD, GROUP) {
            Ok(r) => format!("{}:{} {:?} {}", r.uid, r.gid, r.additional_gids, r.home),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn as_docker() {
        for (spec, expected) in [
            ("", "0:0 [0, 10] /root"),
            ("root", "0:0 [0, 10] /root"),
            ("0", "0:0 [0, 10] /root"),
            ("app", "1000:1001 [1001, 10, 44] /home/app"),
            ("1000", "1000:1001 [1001, 10, 44] /home/app"),
            ("1000:", "1000:1001 [1001, 10, 44] /home/app"),
            ("app:video", "1000:44 [44] /home/app"),
            ("app:44", "1000:44 [44] /home/app"),
            ("app:4711", "1000:4711 [4711] /home/app"),
            ("1:1", "1:1 [1] /usr/sbin"),
            ("4242", "4242:0 [0] /"),
            ("4242:4343", "4242:4343 [4343] /"),
            (":video", "0:44 [44] /root"),
            // A number is an id even where a user has it as a name.
            ("1234", "1234:0 [0] /"),
            (
                "nobody",
                "unable to find user nobody: no matching entries in passwd file",
            ),
            (
                "app:nope",
                "unable to find group nope: no matching entries in group file",
            ),
            (
                "0x0",
                "unable to find user 0x0: no matching entries in passwd file",
            ),
            (
                "2147483648",
                "uids and gids must be in range 0-2147483647: 2147483648",
            ),
            (
                "4294967296",
                "uids and gids must be in range 0-2147483647: 4294967296",
            ),
            (
                "huge",
                "uids and gids must be in range 0-2147483647: 4294967296",
            ),
            ("-1", "uids and gids must be in range 0-2147483647: -1"),
            ("0:-1", "uids and gids must be in range 0-2147483647: -1"),
            (
                "99999999999999999999",
                "unable to find user 99999999999999999999: no matching entries in passwd file",
            ),
        ] {
            assert_eq!(show(spec), expected, "{spec}");
        }
        assert_eq!(resolve_group("video", GROUP).unwrap(), 44);
        assert_eq!(resolve_group("12", GROUP).unwrap(), 12);
        assert!(resolve_group("nope", GROUP).is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_never_turns_into_root(
            spec in "[ -~]{1,12}", passwd: Vec<u8>, group: Vec<u8>
        ) {
            if let Ok(resolved) = resolve(&spec, &passwd, &group)
                && resolved.uid == 0 && passwd.is_empty() {
                let user = spec.split(':').next().unwrap_or_default();
                prop_assert!(user.is_empty() || user.parse() == Ok(0));
            }
        }
    }
}
