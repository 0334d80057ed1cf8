//! Who a program runs as: the `USER` words of a Dockerfile looked up in the container's own passwd and group files,
//! passwd(5), group(5). Pure; the files come in as text.

use super::environment::Problem;

/// The numbers of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// Groups besides.
    pub(crate) groups: Vec<u32>,
    /// The home directory.
    pub(crate) home: String,
}

/// The largest number of a user or group.
const ID_MAX: u32 = i32::MAX as u32;

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(User {
            name: fields.first()?,
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5).copied().unwrap_or(""),
        })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Group {
            name: fields.first()?,
            gid: fields.get(2)?.parse().ok()?,
            members: fields.get(3).copied().unwrap_or(""),
        })
    })
}

/// Finds `user` (`name`, `uid`, `name:group` …; empty for root) and the groups named besides.
///
/// A user known by its number alone needs no entry. Where no group is given, the user's own is taken, and with it all
/// groups that list the user as a member.
pub(crate) fn find(passwd: &str, group: &str, user: &str, besides: &[String]) -> Result<Identity, Problem> {
    let (user_word, group_word) = user.split_once(':').unwrap_or((user, ""));
    let number = id(user_word)?;
    let wanted = if user_word.is_empty() { Some(0) } else { number };
    let entry = users(passwd).find(|entry| entry.name == user_word || Some(entry.uid) == wanted);
    let mut identity = match (&entry, wanted) {
        (Some(entry), _) => {
            Identity { uid: entry.uid, gid: entry.gid, groups: Vec::new(), home: entry.home.to_owned() }
        }
        (None, Some(uid)) => Identity { uid, gid: 0, groups: Vec::new(), home: String::new() },
        (None, None) => {
            let message = format!("unable to find user {user_word}: no matching entries in passwd file");
            return Err(Problem::new(message));
        }
    };
    if !group_word.is_empty() {
        identity.gid = find_group(group, group_word)?;
    } else if let Some(entry) = &entry {
        let is_member = |group: &Group<'_>| group.members.split(',').any(|member| member == entry.name);
        identity.groups = groups(group).filter(is_member).map(|group| group.gid).collect();
    }
    for word in besides {
        identity.groups.push(find_group(group, word)?);
    }
    if identity.home.is_empty() {
        "/".clone_into(&mut identity.home);
    }
    Ok(identity)
}

fn find_group(group: &str, word: &str) -> Result<u32, Problem> {
    let number = id(word)?;
    let entry = groups(group).find(|entry| entry.name == word || Some(entry.gid) == number);
    entry.map(|entry| entry.gid).or(number).ok_or_else(|| {
        Problem::new(format!("unable to find group {word}: no matching entries in group file"))
    })
}

/// A word that is a number, within the kernel's range.
fn id(word: &str) -> Result<Option<u32>, Problem> {
    match word.parse::<i64>() {
        Ok(number) => match u32::try_from(number) {
            Ok(number) if number <= ID_MAX => Ok(Some(number)),
            _ => Err(Problem::new(format!("uids and gids must be in range 0-{ID_MAX}: {word}"))),
        },
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/var/www:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:root\nbin:x:1:root,web\nwww:x:34:\naudio:x:29:web\n";

    fn found(user: &str, besides: &[&str]) -> Identity {
        let besides: Vec<String> = besides.iter().map(|word| (*word).to_owned()).collect();
        find(PASSWD, GROUP, user, &besides).unwrap()
    }

    #[test]
    fn no_user_is_root_with_roots_groups() {
        let root = found("", &[]);
        assert_eq!((root.uid, root.gid, root.groups), (0, 0, vec![0, 1]));
        assert_eq!(root.home, "/root");
    }

    #[test]
    fn a_name_and_its_number_are_the_same_user() {
        assert_eq!(found("web", &[]), found("33", &[]));
        assert_eq!(found("web", &[]).groups, [1, 29]);
    }

    #[test]
    fn a_number_without_an_entry_is_accepted_in_group_zero() {
        assert_eq!(found("1234", &[]), Identity { uid: 1234, gid: 0, groups: vec![], home: "/".to_owned() });
    }

    #[test]
    fn a_given_group_replaces_the_users_groups() {
        let web = found("web:audio", &["bin", "77"]);
        assert_eq!((web.uid, web.gid, web.groups), (33, 29, vec![1, 77]));
    }

    #[test]
    fn unknown_names_and_numbers_out_of_range_are_refused() {
        for user in ["nobody", "web:nogroup", "-1", "4294967296"] {
            assert!(find(PASSWD, GROUP, user, &[]).is_err(), "{user}");
        }
    }
}
