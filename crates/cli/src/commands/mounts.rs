//! `-v` and `--mount` turned into the fields of the request.

use crate::failure::Failure;
use crate::format::human::parse_bytes;
use crate::table::Parsed;
use serde_json::{Map, Value, json};
use std::path::Path;

/// `-v`: binds as they are, with relative paths made absolute, and paths of anonymous volumes.
pub(super) fn volumes(parsed: &Parsed) -> Result<(Vec<String>, Map<String, Value>), Failure> {
    let (mut binds, mut anonymous) = (Vec::new(), Map::new());
    for text in parsed.all("volume") {
        match text.split_once(':') {
            None => drop(anonymous.insert(text, json!({}))),
            Some((source, rest)) if source.starts_with('.') || source.starts_with('~') => {
                let source = source.strip_prefix('~').map_or_else(|| source.to_owned(), home);
                let path = std::path::absolute(Path::new(&source))
                    .map_err(|error| Failure::new(format!("invalid volume {text}: {error}")))?;
                binds.push(format!("{}:{rest}", path.display()));
            }
            Some(_) => binds.push(text),
        }
    }
    Ok((binds, anonymous))
}

#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
fn home(rest: &str) -> String {
    std::env::var("HOME").unwrap_or_default() + rest
}

/// Fields between commas; one in quotes may hold commas, and two quotes for one, RFC 4180.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match next {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// `--mount type=bind,source=/a,target=/b,readonly`.
pub(super) fn mount(text: &str) -> Result<Value, Failure> {
    let bad = |why: String| Failure::new(format!("invalid argument {text:?} for \"--mount\" flag: {why}"));
    let mut mount = json!({ "Type": "volume" });
    let mut recursive = String::new();
    for field in fields(text) {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        let key = key.to_ascii_lowercase();
        if key == "bind-recursive" {
            value.clone_into(&mut recursive);
            continue;
        }
        set(&mut mount, &key, value).map_err(|why| match why {
            Some(why) => bad(why),
            None => bad(format!("unexpected key '{key}' in '{field}'")),
        })?;
    }
    if mount.get("Target").is_none() {
        return Err(bad("target is required".to_owned()));
    }
    set_recursive(&mut mount, &recursive).map_err(bad)?;
    check(&mount).map_err(bad)?;
    Ok(mount)
}

/// Sets one field; refuses with a reason, or with none where the key is unknown.
fn set(mount: &mut Value, key: &str, value: &str) -> Result<(), Option<String>> {
    let on = || match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Some(format!("invalid value for {key}: {value}"))),
    };
    let pair = || value.split_once('=').unwrap_or((value, ""));
    match key {
        "type" => mount["Type"] = json!(value.to_ascii_lowercase()),
        "source" | "src" => mount["Source"] = json!(absolute(value)),
        "target" | "dst" | "destination" => mount["Target"] = json!(value),
        "readonly" | "ro" => mount["ReadOnly"] = json!(on()?),
        "consistency" => mount["Consistency"] = json!(value),
        "bind-propagation" => mount["BindOptions"]["Propagation"] = json!(value),
        "bind-nonrecursive" => mount["BindOptions"]["NonRecursive"] = json!(on()?),
        "bind-create-src" => mount["BindOptions"]["CreateMountpoint"] = json!(on()?),
        "volume-nocopy" => mount["VolumeOptions"]["NoCopy"] = json!(on()?),
        "volume-subpath" => mount["VolumeOptions"]["Subpath"] = json!(value),
        "volume-label" => mount["VolumeOptions"]["Labels"][pair().0] = json!(pair().1),
        "volume-driver" => mount["VolumeOptions"]["DriverConfig"]["Name"] = json!(value),
        "volume-opt" => mount["VolumeOptions"]["DriverConfig"]["Options"][pair().0] = json!(pair().1),
        "image-subpath" => mount["ImageOptions"]["Subpath"] = json!(value),
        "tmpfs-size" => mount["TmpfsOptions"]["SizeBytes"] = json!(parse_bytes(value).map_err(Some)?),
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8);
            mount["TmpfsOptions"]["Mode"] =
                json!(mode.map_err(|_| Some(format!("invalid value for {key}: {value}")))?);
        }
        _ => return Err(None),
    }
    Ok(())
}

/// `bind-recursive`, whose words depend on the other fields.
fn set_recursive(mount: &mut Value, word: &str) -> Result<(), String> {
    let needs = |field: &str| {
        format!("option 'bind-recursive={word}' requires '{field}' to be specified in conjunction")
    };
    match word {
        "" | "enabled" => {}
        "disabled" => mount["BindOptions"]["NonRecursive"] = json!(true),
        "writable" | "readonly" if mount["ReadOnly"] != json!(true) => return Err(needs("readonly")),
        "writable" => mount["BindOptions"]["ReadOnlyNonRecursive"] = json!(true),
        "readonly" if mount["BindOptions"]["Propagation"] != json!("rprivate") => {
            return Err(needs("bind-propagation=rprivate"));
        }
        "readonly" => mount["BindOptions"]["ReadOnlyForceRecursive"] = json!(true),
        other => {
            return Err(format!(
                "invalid value for bind-recursive: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

/// Options of one kind of mount do not fit another.
fn check(mount: &Value) -> Result<(), String> {
    let kind = mount["Type"].as_str().unwrap_or_default();
    for (field, of) in [
        ("VolumeOptions", "volume"),
        ("BindOptions", "bind"),
        ("TmpfsOptions", "tmpfs"),
        ("ImageOptions", "image"),
    ] {
        if mount.get(field).is_some() && kind != of {
            return Err(format!("cannot mix '{of}-*' options with mount type '{kind}'"));
        }
    }
    Ok(())
}

fn absolute(path: &str) -> String {
    if !path.starts_with('.') {
        return path.to_owned();
    }
    std::path::absolute(Path::new(path)).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_field_by_field() {
        assert_eq!(
            mount("type=bind,src=/a,dst=/b,ro").unwrap(),
            json!({"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true})
        );
        assert_eq!(
            mount("src=data,dst=/b,volume-subpath=x,volume-label=a=1,volume-nocopy").unwrap(),
            json!({"Type":"volume","Source":"data","Target":"/b",
                "VolumeOptions":{"Subpath":"x","Labels":{"a":"1"},"NoCopy":true}})
        );
        assert_eq!(
            mount(r#"dst=/b,volume-opt=type=nfs,"volume-opt=o=addr=x,rw""#).unwrap()["VolumeOptions"],
            json!({"DriverConfig":{"Options":{"type":"nfs","o":"addr=x,rw"}}})
        );
        assert_eq!(
            mount("type=image,src=busybox,dst=/b,image-subpath=bin").unwrap(),
            json!({"Type":"image","Source":"busybox","Target":"/b","ImageOptions":{"Subpath":"bin"}})
        );
        assert_eq!(mount("type=tmpfs,dst=/b,tmpfs-mode=700").unwrap()["TmpfsOptions"]["Mode"], 0o700);
    }

    #[test]
    fn recursion_of_read_only_binds_is_said_in_words() {
        let bind = |more: &str| mount(&format!("type=bind,src=/a,dst=/b,{more}"));
        assert_eq!(bind("bind-recursive=disabled").unwrap()["BindOptions"], json!({"NonRecursive":true}));
        assert_eq!(
            bind("ro,bind-recursive=writable").unwrap()["BindOptions"],
            json!({"ReadOnlyNonRecursive":true})
        );
        assert!(bind("bind-recursive=writable").is_err() && bind("ro,bind-recursive=readonly").is_err());
        let all = bind("ro,bind-recursive=readonly,bind-propagation=rprivate").unwrap();
        assert_eq!(all["BindOptions"]["ReadOnlyForceRecursive"], true);
        assert!(bind("bind-recursive=perhaps").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in
            ["type=bind,src=/a", "fly=1,target=/x", "target=/x,ro=perhaps", "type=tmpfs,dst=/x,volume-nocopy"]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
        let message = mount("type=tmpfs,dst=/x,volume-nocopy").unwrap_err().message;
        assert!(message.ends_with("cannot mix 'volume-*' options with mount type 'tmpfs'"), "{message}");
    }
}
